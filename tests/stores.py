"""What the tests of single modules share: a storage in memory, streams, a model of files."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import StaticPool

from sqlalchemy_file import StorageManager
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.changes import records_in


def add_memory(name: str = "main") -> MemoryStorage:
    """Add a storage of that name in memory, and return it."""
    storage = MemoryStorage()
    StorageManager.add_storage(name, storage)
    return storage


def keys(storage: Any) -> list[str]:
    return [info.key for info in storage.list()]


def contents(storage: Any) -> list[bytes]:
    """Return the bytes of all objects, sorted."""
    return sorted(b"".join(storage.stream(key)) for key in keys(storage))


def sqlite(base: type[DeclarativeBase], url: str = "sqlite://") -> Engine:
    """Return an engine on a new SQLite database with the tables of a base."""
    options = {"poolclass": StaticPool} if url == "sqlite://" else {}
    engine = create_engine(url, **options)
    base.metadata.create_all(engine)
    return engine


def forget(ledger: Ledger) -> None:
    """Take a ledger out of its metadata."""
    metadata = ledger.metadata
    event.remove(metadata, "before_drop", ledger._before_drop)
    for name in ("after_create", "after_drop"):
        event.remove(metadata, name, ledger._after_change)
    del metadata.info["sqlalchemy_file.ledger"]
    metadata.remove(ledger.releases)
    metadata.remove(ledger.state)


def named(engine: Engine, table: str, *columns: str) -> list[str]:
    """Return the paths that the rows of a table name, sorted, read without the library's types."""
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
    return sorted(
        path
        for row in rows
        for column in columns
        for record in records_in(row[column])
        for path in record["files"]
    )


@contextmanager
def no_warnings() -> Iterator[None]:
    """Fail if anything is left open: a resource warning needs the garbage collected first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # what earlier tests have left
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
