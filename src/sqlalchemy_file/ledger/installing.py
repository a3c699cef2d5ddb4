"""Compare the triggers in a database with those that it should have, and repair them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import DDL, Connection

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.dialects.database import Database
from sqlalchemy_file.ledger.dialects.mariadb import MariaDB
from sqlalchemy_file.ledger.dialects.postgresql import PostgreSQL
from sqlalchemy_file.ledger.dialects.sqlite import SQLite
from sqlalchemy_file.ledger.layout import Flaw, flaws
from sqlalchemy_file.ledger.tables import RELEASES
from sqlalchemy_file.ledger.triggers import Found, Place, Trigger, read_note

DATABASES: dict[str, Database] = {
    "sqlite": SQLite(),
    "postgresql": PostgreSQL(),
    "mysql": MariaDB(),
    "mariadb": MariaDB(),
}


@dataclass(slots=True)
class State:
    """The changes that the triggers of a database need."""

    ledger: Place | None
    places: dict[Place, FileColumns] = field(default_factory=dict)
    absent: list[FileColumns] = field(default_factory=list)
    without: list[tuple[FileColumns, str]] = field(default_factory=list)
    unreadable: list[tuple[FileColumns, str]] = field(default_factory=list)
    missing: list[Trigger] = field(default_factory=list)
    obsolete: list[Found] = field(default_factory=list)
    faulty: list[tuple[Found, Trigger]] = field(default_factory=list)
    unknown: list[Found] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        """Whether nothing needs repair."""
        mendable = any(each.repair for each in self.flaws)
        return not (mendable or self.missing or self.obsolete or self.faulty)

    @property
    def stale(self) -> list[FileColumns]:
        """The tables that need a change."""
        touched = {each.place for each in self.missing} | {each.place for each in self.obsolete}
        touched |= {each.place for each, _ in self.faulty}
        return [files for place, files in self.places.items() if place in touched]


def look(
    connection: Connection,
    schema: str | None,
    tables: Sequence[FileColumns],
    *,
    is_needed: bool = True,
    has_indexes: bool = False,
) -> State:
    """Compare the triggers in the catalog with those that these tables need.

    Tables without file columns need none; with ``is_needed=False`` no table does. What they have
    is out of date. Indexes are looked at with ``has_indexes`` only.
    """
    database = database_of(connection)
    state = State(database.place(connection, RELEASES, schema))
    feeds = [*_feeds(connection, state, tables)]
    needed: list[Trigger] = []
    if state.ledger is not None and is_needed:
        needed = list(database.needed(connection, state.ledger, feeds))
        columns = database.columns(connection, state.ledger)
        state.flaws = list(flaws(connection, state.ledger, columns))
    found = [each for each in database.found(connection) if has_indexes or each.kind != "index"]
    _compare(state, needed, found, {*state.places, *_others(connection, tables, found)})
    return state


def _others(
    connection: Connection, tables: Sequence[FileColumns], found: Sequence[Found]
) -> Iterator[Place | None]:
    """Yield the places of tables without file columns that may have a trigger."""
    database = database_of(connection)
    names = {database.folded(each.place.table) for each in found}
    for each in tables:
        if not each.noted and database.folded(each.table) in names:
            yield database.place(connection, each.table, each.schema)


def _feeds(
    connection: Connection, state: State, tables: Sequence[FileColumns]
) -> Iterator[tuple[Place, FileColumns]]:
    """Yield the tables that are there, with the columns that triggers can read; note the rest."""
    database = database_of(connection)
    for files in tables:
        where = database.place(connection, files.table, files.schema) if files.noted else None
        if where is not None:
            state.places[where] = files
            names = database.columns(connection, where)
            without = [each for each in files.noted if database.folded(each) not in names]
            unreadable = database.unreadable(connection, where).intersection(files.noted)
            state.without += [(files, each) for each in without]
            state.unreadable += [(files, each) for each in sorted(unreadable)]
            yield where, files.without({*without, *unreadable})
        elif files.noted and not database.is_view(connection, files.table, files.schema):
            state.absent.append(files)


def _compare(
    state: State, needed: Sequence[Trigger], present: Sequence[Found], known: set[Place | None]
) -> None:
    missing = {(each.place, each.name): each for each in needed}
    known = known | {each.place for each in needed}
    for each in present:
        trigger = missing.pop((each.place, each.name), None)
        if trigger is not None:
            if each.fault is not None:
                state.faulty.append((each, trigger))
        elif not each.drop:
            continue
        elif each.place in known:
            state.obsolete.append(each)
        elif read_note(each.body).get("ledger") == str(state.ledger):
            (state.obsolete if each.kind == "cascade" else state.unknown).append(each)
    state.missing += missing.values()


def fed_tables(
    connection: Connection, schema: str | None, *, without: FileColumns | None = None
) -> list[FileColumns]:
    """Return the tables whose triggers write into a ledger, as the catalog has them.

    A schema that is the connection's default is None, as in a metadata.
    """
    database = database_of(connection)
    ledger = database.place(connection, RELEASES, schema)
    own = without and database.place(connection, without.table, without.schema)
    return [
        FileColumns(
            each.place.table,
            tuple(said["columns"]),
            None if _is_default(connection, each.place) else each.place.schema,
            kept=tuple(said.get("kept", ())),
        )
        for each in database.found(connection)
        if each.kind == "delete"
        and not each.is_inherited
        and each.place != own
        and (said := read_note(each.body)).get("ledger") == str(ledger)
    ]


def _is_default(connection: Connection, place: Place) -> bool:
    return database_of(connection).place(connection, place.table, None) == place


def repair(connection: Connection, state: State) -> None:
    """Drop triggers that are out of date or disabled, and create those that are missing."""
    database = database_of(connection)
    with database.creating(connection):
        for old in state.obsolete:
            execute(connection, old.drop)
        for flaw in state.flaws:
            execute(connection, flaw.repair)
        for old, new in state.faulty:
            execute(connection, old.repair or (*old.drop, *new.create))
        for new in state.missing:
            execute(connection, new.create)
        # What one of them used may be unused in turn.
        while state.ledger and (unused := database.unused(connection, state.ledger)):
            execute(connection, unused)


def drop_indexes(connection: Connection, files: FileColumns) -> None:
    """Drop the indexes on the paths of one table."""
    database = database_of(connection)
    where = database.place(connection, files.table, files.schema)
    for each in list(database.found(connection)):
        if each.kind == "index" and each.place == where:
            execute(connection, each.drop)


def database_of(connection: Connection) -> Database:
    """Return what knows a connection's database, or raise `LedgerError`."""
    name = connection.dialect.name
    if name not in DATABASES:
        raise LedgerError(
            f"the ledger works on SQLite, PostgreSQL, MariaDB and MySQL, not on {name}"
        )
    return DATABASES[name]


def execute(connection: Connection, statements: Sequence[str]) -> None:
    """Execute DDL as it is written."""
    for statement in statements:
        ddl: Any = DDL  # it is untyped
        connection.execute(ddl(statement.replace("%", "%%")))
