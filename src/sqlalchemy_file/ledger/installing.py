"""Compare the triggers in a database with those that it should have: problems, and their repair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import DDL, Connection, Table

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import FileColumns, Found, Place, Trigger, read_note
from sqlalchemy_file.ledger.dialects import Database, Feed
from sqlalchemy_file.ledger.dialects.mariadb import MariaDB
from sqlalchemy_file.ledger.dialects.postgresql import PostgreSQL
from sqlalchemy_file.ledger.dialects.sqlite import SQLite
from sqlalchemy_file.ledger.layout import Flaw, flaws
from sqlalchemy_file.ledger.tables import RELEASES

DATABASES: dict[str, Database] = {
    "sqlite": SQLite(),
    "postgresql": PostgreSQL(),
    "mysql": MariaDB(),
    "mariadb": MariaDB(),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of one table: of its triggers, or that the table is missing.

    ``kind`` is "missing table", "missing column", "missing trigger", "out of date", "disabled",
    "wrong type" or "unknown table" (a table outside the metadata writes into this ledger). Problems
    of the ledger's own table are also "rights", "unknown column" and "missed notes": an entry could
    not be written, and only a full pass finds the object. A status adds "unreadable": the account
    cannot read file columns. ``message`` says what to do.
    """

    table: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.table}: {self.message}"


@dataclass(slots=True)
class State:
    """The changes that the triggers of a database need, and the problems that no change solves."""

    ledger: Place | None
    places: dict[Place, FileColumns] = field(default_factory=dict)
    missing: list[Trigger] = field(default_factory=list)
    obsolete: list[Found] = field(default_factory=list)
    faulty: list[tuple[Found, Trigger]] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    unsolved: list[Problem] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        mendable = any(each.repair for each in self.flaws)
        return not (mendable or self.missing or self.obsolete or self.faulty)

    @property
    def stale(self) -> list[FileColumns]:
        touched = {each.place for each in self.missing} | {each.place for each in self.obsolete}
        touched |= {each.place for each, _ in self.faulty}
        return [files for place, files in self.places.items() if place in touched]

    def problems(self, schema: str | None) -> Iterator[Problem]:
        """Yield all problems; ``schema`` is that of a ledger whose table is missing."""
        if self.ledger is None:
            name = f"{schema}.{RELEASES}" if schema else RELEASES
            yield Problem(name, "missing table", f"there is no such table; {_ADVICE}")
        for flaw in self.flaws:
            advice = f"; {_ADVICE}" if flaw.repair else ""
            yield Problem(str(self.ledger), flaw.kind, f"{flaw.message}{advice}")
        yield from self.unsolved
        for old in self.obsolete:
            message = f"{_named(old)} is out of date; {_ADVICE}"
            yield Problem(str(old.place), "out of date", message)
        replaced = {(each.place, each.kind) for each in self.obsolete}
        for new in self.missing:
            if (new.place, new.kind) not in replaced:
                what = _MISSING.get(new.kind, f"the trigger for {new.kind.upper()}")
                message = f"{what} is missing; {_ADVICE}"
                yield Problem(str(new.place), "missing trigger", message)
        for old, _ in self.faulty:
            message = f"{_named(old)} does not work: {old.fault}; {_ADVICE}"
            yield Problem(str(old.place), "disabled", message)


def _named(found: Found) -> str:
    noun = {"index": "the index", "kept": "the view"}.get(found.kind, "the trigger")
    return f"{noun} {found.name}"


def look(
    connection: Connection,
    schema: str | None,
    tables: Sequence[FileColumns],
    *,
    is_needed: bool = True,
    has_indexes: bool = False,
) -> State:
    """Compare the triggers in the catalog with those that these tables need.

    Without ``is_needed`` they need none. Indexes are compared only with ``has_indexes``.
    """
    database = database_of(connection)
    state = State(database.place(connection, RELEASES, schema))
    feeds = [*_feeds(connection, state, tables)]
    needed: list[Trigger] = []
    if state.ledger is not None and is_needed:
        needed = list(database.needed(connection, state.ledger, feeds))
        columns = set(database.columns(connection, state.ledger))
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


