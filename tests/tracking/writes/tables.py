"""Tables with files, and what statements do to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Engine, Integer, LargeBinary, MetaData, String, Table, insert

from sqlalchemy_file import FileField
from sqlalchemy_file.storage import MemoryStorage
from tests.stores import contents, keys, named

metadata = MetaData()
paper = Table(
    "paper",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("title", String, unique=True),
    Column("body", FileField()),
    Column("pages", FileField(multiple=True)),
)
keyless = Table("keyless", metadata, Column("title", String), Column("body", FileField()))
composite = Table(
    "composite",
    metadata,
    Column("folder", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", FileField()),
)
spelled = Table(
    "spelled",
    metadata,
    Column("id", String, primary_key=True),
    Column("body", FileField()),
)
binary = Table(
    "binary",
    metadata,
    Column("id", LargeBinary(16), primary_key=True),
    Column("body", FileField()),
)
plain = Table("plain", metadata, Column("id", Integer, primary_key=True), Column("title", String))


def run(engine: Engine, *arguments: Any) -> Any:
    with engine.begin() as connection:
        result = connection.execute(*arguments)
        return result.all() if result.returns_rows else result.rowcount


def fill(engine: Engine, table: Table, rows: list[dict[str, Any]]) -> None:
    run(engine, insert(table), rows)


def files(engine: Engine, storage: MemoryStorage, table: Table) -> list[bytes]:
    """Return what the storage holds, sure that it is what the rows name."""
    columns = [column.name for column in table.columns if isinstance(column.type, FileField)]
    assert named(engine, table.name, *columns) == [f"main/{key}" for key in keys(storage)]
    return contents(storage)
