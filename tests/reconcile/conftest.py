"""A database with a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from tests.databases import tables_on
from tests.reconcile.helpers import Base
from tests.reconcile.others import OtherBase


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with tables_on(url, Base.metadata) as engine:
        yield engine


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/one.db")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    """Another application, with a database of its own and the same storage."""
    engine = create_engine(f"sqlite:///{tmp_path}/other.db")
    OtherBase.metadata.create_all(engine)
    yield engine
    engine.dispose()
