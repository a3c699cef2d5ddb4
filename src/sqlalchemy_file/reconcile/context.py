"""The context of a pass: its databases and ledgers, checked before anything is deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, MetaData, Table, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sqlalchemy_file.exceptions import LedgerError, UnknownStorageError
from sqlalchemy_file.ledger import Ledger, Problem, ledger_of
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.connections import code_of
from sqlalchemy_file.ledger.identity import database_id
from sqlalchemy_file.ledger.installing import DATABASES, database_of, place_of
from sqlalchemy_file.ledger.tables import now
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.transfer import run_blocking

T = TypeVar("T")
P = ParamSpec("P")

Bind = Session | Engine

_DEADLOCKS = (1213, "40P01")
_RETRIES = 4


@dataclass(frozen=True, slots=True)
class PassContext:
    """A database and its ledger. No transaction is open while a storage works."""

    engine: Engine
    metadata: MetaData
    others: Sequence[PassContext] = ()
    """Other ledgers of the same storages: objects of their rows stay."""

    @property
    def has_ledger(self) -> bool:
        """Whether the metadata has a ledger. Only what deletes nothing can do without one."""
        return ledger_of(self.metadata) is not None

    @property
    def ledger(self) -> Ledger:
        """The ledger of the metadata; raises `LedgerError` if it has none."""
        ledger = ledger_of(self.metadata)
        if ledger is None:
            raise LedgerError(
                "the metadata has no ledger, which shows the objects that open transactions still "
                "need: add Ledger(metadata), and create its tables with its install(connection) "
                "or a migration. Only compare() without delete (`sweep --full`) needs no ledger"
            )
        return ledger

    @property
    def everywhere(self) -> Sequence[PassContext]:
        return (self, *self.others)

    @contextmanager
    def transaction(self, level: str | None = None) -> Iterator[Connection]:
        """Yield a connection at READ COMMITTED: each statement sees what is committed."""
        if level is None and self.engine.dialect.name != "sqlite":
            level = "READ COMMITTED"
        engine = self.engine.execution_options(isolation_level=level) if level else self.engine
        with engine.begin() as connection:
            yield connection

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction; try again after a deadlock."""
        for _ in range(_RETRIES):
            try:
                with self.transaction() as connection:
                    return work(connection)
            except DBAPIError as error:
                if code_of(error) not in _DEADLOCKS:
                    raise
        with self.transaction() as connection:
            return work(connection)

    def ask(
        self,
        function: Callable[Concatenate[Connection, Ledger, P], T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """Call a function of the ledger in a transaction, as `run` does."""
        return self.run(lambda connection: function(connection, self.ledger, *args, **options))

    def now(self) -> int:
        return self.run(now)


def context_of(
    bind: Bind,
    metadata: MetaData,
    others: Iterable[tuple[Bind, MetaData]] = (),
    *,
    needs_ledger: bool = True,
) -> PassContext:
    """Return the context of a pass; raises `LedgerError` without a ledger, or its tables.

    Without ``needs_ledger`` it is enough that all metadata have one, or none.
    """
    context = replace(_placed(bind, metadata), others=[_placed(*each) for each in others])
    if needs_ledger or any(each.has_ledger for each in context.everywhere):
        for each in context.everywhere:
            _refuse_without_tables(each)
    return context


def _placed(bind: Bind, metadata: MetaData) -> PassContext:
    found = bind.get_bind() if isinstance(bind, Session) else bind
    if not isinstance(found, Engine):
        raise LedgerError(
            f"this needs transactions of its own: a Session of an Engine, or an Engine, "
            f"not {type(found).__name__}"
        )
    if found.dialect.name not in DATABASES:
        raise LedgerError(
            f"this works on SQLite, PostgreSQL, MariaDB and MySQL, not on {found.dialect.name}"
        )
    return PassContext(found, metadata)


def _refuse_without_tables(context: PassContext) -> None:
    tables = (context.ledger.releases, context.ledger.state)
    context.run(partial(_refuse_without, tables=tables, remedy=_INSTALL))


def _refuse_without(connection: Connection, tables: Iterable[Table], remedy: str) -> None:
    inspector = inspect(connection)
    for table in tables:
        if not inspector.has_table(table.name, schema=connection.schema_for_object(table)):
            raise LedgerError(
                f"this database has no table {table.fullname!r}. If it is the right database, "
                f"create the table with {remedy}"
            )


def refuse_missing_columns(connection: Connection, metadata: MetaData) -> None:
    """Raise `LedgerError` for a missing table with files, or a missing file column."""
    tables = dict(all_file_columns(metadata))
    _refuse_without(connection, tables, _CREATE)
    fold = database_of(connection).folded
    for table, columns in tables.items():
        schema = connection.schema_for_object(table)
        found = {fold(each["name"]) for each in inspect(connection).get_columns(table.name, schema)}
        for column in columns:
            if fold(column.name) not in found:
                raise LedgerError(
                    f"the table {table.fullname!r} of this database has no column "
                    f"{column.name!r}: run the migration that adds it"
                )


_CREATE = "create_all() of the metadata, or a migration"
_INSTALL = "create_all() of the metadata, install(connection) of the ledger, or a migration"


def refuse_problems(context: PassContext) -> None:
    """Raise `LedgerError` if triggers are missing or out of date, and on a replica."""
    if any(each.run(_is_replica) for each in context.everywhere):
        raise LedgerError(
            "this database is a replica, which cannot be written to, and may be behind: what "
            "deletes has to use the primary"
        )
    # Objects whose entries are missing stay, which is no reason to leave the rest.
    problems = [each for each in _problems(context) if each.kind != "missed notes"]
    if problems:
        raise LedgerError("the ledger is not in order: " + "; ".join(map(str, problems[:5])))


def _problems(context: PassContext) -> Iterator[Problem]:
    for each in context.everywhere:
        problems = each.run(each.ledger.problems)
        is_unknown = any(problem.kind == "unknown table" for problem in problems)
        known = _tables_of(context, each) if is_unknown else set()
        for problem in problems:
            if problem.kind != "unknown table" or problem.table not in known:
                yield problem


def _tables_of(context: PassContext, each: PassContext) -> set[str]:
    """Return the tables of all metadata that share a ledger with one, as problems name them."""

    def tables(connection: Connection, metadata: MetaData) -> set[str]:
        every = list(metadata.tables.values())
        return {str(place_of(connection, table)) for table in every}

    own = each.ask(database_id)
    sharing = [other for other in context.everywhere if other.ask(database_id) == own]
    return set().union(*(other.run(partial(tables, metadata=other.metadata)) for other in sharing))


def _is_replica(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return False
    is_postgresql = connection.dialect.name == "postgresql"
    query = "SELECT pg_is_in_recovery()" if is_postgresql else "SELECT @@read_only"
    return bool(connection.scalar(text(query)))


def refuse_unknown_storages(names: set[str]) -> None:
    """Raise `UnknownStorageError` for storages of rows that have not been added."""
    unknown = sorted(name for name in names if not is_known(name))
    if unknown:
        listed = ", ".join(map(repr, unknown[:5]))
        raise UnknownStorageError(
            f"rows name objects in storages that have not been added: {listed}; "
            "call StorageManager.add_storage(name, ...) for each of them first"
        )


def is_known(storage_name: str) -> bool:
    try:
        StorageManager.storage(storage_name)
    except UnknownStorageError:
        return False
    return True


def pause(seconds: float) -> None:
    run_blocking(partial(time.sleep, seconds))


def in_batches(items: Iterator[T], size: int) -> Iterator[Sequence[T]]:
    """Yield items in batches, without blocking an event loop."""
    while batch := run_blocking(lambda: list(islice(items, size))):
        yield batch
