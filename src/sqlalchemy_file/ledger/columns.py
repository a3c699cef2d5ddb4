"""Find the file columns of a metadata, also inside type decorators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, MetaData, Table

from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.types import FileField, file_field


@dataclass(frozen=True, slots=True)
class FileColumns:
    """The file columns of one table whose released objects the ledger notes, by plain names.

    ``schema`` is the one that the connection means, or None for its default. ``indexed`` are the
    columns whose paths are to be indexed, ``kept`` those that keep what they release: their notes
    say so.
    """

    table: str
    columns: tuple[str, ...]
    schema: str | None = None
    indexed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def noted(self) -> tuple[str, ...]:
        """All columns that triggers read."""
        return (*self.columns, *self.kept)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


def all_file_columns(metadata: MetaData) -> Iterator[tuple[Table, tuple[Column[Any], ...]]]:
    """Yield every table with file columns, those included whose objects are kept."""
    for table in metadata.tables.values():
        columns = tuple(column for column in table.columns if file_field(column.type))
        if columns:
            yield table, columns


def keeps(column: Column[Any]) -> bool:
    """Return True if the objects that a file column releases are kept."""
    field = file_field(column.type)
    return field is not None and field.on_release == "keep"


def declared_storages(field: FileField) -> Iterator[str]:
    """Yield the storages that a field says it uses."""
    if callable(field.upload_storage):
        yield from StorageManager.names()
    elif field.upload_storage:
        yield field.upload_storage
    elif StorageManager.names():
        yield StorageManager.get_default()