def _feeds(connection: Connection, state: State, tables: Sequence[FileColumns]) -> Iterator[Feed]:
    """Yield the tables that are there, with the columns that triggers can read."""
    database = database_of(connection)
    for files in tables:
        where = database.place(connection, files.table, files.schema) if files.noted else None
        if where is not None:
            state.places[where] = files
            there = database.columns(connection, where)
            unread = [each for each in files.noted if not there.get(database.folded(each))]
            for name in unread:
                problem = Problem(str(files), "missing column", _ABSENT.format(name))
                if database.folded(name) in there:
                    problem = Problem(str(files), "wrong type", _UNREADABLE.format(name))
                state.unsolved.append(problem)
            yield where, files.without(unread)
        elif files.noted and not database.is_view(connection, files.table, files.schema):
            state.unsolved.append(Problem(str(files), "missing table", _NOT_CREATED))


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
        elif read_note(each.body).get("ledger") != str(state.ledger):
            continue
        elif each.kind == "cascade":
            state.obsolete.append(each)
        else:
            message = _UNKNOWN.format(each.name)
            state.unsolved.append(Problem(str(each.place), "unknown table", message))
    state.missing += missing.values()


def fed_tables(
    connection: Connection, schema: str | None, *, without: FileColumns | None = None
) -> list[FileColumns]:
    """Return the tables with triggers for a ledger; the default schema is None."""
    database = database_of(connection)
    ledger = database.place(connection, RELEASES, schema)
    own = without and database.place(connection, without.table, without.schema)
    fed: list[FileColumns] = []
    for each in database.found(connection):
        place, said = each.place, read_note(each.body)
        if each.kind != "delete" or each.is_inherited or place == own:
            continue
        if said.get("ledger") == str(ledger):
            is_default = database.place(connection, place.table, None) == place
            schema_of = None if is_default else place.schema
            kept = tuple(said.get("kept", ()))
            fed.append(FileColumns(place.table, tuple(said["columns"]), schema_of, kept=kept))
    return fed


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
        # Dropping one may leave another unused.
        while state.ledger and (unused := database.unused(connection, state.ledger)):
            execute(connection, unused)


def indexes_of(connection: Connection, files: FileColumns) -> list[Found]:
    """Return the indexes on the paths of one table."""
    database = database_of(connection)
    where = database.place(connection, files.table, files.schema)
    found = database.found(connection)
    return [each for each in found if each.kind == "index" and each.place == where]


def database_of(connection: Connection) -> Database:
    """Return the dialect of a connection, or raise `LedgerError`."""
    name = connection.dialect.name
    if name not in DATABASES:
        raise LedgerError(
            f"the ledger works on SQLite, PostgreSQL, MariaDB and MySQL, not on {name}"
        )
    return DATABASES[name]


def place_of(connection: Connection, table: Table) -> Place | None:
    """Return the place of a table in the schema that the connection gives it, or None."""
    schema = connection.schema_for_object(table)
    return database_of(connection).place(connection, table.name, schema)


def execute(connection: Connection, statements: Sequence[str]) -> None:
    """Execute DDL as it is written."""
    for statement in statements:
        ddl: Any = DDL  # it is untyped
        connection.execute(ddl(statement.replace("%", "%%")))


_ADVICE = "ensure(connection) of the ledger, or a migration, repairs it"
_MISSING = {
    "index": "an index on the paths",
    "kept": "the view that records kept objects",
    "notes": "the function that reads paths",
    "paths": "the function that reads paths",
}
_NOT_CREATED = (
    "it is in the metadata, but not in the database: create_all() of the metadata, or a "
    "migration, creates it"
)
_ABSENT = (
    "the column {!r} is in the metadata, but not in the database: run the migration that adds it"
)
_UNREADABLE = (
    "triggers do not read its column {!r}, because its type is not text, varchar, json or jsonb; "
    "give it one of these types"
)
_UNKNOWN = (
    "its trigger {} writes into this ledger, but the metadata does not have the table, so the "
    "references of its rows are unknown; add the table to the metadata, or drop the trigger"
)
