"""The matrix, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .matrix import Matrix


@pytest.fixture(scope="session")
def matrix(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    """Return what makes the worlds of all columns."""
    made = Matrix(request, tmp_path_factory.mktemp("scenarios"))
    yield made
    made.close()
