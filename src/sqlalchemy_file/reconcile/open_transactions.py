"""Wait until every transaction has ended that is open now.

One that has read a row before its change may still write a copy (``INSERT ... SELECT``). After all
of them have ended, a new snapshot shows what they wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import uniform
from uuid import uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.connections import ACCESS_DENIED, code_of
from sqlalchemy_file.ledger.tables import table_name
from sqlalchemy_file.reconcile.context import PassContext, pause

PATIENCE = 30.0
"""Seconds to wait for transactions that are open."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.5
_DETACHED = "0/"
"""The names of prepared transactions, which no connection holds, begin so."""

_Look = Callable[[], set[str]]


class _TimedOutError(Exception):
    """The transactions did not end, or could not be listed, in time."""


def wait(context: PassContext, patience: float) -> bool:
    """Wait until all transactions have ended that are open now, and return whether they did.

    Raises `LedgerError` if this account can neither see transactions nor lock tables.
    """
    name, deadline = context.engine.dialect.name, time.monotonic() + patience
    try:
        if name == "postgresql":
            _wait_for_all(lambda: _postgresql_transactions(context), deadline)
        elif name != "sqlite":  # which refuses a write by a transaction that read an older state
            _wait_for_all(lambda: _innodb_transactions(context, deadline), deadline)
    except _TimedOutError:
        return False
    except DBAPIError as error:
        if code_of(error) != ACCESS_DENIED:
            raise
        return _waited_for_locks(context, deadline)
    return True


def _postgresql_transactions(context: PassContext) -> set[str]:
    with context.transaction() as connection:
        return set(connection.execute(text(_ON_POSTGRESQL)).scalars())


def _wait_for_all(look: _Look, deadline: float) -> None:
    """Wait for open transactions, and for those that were prepared meanwhile."""
    if first := look():
        _wait_for(first, look, deadline)
        _wait_for({name for name in look() if name.startswith(_DETACHED)}, look, deadline)


def _wait_for(rest: set[str], look: _Look, deadline: float) -> None:
    step = _FIRST_PAUSE
    while rest:
        if time.monotonic() > deadline:
            raise _TimedOutError
        pause(step)
        step = min(2 * step, _LONGEST_PAUSE)
        rest &= look()


def _innodb_transactions(context: PassContext, deadline: float) -> set[str]:
    """Return the present transactions of InnoDB.

    Its list is a copy, renewed only if nobody has read it for a tenth of a second. So it is read
    until it contains this very statement.
    """
    longest = _STALE
    while True:
        token = uuid4().hex
        with context.transaction("REPEATABLE READ") as connection:
            connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            rows = connection.execute(text(_ON_MARIADB.format(token=token))).all()
        if any(own for _, own in rows):
            return {name for name, own in rows if not own}
        if time.monotonic() > deadline:
            raise _TimedOutError
        longest = min(2 * longest, 1.0)
        pause(uniform(_STALE, longest))  # noqa: S311  two readers in turn would keep it old


def _waited_for_locks(context: PassContext, deadline: float) -> bool:
    """Lock every file table for a moment: then no transaction that has read it is open."""
    # The lock does not wait, because others would queue up behind it.
    while True:
        with context.transaction() as connection:
            if _locks_all(connection, context):
                return True
        if time.monotonic() > deadline:
            return False
        pause(uniform(0, _STALE))  # noqa: S311


def _locks_all(connection: Connection, context: PassContext) -> bool:
    tables = all_file_columns(context.metadata)
    names = ", ".join(f"{table_name(connection, table)} WRITE" for table, _ in tables)
    try:
        connection.exec_driver_sql(f"LOCK TABLES {names} NOWAIT")
        connection.exec_driver_sql("UNLOCK TABLES")
    except DBAPIError as error:
        if code_of(error) == _LOCK_TIMEOUT:
            return False
        raise LedgerError(
            "this account can neither see the transactions that may still copy a row, nor lock "
            "the tables instead: grant it PROCESS (or LOCK TABLES, on MariaDB)"
        ) from error
    return True


_STALE = 0.12
_LOCK_TIMEOUT = 1205

# A transaction locks its virtual id from before its first snapshot to its end. Prepared ones have
# no process. VACUUM, and workers of autovacuum, which have no user, copy no rows.
_ON_POSTGRESQL = """
    SELECT held.virtualtransaction
    FROM pg_catalog.pg_locks AS held
    JOIN pg_catalog.pg_stat_activity AS process ON process.pid = held.pid
    WHERE held.granted AND held.mode = 'ExclusiveLock' AND held.locktype = 'virtualxid'
        AND held.pid <> pg_backend_pid() AND process.datname = current_database()
        AND process.usesysid IS NOT NULL
        AND held.pid NOT IN (SELECT pid FROM pg_catalog.pg_stat_progress_vacuum)
    UNION ALL SELECT '0/' || transaction::text FROM pg_catalog.pg_prepared_xacts
    WHERE database = current_database()
"""
# Not by trx_id, which changes at the first write. Prepared transactions that lost their connection
# have the thread 0.
_ON_MARIADB = """
    SELECT concat(trx_mysql_thread_id, '/', trx_started),
        trx_mysql_thread_id = connection_id() AND coalesce(trx_query, '') LIKE '%{token}%'
    FROM information_schema.innodb_trx
"""
