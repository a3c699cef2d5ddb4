"""A database with a ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.databases import tables_on
from tests.reconcile.helpers import Base


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with tables_on(url, Base.metadata) as engine:
        yield engine
