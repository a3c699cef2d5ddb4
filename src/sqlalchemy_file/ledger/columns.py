"""Which columns of a metadata hold files, however their type is wrapped."""

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
    columns whose paths are to be indexed.
    """

    table: str
    columns: tuple[str, ...]
    schema: str | None = None
    indexed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


def all_file_columns(metadata: MetaData) -> Iterator[tuple[Table, tuple[Column[Any], ...]]]:
    """Yield every table with file columns, those included whose objects are kept."""
    for table in metadata.tables.values():
        columns = tuple(column for column in table.columns if file_field(column.type))
        if columns:
            yield table, columns


def released_columns(metadata: MetaData) -> Iterator[tuple[Table, tuple[Column[Any], ...]]]:
    """Yield every table with file columns whose objects are deleted once they are released."""
    for table, columns in all_file_columns(metadata):
        released = tuple(column for column in columns if _is_released(column))
        if released:
            yield table, released


def keeping_columns(metadata: MetaData) -> Iterator[Column[Any]]:
    """Yield the columns whose released objects are kept."""
    for _, columns in all_file_columns(metadata):
        yield from (column for column in columns if not _is_released(column))


def keeping_storages(metadata: MetaData) -> set[str]:
    """Return the storages that fields use whose released objects are kept."""
    fields = (file_field(column.type) for column in keeping_columns(metadata))
    return {name for field in fields if field is not None for name in declared_storages(field)}


def declared_storages(field: FileField) -> Iterator[str]:
    """Yield the storages that a field says it uses."""
    if callable(field.upload_storage):
        yield from StorageManager.names()
    elif field.upload_storage:
        yield field.upload_storage
    elif StorageManager.names():
        yield StorageManager.get_default()


def _is_released(column: Column[Any]) -> bool:
    field = file_field(column.type)
    return field is not None and field.on_release == "delete"
