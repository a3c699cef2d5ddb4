"""Compares the triggers that a database has with those that it should have, and makes them so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from sqlalchemy import DDL, Connection

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger import sqlite
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.tables import RELEASES
from sqlalchemy_file.ledger.triggers import Found, Place, Trigger, read_note

_DATABASES: dict[str, ModuleType] = {
    "sqlite": sqlite,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one table: its triggers, or that it is missing itself.

    ``kind`` is "missing table", "missing trigger", "out of date", "disabled" (or its definer is
    gone) or "unknown table": one whose releases come here, and which the metadata does not know.
    """

    table: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"


@dataclass(slots=True)
class State:
    """What has to be done so that the triggers are what they should be."""

    ledger: Place | None
    absent: list[FileColumns] = field(default_factory=list)
    missing: list[Trigger] = field(default_factory=list)
    obsolete: list[Found] = field(default_factory=list)
    faulty: list[Found] = field(default_factory=list)
    unknown: list[Found] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        return self.ledger is not None and not (self.missing or self.obsolete or self.faulty)


def look(connection: Connection, schema: str | None, tables: Sequence[FileColumns]) -> State:
    """Compare the triggers in the catalog with those that these tables need."""
    database = database_of(connection)
    ledger: Place | None = database.place(connection, RELEASES, schema)
    places = [(database.place(connection, each.table, each.schema), each) for each in tables]
    feeds = [(where, each) for where, each in places if where is not None]
    state = State(ledger, [each for where, each in places if where is None])
    present: list[Found] = list(database.found(connection))
    wanted: list[Trigger] = []
    if ledger is not None:
        wanted = list(database.wanted(connection, ledger, feeds))
    _compare(state, wanted, present, {where for where, _ in feeds})
    return state


def _compare(
    state: State, wanted: Sequence[Trigger], present: Sequence[Found], known: set[Place]
) -> None:
    names = {(each.place, each.name) for each in wanted}
    known = known | {each.place for each in wanted}
    there = set()
    for each in present:
        if (each.place, each.name) in names:
            there.add((each.place, each.name))
            if each.fault is not None:
                state.faulty.append(each)
        elif each.place in known or each.kind == "cascade":
            state.obsolete.append(each)
        elif read_note(each.body).get("ledger") == str(state.ledger):
            state.unknown.append(each)
    state.missing += [each for each in wanted if (each.place, each.name) not in there]


def mend(connection: Connection, state: State) -> None:
    """Drop what is out of date or does not work, create what is missing."""
    again = {(each.place, each.name) for each in state.faulty}
    for old in [*state.obsolete, *state.faulty]:
        execute(connection, old.drop)
    if again:
        return
    for new in state.missing:
        execute(connection, new.create)


def problems_of(state: State, schema: str | None) -> Iterator[Problem]:
    """Yield what a look at the catalog has found, in words."""
    if state.ledger is None:
        name = f"{schema}.{RELEASES}" if schema else RELEASES
        yield Problem(name, "missing table", f"there is no such table; {_ADVICE}")
    for absent in state.absent:
        yield Problem(str(absent), "missing table", "the metadata has it, the database does not")
    replaced = {(each.place, each.kind) for each in state.obsolete}
    for each in state.obsolete:
        message = f"the trigger {each.name} is out of date; {_ADVICE}"
        yield Problem(str(each.place), "out of date", message)
    for new in state.missing:
        if (new.place, new.kind) not in replaced:
            message = f"the trigger for {new.kind.upper()} is missing; {_ADVICE}"
            yield Problem(str(new.place), "missing trigger", message)
    for each in state.faulty:
        message = f"the trigger {each.name} does not work: {each.fault}; {_ADVICE}"
        yield Problem(str(each.place), "disabled", message)
    for each in state.unknown:
        message = (
            f"its trigger {each.name} writes into this ledger, but the metadata does not have "
            "the table, so nobody can tell which objects its rows still name; add the table to the "
            "metadata, or drop the trigger"
        )
        yield Problem(str(each.place), "unknown table", message)


def database_of(connection: Connection) -> ModuleType:
    """Return the module for a connection's database, or raise `LedgerError`."""
    name = connection.dialect.name
    if name not in _DATABASES:
        raise LedgerError(
            f"the ledger works on SQLite, PostgreSQL, MariaDB and MySQL, not on {name}"
        )
    return _DATABASES[name]


def execute(connection: Connection, statements: Sequence[str]) -> None:
    """Execute DDL as it is written."""
    for statement in statements:
        connection.execute(DDL(statement.replace("%", "%%")))


_ADVICE = "ensure(connection) of the ledger, or a migration, mends it"
