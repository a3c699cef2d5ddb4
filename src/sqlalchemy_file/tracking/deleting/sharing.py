"""Find unreferenced paths that other rows still contain: copies made by SQL, old rows.

All tables are searched once before the commit, in one query, if there is an index or the tables are
small. Otherwise nothing is deleted, and the drain decides.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    Column,
    Connection,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.pool import Pool

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.columns import all_file_columns, keeps
from sqlalchemy_file.ledger.installing import place_of
from sqlalchemy_file.ledger.notes import kept
from sqlalchemy_file.ledger.references import (
    as_read,
    as_text,
    lookup_of,
    paths_in_value,
    plainest_part,
)
from sqlalchemy_file.ledger.triggers import Lookup, Place, qualified

MOST_ROWS = 1000
"""Of how many rows a table is read for a commit that releases something, without an index."""

MOST_PATHS = 100
"""For how many objects an index is asked at a time."""

_SECONDS_KNOWN = 60.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A file column to search, and its index."""

    column: Column[Any]
    lookup: Lookup | None

    def query(self, connection: Connection, paths: Sequence[str]) -> Select[Any]:
        query = select(as_read(connection, self.column)).where(self.column.is_not(None))
        if self.lookup is not None:
            return query.where(self.lookup(paths))
        position = func.strpos if connection.dialect.name == "postgresql" else func.instr
        parts = [r"\u00", *(bindparam(f"part_{index}") for index in range(len(paths)))]
        return query.where(or_(*(position(cast(self.column, Text), part) > 0 for part in parts)))


@dataclass(slots=True)
class _Columns:
    """All columns to ask, and what asks them."""

    asked: list[_Asked]
    keeps: bool
    """Whether any of them keeps what it releases."""
    _queries: dict[int, Any] = field(default_factory=dict)

    def execute(self, connection: Connection, paths: Sequence[str]) -> Any:
        """Return what rows hold that may name these paths."""
        query = self._queries.get(len(paths))
        if query is None:
            query = union_all(*(each.query(connection, paths) for each in self.asked))
            if all(each.lookup is None for each in self.asked):
                self._queries[len(paths)] = query  # to build it takes longer than to send it
        parts = {f"part_{index}": plainest_part(path) for index, path in enumerate(paths)}
        return connection.execute(query, parts)


def must_stay(connection: Connection, ledger: Ledger, paths: Collection[str]) -> set[str]:
    """Return which of these objects rows name, or are kept, as the transaction sees them.

    All of them where it would take too long to tell, or this role does not see all rows.
    """
    asked = _asked(connection, ledger)
    found = _named(connection, asked, paths)
    if asked is not None and asked.keeps:
        found |= kept(connection, ledger, paths).intersection(paths)
    return found


def named(connection: Connection, ledger: Ledger, paths: Collection[str]) -> set[str]:
    """Return which of these objects rows name; all of them if `must_stay` would."""
    return _named(connection, _asked(connection, ledger), paths)


def _named(connection: Connection, asked: _Columns | None, paths: Collection[str]) -> set[str]:
    if asked is None:
        return set(paths)
    found: set[str] = set()
    wanted = sorted(paths)
    for start in range(0, len(wanted) if asked.asked else 0, MOST_PATHS):
        for (raw,) in asked.execute(connection, wanted[start : start + MOST_PATHS]):
            value = as_text(raw)
            found.update(paths_in_value(value, value.split('"')))
    return found.intersection(wanted)


def _asked(connection: Connection, ledger: Ledger) -> _Columns | None:
    """Return the columns to ask, or None if that takes too long; it is believed for a minute."""
    known = _known.setdefault(connection.engine.pool, {})
    key = (ledger, connection.schema_for_object(ledger.releases))
    at, asked = known.get(key, (0.0, None))
    if not at or time.monotonic() - at > _SECONDS_KNOWN:
        found = _look(connection, ledger)
        keeping = found is not None and any(keeps(each.column) for each in found)
        asked = None if found is None else _Columns(found, keeping)
        known[key] = (time.monotonic(), asked)
    return asked


def _look(connection: Connection, ledger: Ledger) -> list[_Asked] | None:
    asked: list[_Asked] = []
    for table, columns in all_file_columns(ledger.metadata):
        where = place_of(connection, table)
        if where is None:
            continue  # there is no such table here
        if not _sees_all(connection, where):
            return None
        lookups = [lookup_of(connection, ledger.metadata, table, column) for column in columns]
        if None in lookups and _is_large(connection, table):
            return None
        asked += map(_Asked, columns, lookups)
    return asked


def _sees_all(connection: Connection, where: Place) -> bool:
    """Return True if this role may read a table, and sees every row of it."""
    if connection.dialect.name != "postgresql":
        return True
    name = qualified(where)
    readable = func.has_table_privilege(name, "SELECT")
    return bool(connection.scalar(select(readable & ~func.row_security_active(name))))


def _is_large(connection: Connection, table: Table) -> bool:
    beyond = select(func.count()).select_from(
        select(next(iter(table.columns))).limit(MOST_ROWS + 1).subquery()
    )
    return (connection.scalar(beyond) or 0) > MOST_ROWS


_known: WeakKeyDictionary[Pool, dict[Any, tuple[float, _Columns | None]]] = WeakKeyDictionary()
