"""The empty databases of the tests of the ledger."""

from __future__ import annotations

import pytest

from tests.ledger.conftest import engine, mariadb, own_mariadb, own_postgresql, postgresql, sqlite

__all__ = ["engine", "mariadb", "own_mariadb", "own_postgresql", "postgresql", "sqlite"]


@pytest.fixture
def collected() -> None:
    """Collect nothing: migrations take no uploads."""
