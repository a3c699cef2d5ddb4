"""The storage that CONTRIBUTING.md and the reference show keeps the contract of a storage."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from sqlalchemy_file.storage import Storage
from sqlalchemy_file.testing import StorageConformance

EXAMPLE = Path(__file__).parents[2] / "examples" / "storage_in_sql.py"


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("storage_in_sql", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class TestSQLStorage(StorageConformance):
    @pytest.fixture
    def storage(self, example: ModuleType, tmp_path: Path) -> Iterator[Storage]:
        engine = sa.create_engine(f"sqlite:///{tmp_path}/objects.db", connect_args={"timeout": 60})
        sa.event.listen(engine, "connect", _without_syncing)
        storage: Storage = example.SQLStorage(engine)
        yield storage
        engine.dispose()


def _without_syncing(connection, record) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")
