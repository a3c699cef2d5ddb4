"""The age from which objects may be deleted: the grace period, the clocks, other writers."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.connections import ACCESS_DENIED, code_of
from sqlalchemy_file.ledger.state import DEFAULT_GRACE, sweeping_grace
from sqlalchemy_file.reconcile.context import PassContext, pause
from sqlalchemy_file.storage import Attributes, Storage
from sqlalchemy_file.transfer import run_blocking
from sqlalchemy_file.values.records import fresh_key

SKEW = 300_000
"""The difference, in milliseconds, between the clocks of writers and this machine's."""
MOST_APART = 300_000
"""That between the clocks of the database and the storages, and this machine's."""

_LOOKS, _PAUSE = 5, 0.1


def age_limit(context: PassContext, grace: float | None) -> int:
    """Return the time, in milliseconds, before which an object must have been made.

    Raises `LedgerError` if the grace period is too short, or the clocks differ too much.
    """
    seconds = _agreed_grace(context, grace)
    now = min(map(_agreed_now, context.everywhere))
    return now - int(seconds * 1000) - SKEW if seconds else now + SKEW


def _agreed_grace(context: PassContext, asked: float | None) -> float:
    # A pass without a ledger deletes nothing.
    if not context.has_ledger:
        return DEFAULT_GRACE if asked is None else asked
    kept = max(each.ask(sweeping_grace) for each in context.everywhere)
    grace = kept if asked is None else asked
    if grace == 0:
        for each in context.everywhere:
            _refuse_writers(each)
    elif grace < kept:
        raise LedgerError(
            f"a grace period of {grace:g} seconds is shorter than the {kept:g} of this database, "
            "on which writers rely: change it with set_grace(), or give 0 while nobody writes"
        )
    return grace


def now_here() -> int:
    """Return the time of this machine, in milliseconds since the epoch."""
    return int(datetime.now(UTC).timestamp() * 1000)


def _agreed_now(context: PassContext) -> int:
    """Return the earlier time of this machine's and the database's."""
    before = now_here()
    there = context.now()
    _refuse_apart("the database", there, before, now_here())
    return min(before, there)


def refuse_other_time(name: str, storage: Storage) -> None:
    """Raise `LedgerError` if the clocks of a storage and of this machine differ.

    A small object is stored and deleted for this. If the deletion fails, a later sweep deletes it.
    """
    before = now_here()
    key = fresh_key()
    run_blocking(lambda: storage.put(key, BytesIO(b"what time is it?"), Attributes()))
    try:
        date = run_blocking(lambda: storage.stat(key)).last_modified
        after = now_here()
    finally:
        with suppress(Exception):
            run_blocking(lambda: storage.delete([key]))
    if date is not None:
        _refuse_apart(f"the storage {name!r}", int(date.timestamp() * 1000), before, after)


def _refuse_apart(who: str, there: int, before: int, after: int) -> None:
    apart = max(before - there, there - after)
    if apart <= MOST_APART:
        return
    direction = "behind" if there < before else "ahead of"
    raise LedgerError(
        f"the clock of {who} is {apart / 1000:,.0f} seconds {direction} the clock of this machine, "
        "so the age of objects is unknown: correct the clocks first"
    )


def _refuse_writers(context: PassContext) -> None:
    """Raise `LedgerError` if others are connected; SQLite shows only present writers."""
    is_sqlite = context.engine.dialect.name == "sqlite"
    if _is_being_written(context) if is_sqlite else _has_others(context):
        raise LedgerError(
            "a grace of 0 is for a database that nobody writes to, and others are connected to "
            "this one: stop them first, or let the sweep have a grace period"
        )


def _is_being_written(context: PassContext) -> bool:
    state = context.ledger.state
    try:
        with context.transaction() as connection:
            connection.execute(state.delete().where(state.c.name.is_(None)))
    except OperationalError:
        return True
    return False


def _has_others(context: PassContext) -> bool:
    with ExitStack() as stack:
        own = [stack.enter_context(context.engine.connect())]
        waiting: Any = getattr(context.engine.pool, "checkedin", lambda: 0)
        while waiting():  # connections that wait in the pool are no writers
            own.append(stack.enter_context(context.engine.connect()))
        for look in range(_LOOKS):
            if look:
                pause(_PAUSE)  # a server takes a moment to end a connection that was closed
            if not _connected(own[0]) - {_process(each) for each in own}:
                return False
    return True


def _process(connection: Connection) -> int:
    name = "pg_backend_pid" if connection.dialect.name == "postgresql" else "connection_id"
    return int(connection.scalar(text(f"SELECT {name}()")) or 0)


def _connected(connection: Connection) -> set[int]:
    is_postgresql = connection.dialect.name == "postgresql"
    try:
        query = text(_ON_POSTGRESQL if is_postgresql else _ON_MARIADB)
        found = set(connection.execute(query).scalars())
    except DBAPIError as error:
        if code_of(error) != ACCESS_DENIED:
            raise
        raise LedgerError(
            "a grace of 0 is for a database that nobody writes to, and this account cannot see "
            "who is connected: grant it PROCESS, or let the sweep have a grace period"
        ) from error
    connection.rollback()  # so that the next look sees the present
    return found


# An ordinary role sees neither the kind of other processes nor their state.
_ON_POSTGRESQL = """
    SELECT pid FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND usesysid IS NOT NULL
    UNION ALL SELECT 0 FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()
"""
# The list of transactions needs PROCESS; without it the list of processes shows only one's own.
# Prepared transactions that lost their connection have 0.
_ON_MARIADB = """
    SELECT id FROM information_schema.processlist
    WHERE (db = database() OR db IS NULL) AND user NOT IN ('system user', 'event_scheduler')
        AND command NOT IN ('Daemon', 'Binlog Dump')
    UNION SELECT trx_mysql_thread_id FROM information_schema.innodb_trx
    WHERE trx_mysql_thread_id = 0
"""
