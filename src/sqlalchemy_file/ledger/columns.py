"""Find the file columns of a metadata, also inside type decorators."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, MetaData, Table

from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.types import FileField, file_field


class Release(NamedTuple):
    """A trigger records the old paths in ``columns`` that are not in the new ``now``."""

    columns: tuple[str, ...]
    now: tuple[str, ...]
    is_kept: bool


@dataclass(frozen=True, slots=True)
class FileColumns:
    """The names of a table's file columns whose unreferenced paths the ledger records.

    ``schema`` is that after translation, or None for the default. The paths of ``indexed`` columns
    have an index; entries of ``kept`` columns say that the objects stay. What differs only in its
    indexes is equal: it has the same triggers.
    """

    table: str
    columns: tuple[str, ...]
    schema: str | None = None
    indexed: tuple[str, ...] = field(default=(), compare=False)
    kept: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        connection: Connection,
        table: Table,
        columns: Sequence[Column[Any]],
        *,
        is_indexed: bool,
    ) -> FileColumns:
        kept = tuple(column.name for column in columns if keeps(column))
        names = tuple(column.name for column in columns)
        files = cls(table.name, names, connection.schema_for_object(table))
        return replace(files.without(kept), indexed=names if is_indexed else (), kept=kept)

    @property
    def noted(self) -> tuple[str, ...]:
        return (*self.columns, *self.kept)

    @property
    def releases(self) -> tuple[Release, ...]:
        """What triggers record: the paths of objects to delete, and of kept objects.

        An object in any column of the row is not recorded as kept: it may have moved to a column
        that deletes.
        """
        parts = (Release(self.columns, self.columns, False), Release(self.kept, self.noted, True))
        return tuple(each for each in parts if each.columns)

    def without(self, names: Collection[str]) -> FileColumns:
        columns, indexed, kept = (
            tuple(each for each in group if each not in names)
            for group in (self.columns, self.indexed, self.kept)
        )
        return replace(self, columns=columns, indexed=indexed, kept=kept)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


def all_file_columns(metadata: MetaData) -> Iterator[tuple[Table, tuple[Column[Any], ...]]]:
    """Yield every table with file columns."""
    for table in list(metadata.tables.values()):  # others may be declared meanwhile
        columns = tuple(column for column in table.columns if file_field(column.type))
        if columns:
            yield table, columns


def all_fields(metadata: MetaData) -> Iterator[FileField]:
    for _, columns in all_file_columns(metadata):
        yield from filter(None, (file_field(column.type) for column in columns))


def keeps(column: Column[Any]) -> bool:
    """Return True if the objects that a file column releases are kept."""
    field = file_field(column.type)
    return field is not None and field.on_release == "keep"


def declared_storages(fields: Iterable[FileField]) -> set[str]:
    """Return the storages that fields say they use."""
    found: set[str] = set()
    for each in fields:
        if callable(each.upload_storage):
            return set(StorageManager.names())
        if each.upload_storage:
            found.add(each.upload_storage)
        elif StorageManager.names():
            found.add(StorageManager.get_default())
    return found
