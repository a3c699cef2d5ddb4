"""The file columns of a metadata, also inside type decorators, and the triggers on them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, MetaData, Table

from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.types import FileField, file_field

VERSION = 2
PREFIX = "sqlalchemy_file_"
LONGEST_PATH = 2048
"""In bytes. Storages take keys of half that; PostgreSQL's indexes refuse much longer ones."""
LONGEST_VALUE = 16 * 1024 * 1024
"""In bytes. Triggers do not read longer values, which would take minutes."""

_NAME = re.compile(rf"{PREFIX}([a-z]+)_v\d+_[0-9a-f]{{12}}")
_NOTE = re.compile(r"/\*sqlalchemy-file (.*?)\*/", re.DOTALL)

Lookup = Callable[[Sequence[str]], ColumnElement[bool]]
"""Returns a condition, which an index answers, of all rows that may contain these paths."""


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


class Place(NamedTuple):
    """A table as the database's catalog names it."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


class Trigger(NamedTuple):
    """A trigger that has to be there."""

    place: Place
    kind: str
    name: str
    create: tuple[str, ...]


class Found(NamedTuple):
    """A trigger that is there.

    ``fault`` says why it does not work, and ``repair`` is SQL for that; without ``repair`` it has
    to be created again.
    """

    place: Place
    name: str
    drop: tuple[str, ...]
    body: str
    fault: str | None = None
    repair: tuple[str, ...] = ()
    is_inherited: bool = False

    @property
    def kind(self) -> str:
        return kind_of(self.name) or ""


def quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, 2 * mark) + mark


def qualified(where: Place, mark: str = '"') -> str:
    return f"{quoted(where.schema, mark)}.{quoted(where.table, mark)}"


def trigger_name(kind: str, *parts: object) -> str:
    """Return a name that changes with the version and with anything in ``parts``."""
    text = json.dumps([VERSION, kind, *map(str, parts)])
    return f"{PREFIX}{kind}_v{VERSION}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def kind_of(name: str) -> str | None:
    """Return the kind of trigger of this name, or None for one that is not ours."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def note(ledger: Place, columns: Sequence[str] = (), kept: Sequence[str] = ()) -> str:
    """Return a comment for a trigger's body, with the names of its ledger and columns.

    Without ``kept`` it is that of earlier versions, whose triggers need not be replaced.
    """
    said: dict[str, Any] = {"ledger": str(ledger), "columns": list(columns)}
    text = json.dumps(said | ({"kept": list(kept)} if kept else {}))
    # Without asterisks: no name may end the comment, or open another.
    return f"/*sqlalchemy-file {text.replace('*', chr(92) + 'u002a')}*/"


def read_note(body: str) -> dict[str, Any]:
    """Return what `note` wrote into a body, or an empty dict."""
    match = _NOTE.search(body)
    try:
        found: dict[str, Any] = json.loads(match[1]) if match else {}
    except ValueError:
        return {}
    return found
