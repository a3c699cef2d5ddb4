"""Search the rows for paths, before an object is deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    func,
    or_,
    select,
)

from sqlalchemy_file.ledger.columns import Lookup, all_file_columns
from sqlalchemy_file.ledger.connections import commits_each_statement
from sqlalchemy_file.ledger.installing import database_of, place_of
from sqlalchemy_file.ledger.tables import IN_INFO, LedgerTables
from sqlalchemy_file.values.records import entries_in, paths_of

_ASKED_AT_ONCE = 2
_LOOKED_UP_AT_ONCE = 1000
_READ_AT_ONCE = 1000


def named_paths(
    connection: Connection, metadata: MetaData | LedgerTables, paths: Iterable[str]
) -> set[str]:
    """Return those of the paths that a row of any file table contains.

    Columns with ``on_release="keep"`` are searched as well.
    """
    tables = metadata if isinstance(metadata, MetaData) else metadata.metadata
    asked = sorted(set(paths))
    found: set[str] = set()
    for table, columns in all_file_columns(tables):
        for column in columns if asked else ():
            lookup = lookup_of(connection, tables, table, column)
            if lookup is not None:
                found |= _looked_up(connection, column, lookup, asked)
            else:
                found |= _scanned(connection, column, asked)
    return found


def paths_in(
    connection: Connection,
    columns: Iterable[Column[Any]],
    paths: Iterable[str],
    schemas: Mapping[str | None, str | None] | None = None,
) -> set[str]:
    """Return which of these paths file columns contain; ``schemas`` translates their schemas."""
    asked = sorted(set(paths))
    return set().union(
        *(_scanned(connection, column, asked, schemas) for column in columns if asked)
    )


def lookup_of(
    connection: Connection, metadata: MetaData, table: Table, column: Column[Any]
) -> Lookup | None:
    """Return the condition that an index answers, or None if the table has to be scanned."""
    ledger = metadata.info.get(IN_INFO)
    if ledger is None or not ledger.indexed:
        return None
    releases, where = place_of(connection, ledger.releases), place_of(connection, table)
    if releases is None or where is None:
        return None
    return database_of(connection).lookup(connection, releases, where, column.name)


def _looked_up(
    connection: Connection, column: Column[Any], lookup: Lookup, asked: list[str]
) -> set[str]:
    found: set[str] = set()
    with _by_index(connection):
        for start in range(0, len(asked), _LOOKED_UP_AT_ONCE):
            matching = lookup(asked[start : start + _LOOKED_UP_AT_ONCE])
            for raw in connection.scalars(select(as_read(connection, column)).where(matching)):
                value = as_text(raw)
                found.update(paths_in_value(value, value.split('"')))
    return found.intersection(asked)


@contextmanager
def _by_index(connection: Connection) -> Iterator[None]:
    """Make PostgreSQL use the index, though it expects many rows, until the end of a savepoint."""
    if connection.dialect.name != "postgresql" or commits_each_statement(connection):
        yield
        return
    savepoint = connection.begin_nested()
    try:
        for name in ("enable_seqscan", "jit"):
            connection.execute(select(func.set_config(name, "off", True)))
        yield
    finally:
        savepoint.rollback()


def _scanned(
    connection: Connection,
    column: Column[Any],
    asked: list[str],
    schemas: Mapping[str | None, str | None] | None = None,
) -> set[str]:
    """Read every row, and search for the paths here: no odd value makes that fail."""
    hints = _hints(asked)
    found: set[str] = set()
    for raw in _values(connection, column, asked, schemas):
        value = as_text(raw)
        # Without escapes, quotation marks tell where strings begin and end.
        strings = value.split('"')
        if "\\" in value or not hints.isdisjoint(strings):
            found.update(paths_in_value(value, strings))
    return found.intersection(asked)


def _values(
    connection: Connection,
    column: Column[Any],
    asked: Sequence[str],
    schemas: Mapping[str | None, str | None] | None,
) -> Iterator[str | bytes]:
    """Yield the values of rows; for very few paths it is faster if the database selects them."""
    query = select(as_read(connection, column)).where(column.is_not(None))
    # On MariaDB this takes longer than to look here.
    if len(asked) <= _ASKED_AT_ONCE and connection.dialect.name in ("postgresql", "sqlite"):
        query = query.where(holds_any(connection, column, map(plainest_part, asked)))
    # The connection's own schemas would take precedence over those of the query.
    options: dict[str, Any] = {"schema_translate_map": schemas} if schemas else {}
    if not commits_each_statement(connection):
        query = query.execution_options(yield_per=_READ_AT_ONCE)
    for (value,) in connection.execute(query, execution_options=options):
        if value is not None:
            yield value


def holds_any(
    connection: Connection, column: Column[Any], parts: Iterable[Any]
) -> ColumnElement[bool]:
    """Return the condition that a value contains one of these parts, or an escape."""
    # LIKE takes several times as long.
    position = func.strpos if connection.dialect.name == "postgresql" else func.instr
    return or_(*(position(cast(column, Text), part) > 0 for part in (r"\u00", *parts)))


def as_read(connection: Connection, column: Column[Any]) -> Any:
    """Return the expression that selects a column's text, for `as_text`; no value makes it fail."""
    # SQLite's driver would raise for bytes that are not UTF-8.
    return cast(column, LargeBinary if connection.dialect.name == "sqlite" else Text)


def as_text(raw: str | bytes) -> str:
    """Return the text of a value that `as_read` has selected."""
    return raw if isinstance(raw, str) else raw.decode(json.detect_encoding(raw), "replace")


def _hints(paths: Iterable[str]) -> set[str]:
    """Return strings to search for: every record with one of the paths contains one of them.

    A record may have storage and key apart, and names of storages may contain slashes.
    """
    return {
        part
        for path in paths
        for part in (path, *(path[each.end() :] for each in re.finditer("/", path)))
    }


def plainest_part(path: str) -> str:
    """Return the longest part of a path that JSON writes without escapes, as a rule."""
    return max(re.findall(r"[A-Za-z0-9._-]+", path), key=len, default="")


def paths_in_value(raw: str, strings: Iterable[str]) -> Iterator[str]:
    """Yield the paths in a value; all its strings if it is not JSON."""
    try:
        entries = entries_in(raw)
    except ValueError:
        yield from strings
        return
    for record in entries:
        if isinstance(record, Mapping):
            yield from paths_of(record)
