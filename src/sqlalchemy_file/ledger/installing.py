"""Compare the triggers in a database with those that it should have, and repair them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from sqlalchemy import DDL, Connection

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.dialects import mariadb, postgresql, sqlite
from sqlalchemy_file.ledger.layout import Flaw, flaws
from sqlalchemy_file.ledger.tables import RELEASES
from sqlalchemy_file.ledger.triggers import Found, Place, Trigger, read_note

DATABASES: dict[str, ModuleType] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "mysql": mariadb,
    "mariadb": mariadb,
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
    others: Sequence[FileColumns] = (),
    is_wanted: bool = True,
    has_indexes: bool = False,
) -> State:
    """Compare the triggers in the catalog with those that these tables need.

    ``others`` are tables that need none; with ``is_wanted=False`` no table does. What they have
    is out of date. Indexes are looked at with ``has_indexes`` only.
    """
    database = database_of(connection)
    ledger: Place | None = database.place(connection, RELEASES, schema)
    places = [(database.place(connection, each.table, each.schema), each) for each in tables]
    state = State(ledger, {where: each for where, each in places if where is not None})
    state.absent = [
        each
        for where, each in places
        if where is None and not database.is_view(connection, each.table, each.schema)
    ]
    feeds = [(where, _present(connection, state, where)) for where in state.places]
    wanted: list[Trigger] = []
    if ledger is not None and is_wanted:
        feeding = [(where, each) for where, each in feeds if each.noted or each.indexed]
        wanted = list(database.wanted(connection, ledger, feeding))
        state.flaws = list(flaws(connection, ledger, database.columns(connection, ledger)))
    found = [each for each in database.found(connection) if has_indexes or each.kind != "index"]
    names = {each.place.table for each in found}
    resting = [each for each in others if each.table in names]
    known = {database.place(connection, each.table, each.schema) for each in resting}
    _compare(state, wanted, found, known | set(state.places))
    return state


def _present(connection: Connection, state: State, where: Place) -> FileColumns:
    """Return those columns that triggers can read, and note those that they cannot."""
    database, files = database_of(connection), state.places[where]
    names, unreadable = database.columns(connection, where), database.unreadable(connection, where)
    state.without += [(files, each) for each in files.noted if database.folded(each) not in names]
    state.unreadable += [(files, each) for each in files.noted if each in unreadable]
    there = {
        each
        for each in (*files.noted, *files.indexed)
        if database.folded(each) in names and each not in unreadable
    }
    return replace(
        files,
        columns=tuple(name for name in files.columns if name in there),
        indexed=tuple(name for name in files.indexed if name in there),
        kept=tuple(name for name in files.kept if name in there),
    )


def _compare(
    state: State, wanted: Sequence[Trigger], present: Sequence[Found], known: set[Place | None]
) -> None:
    awaited = {(each.place, each.name): each for each in wanted}
    known = known | {each.place for each in wanted}
    for each in present:
        trigger = awaited.pop((each.place, each.name), None)
        if trigger is not None:
            if each.fault is not None:
                state.faulty.append((each, trigger))
        elif not each.drop:
            continue
        elif each.place in known:
            state.obsolete.append(each)
        elif read_note(each.body).get("ledger") == str(state.ledger):
            (state.obsolete if each.kind == "cascade" else state.unknown).append(each)
    state.missing += awaited.values()


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
    found: Place | None = database_of(connection).place(connection, place.table, None)
    return found == place


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
        while state.ledger is not None:  # what one of them used may be left over in turn
            unused = list(database.leftovers(connection, state.ledger))
            if not unused:
                break
            execute(connection, unused)


def drop_indexes(connection: Connection, files: FileColumns) -> None:
    """Drop the indexes on the paths of one table."""
    database = database_of(connection)
    where = database.place(connection, files.table, files.schema)
    for each in list(database.found(connection)):
        if each.kind == "index" and each.place == where:
            execute(connection, each.drop)


def database_of(connection: Connection) -> ModuleType:
    """Return the module for a connection's database, or raise `LedgerError`."""
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
