"""Tables and mapped attributes with files, and the conflicts that their constraints resolve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.orm import InstanceState, Mapper

from sqlalchemy_file.ledger.columns import keeps
from sqlalchemy_file.types import FileField, file_field

Key = tuple[Any, ...]

Clause = tuple[str, tuple[Column[Any], ...]]
"""What happens, in capitals, and the columns that have to be unique; none of another constraint."""


@dataclass(frozen=True, eq=False)
class FileTable:
    """A table with at least one file column."""

    table: Table
    keys: tuple[Column[Any], ...]
    columns: tuple[Column[Any], ...]
    fields: Mapping[Column[Any], FileField]
    """The types of the file columns."""
    keeping: frozenset[Column[Any]]
    """The file columns whose objects stay when their rows drop them."""

    def __str__(self) -> str:
        return str(self.table.fullname)


@dataclass(frozen=True, slots=True)
class FileAttribute:
    """A mapped attribute whose column holds files."""

    name: str
    column: Column[Any]
    field: FileField
    label: str
    """``Class.attribute``, for messages."""


def file_table(table: Any) -> FileTable | None:
    """Return the facts about a table's file columns, or None if it has none."""
    if type(table) is not Table:
        if not isinstance(table, Table):
            return None
        table = table._deannotate()  # ORM statements hold a copy that knows its entity
    known = _tables.get(table)
    if known is None or known[0] != len(table.columns):
        known = _tables[table] = (len(table.columns), _look_at(table))
    return known[1]


def file_table_of(statement: Any) -> FileTable | None:
    """Return the table that an INSERT, UPDATE or DELETE writes, if it has file columns.

    The ORM's bulk statements on joined-table classes name one table and write several in turn.
    """
    if notes := statement._annotations:
        written = notes.get("_emit_insert_table", notes.get("_emit_update_table"))
        if written is not None:
            return file_table(written)
    return file_table(statement.table)


def forget(column: Column[Any], table: Table) -> None:
    """Forget the facts about a table that gets a column, which may replace another one."""
    _tables.pop(table, None)
    _clauses.pop(table, None)


def know(table: Table, metadata: MetaData) -> None:
    """Remember the metadata of a new table, as it may have file columns."""
    _metadata[metadata] = None


def known_metadata(table: Table) -> list[MetaData]:
    """Return the metadata of a table, then all others."""
    known = [table.metadata, *(reference() for reference in _metadata.keyrefs())]
    return [metadata for metadata in dict.fromkeys(known) if metadata is not None]


def file_attributes(mapper: Mapper[Any]) -> tuple[FileAttribute, ...]:
    """Return the attributes of a mapped class that hold files, inherited ones included."""
    known = _attributes.get(mapper)
    count = len(mapper.column_attrs)
    if known is None or known[0] != count:
        known = _attributes[mapper] = (count, tuple(_attributes_of(mapper)))
    return known[1]


def file_tables(mapper: Mapper[Any]) -> Iterator[FileTable]:
    return filter(None, map(file_table, mapper.tables))


def row_key(target: FileTable, state: InstanceState[Any]) -> Key | None:
    """Return the primary key under which an object's row stands in one of its tables."""
    if state.key is None:
        return None
    known = _positions.setdefault(state.mapper, {})
    if target.table not in known:
        known[target.table] = _positions_in(state.mapper, target)
    positions = known[target.table]
    return None if positions is None else tuple(map(state.key[1].__getitem__, positions))


def row_keys(states: Iterable[InstanceState[Any]]) -> Iterator[tuple[FileTable, Key]]:
    """Yield the tables with files, and the keys there, in which objects have their rows."""
    for state in states:
        for target in file_tables(state.mapper):
            if key := row_key(target, state):
                yield target, key


def _positions_in(mapper: Mapper[Any], target: FileTable) -> tuple[int, ...] | None:
    """Return where the columns of a table's primary key stand in an identity of a mapped class."""
    names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    own = [mapper.get_property_by_column(column).key for column in target.keys]
    return tuple(map(names.index, own)) if {*own} <= {*names} else None


def _look_at(table: Table) -> FileTable | None:
    found = {column: file_field(column.type) for column in table.columns}
    fields = {column: field for column, field in found.items() if field is not None}
    if not fields:
        return None
    keys, keeping = tuple(table.primary_key.columns), frozenset(filter(keeps, fields))
    return FileTable(table, keys, tuple(fields), fields, keeping)


def _attributes_of(mapper: Mapper[Any]) -> Iterator[FileAttribute]:
    for attribute in mapper.column_attrs:
        for column in attribute.columns:
            if isinstance(column, Column) and (field := file_field(column.type)) is not None:
                label = f"{mapper.class_.__name__}.{attribute.key}"
                yield FileAttribute(attribute.key, column, field, label)
                break


def clauses_of(table: Table) -> tuple[Clause, ...]:
    counts = len(table.columns), len(table.constraints)
    known = _clauses.get(table)
    if known is None or known[0] != counts:
        known = _clauses[table] = counts, tuple(_clauses_in(table))
    return known[1]


def _clauses_in(table: Table) -> Iterator[Clause]:
    for constraint in table.constraints:
        columns: tuple[Column[Any], ...] = ()
        if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint):
            columns = tuple(constraint.columns)
        whole = constraint.dialect_options["sqlite"].get("on_conflict")
        own = [
            column.dialect_options["sqlite"].get(name)
            for column in columns
            if len(columns) == 1
            for name in ("on_conflict_unique", "on_conflict_primary_key")
        ]
        yield from ((str(what).upper(), columns) for what in (whole, *own) if what)
    for column in table.columns:
        if what := column.dialect_options["sqlite"].get("on_conflict_not_null"):
            yield str(what).upper(), ()


_positions: WeakKeyDictionary[Mapper[Any], dict[Table, tuple[int, ...] | None]] = (
    WeakKeyDictionary()
)
_tables: WeakKeyDictionary[Table, tuple[int, FileTable | None]] = WeakKeyDictionary()
_attributes: WeakKeyDictionary[Mapper[Any], tuple[int, tuple[FileAttribute, ...]]] = (
    WeakKeyDictionary()
)
_clauses: WeakKeyDictionary[Table, tuple[tuple[int, int], tuple[Clause, ...]]] = WeakKeyDictionary()
_metadata: WeakKeyDictionary[MetaData, None] = WeakKeyDictionary()
