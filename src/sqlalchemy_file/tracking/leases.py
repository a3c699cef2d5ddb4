"""The ledger entries of a transaction, which are read and leased before its commit.

Other rows may still contain an unreferenced path: copies made by SQL, or old rows. All tables are
searched for it in one query, if there is an index or the tables are small. Otherwise nothing is
deleted, and the drain decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Column, Connection, Select, Table, bindparam, func, select, union_all

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.columns import Lookup, Place, all_file_columns, keeps, qualified
from sqlalchemy_file.ledger.installing import place_of
from sqlalchemy_file.ledger.notes import (
    Mark,
    Note,
    add_missing,
    begin,
    clear,
    kept,
    known_for_a_minute,
    lease_mine,
    visible,
)
from sqlalchemy_file.ledger.references import (
    as_read,
    as_text,
    holds_any,
    lookup_of,
    paths_in_value,
    plainest_part,
)
from sqlalchemy_file.tracking.changes import Effects
from sqlalchemy_file.values.records import KEY_ID

MOST_ROWS = 1000
"""Of how many rows a table is read for a commit that releases something, without an index."""

MOST_PATHS = 100
"""For how many objects an index is asked at a time."""


class Leased(NamedTuple):
    """The entries of one ledger that a transaction has leased, to delete the objects."""

    ledger: Ledger
    notes: list[Note]


@dataclass(slots=True)
class Notes:
    """The entries that a transaction should find in the ledger, and those that it has found.

    With a ledger, an object is deleted if it is unreferenced by count and has an entry: only the
    database knows the effect of the statements.
    """

    _marks: dict[Ledger, Mark] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    """Objects whose entries were not looked for yet."""
    _unseen: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    """Objects that are left alone although they were counted as released."""
    leased: list[Leased] = field(default_factory=list)
    keeping: dict[Ledger, set[str]] = field(default_factory=dict)
    """What keeping fields have released or acquired, or were about to."""

    def expect(self, connection: Connection, ledger: Ledger, effects: Effects) -> None:
        """Prepare for the entries of a statement about to run."""
        released, kept, entrusted = effects.released, effects.archived, effects.entrusted
        if released:
            if ledger not in self._marks:
                self._marks[ledger] = begin(connection, ledger)
            self.awaited.update(released)
        if kept or entrusted:
            self.keeping.setdefault(ledger, set()).update(kept, entrusted)
        if effects.is_unseen:  # the entries are written before the commit
            self._unseen.update(released, kept)

    def lease(
        self, connection: Connection, released: Iterable[str], new: Collection[str]
    ) -> set[str]:
        """Lease the entries of unreferenced objects, and return the objects with entries.

        ``new`` are objects that the transaction itself has stored: nobody else can name them.
        """
        wanted = {str(path) for path in released if path in self.awaited}
        found: set[str] = set()
        if not wanted:
            return found
        self.awaited -= wanted
        for ledger, mark in self._marks.items():
            stays = must_stay(connection, ledger, wanted)
            self.left |= stays
            if unseen := self._unseen & (wanted - stays):
                add_missing(connection, ledger, unseen)
            notes = lease_mine(connection, ledger, mark, wanted - stays, uuid4().hex)
            found.update(note.path for note in notes)
            self.leased.append(Leased(ledger, notes))
        self.left.update(wanted.difference(found, new))
        return found

    def leave_named(self, connection: Connection, released: Iterable[str]) -> None:
        """Leave objects alone that other rows name, after statements that were final at once."""
        if wanted := self.awaited.intersection(map(str, released)):
            self.awaited -= wanted
            for ledger in self._marks:
                self.left |= must_stay(connection, ledger, wanted)

    def taken(self, connection: Connection, entrusted: Collection[str]) -> set[str]:
        """Return which objects other SQL has taken from keeping fields, so that no row has them."""
        found: set[str] = set()
        for ledger, concerned in self.keeping.items():
            if noted := kept(connection, ledger, concerned.intersection(entrusted)):
                found |= noted - named(connection, ledger, noted)
        return found

    def forget_kept(self, connection: Connection, moved: Collection[str]) -> None:
        """Remove the entries of kept objects that other fields have acquired since."""
        for ledger, concerned in self.keeping.items():
            if paths := concerned.intersection(moved):
                found = visible(connection, ledger, paths)
                clear(connection, ledger, [note.id for note in found if note.is_kept])

    def settle_kept(
        self, connection: Connection, staying: Collection[str], others: Collection[str]
    ) -> None:
        """Remove the entries of keeping fields that do not hold.

        ``staying`` are what they release: earlier entries, of how these came to the field, are
        removed. Other rows refer to the ``others``, or these were never committed.
        """
        for ledger, concerned in self.keeping.items():
            if unseen := self._unseen & concerned.intersection(staying):
                add_missing(connection, ledger, unseen, is_kept=True)
            paths = concerned.intersection((*staying, *others))
            over = [
                note.id
                for note in visible(connection, ledger, paths)
                if (note.is_kept and note.path in others)
                or (note.lease is None and note.path in staying)
            ]
            clear(connection, ledger, over)


def is_chosen(path: str) -> bool:
    """Return True if a program may have chosen the key of an object, and may choose it again."""
    return KEY_ID.search(path) is None


@dataclass(slots=True)
class _Columns:
    """All file columns to search, with their indexes, and the queries that search them."""

    asked: list[tuple[Column[Any], Lookup | None]]
    keeps: bool
    """Whether any of them keeps what it releases."""
    _queries: dict[int, Any] = field(default_factory=dict)

    def execute(self, connection: Connection, paths: Sequence[str]) -> Any:
        """Return what rows hold that may name these paths."""
        query = self._queries.get(len(paths))
        if query is None:
            query = union_all(*(_query(connection, *each, paths) for each in self.asked))
            if all(lookup is None for _, lookup in self.asked):
                self._queries[len(paths)] = query  # to build it takes longer than to send it
        parts = {f"part_{index}": plainest_part(path) for index, path in enumerate(paths)}
        return connection.execute(query, parts)


def _query(
    connection: Connection, column: Column[Any], lookup: Lookup | None, paths: Sequence[str]
) -> Select[Any]:
    query = select(as_read(connection, column)).where(column.is_not(None))
    if lookup is not None:
        return query.where(lookup(paths))
    parts: list[Any] = [bindparam(f"part_{index}") for index in range(len(paths))]
    return query.where(holds_any(connection, column, parts))


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


@known_for_a_minute
def _asked(connection: Connection, ledger: Ledger) -> _Columns | None:
    """Return the columns to ask, or None if that takes too long."""
    asked: list[tuple[Column[Any], Lookup | None]] = []
    for table, columns in all_file_columns(ledger.metadata):
        where = place_of(connection, table)
        if where is None:
            continue  # there is no such table here
        if not _sees_all(connection, where):
            return None
        lookups = [lookup_of(connection, ledger.metadata, table, column) for column in columns]
        if None in lookups and _is_large(connection, table):
            return None
        asked += zip(columns, lookups, strict=True)
    return _Columns(asked, any(keeps(column) for column, _ in asked))


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
