"""Which paths rows still name: what is asked before an object is deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    cast,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from sqlalchemy_file.ledger import postgresql
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.tables import IN_INFO
from sqlalchemy_file.records import paths_of

if TYPE_CHECKING:
    from sqlalchemy_file.ledger import Ledger

_SCANNED_AT_ONCE = 50
_LOOKED_UP_AT_ONCE = 1000


def named_paths(
    connection: Connection, metadata: MetaData | Ledger, paths: Iterable[str]
) -> set[str]:
    """Return which of these paths any row of any file table names.

    Columns whose objects are kept on release are asked as well: what they name is not released.
    """
    tables = metadata if isinstance(metadata, MetaData) else metadata.metadata
    wanted = sorted(set(paths))
    found: set[str] = set()
    for table, columns in all_file_columns(tables):
        for column in columns if wanted else ():
            indexed = _indexed(connection, tables, table, column)
            if indexed is not None:
                found |= _looked_up(connection, column, indexed, wanted)
            else:
                found |= _scanned(connection, column, wanted)
    return found


def _indexed(
    connection: Connection, metadata: MetaData, table: Table, column: Column[Any]
) -> str | None:
    """Return the indexed expression for a column, or None where the table has to be scanned."""
    ledger = metadata.info.get(IN_INFO)
    if ledger is None or not ledger.indexed or connection.dialect.name != "postgresql":
        return None
    schema_of = connection.schema_for_object
    releases = postgresql.place(connection, ledger.releases.name, schema_of(ledger.releases))
    where = postgresql.place(connection, table.name, schema_of(table))
    if releases is None or where is None:
        return None
    return postgresql.paths_index(connection, releases, where, column.name)


def _looked_up(
    connection: Connection, column: Column[Any], indexed: str, wanted: list[str]
) -> set[str]:
    found: set[str] = set()
    text = cast(column, Text)
    for start in range(0, len(wanted), _LOOKED_UP_AT_ONCE):
        batch = wanted[start : start + _LOOKED_UP_AT_ONCE]
        names = literal(batch, ARRAY(Text))
        matching = literal_column(indexed, ARRAY(Text)).overlap(names)
        for raw in connection.execute(select(text).where(matching)).scalars():
            found.update(_paths_in(raw))
    return found.intersection(wanted)


def _scanned(connection: Connection, column: Column[Any], wanted: list[str]) -> set[str]:
    found: set[str] = set()
    text = cast(column, Text)
    for start in range(0, len(wanted), _SCANNED_AT_ONCE):
        hints = [_plainest_part(path) for path in wanted[start : start + _SCANNED_AT_ONCE]]
        matching = or_(*(text.contains(hint, autoescape=True) for hint in hints))
        for raw in connection.execute(select(text).where(matching)).scalars():
            found.update(_paths_in(raw))
    return found.intersection(wanted)


def _plainest_part(path: str) -> str:
    """Return the longest part of a path that reads the same however JSON is escaped."""
    return max(re.findall(r"[A-Za-z0-9._-]+", path), key=len, default="")


def _paths_in(raw: Any) -> Iterator[str]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return
    for record in value if isinstance(value, list) else [value]:
        if isinstance(record, Mapping):
            yield from paths_of(record)
