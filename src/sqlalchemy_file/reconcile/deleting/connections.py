"""Refuse a grace period of zero while others are connected to the database."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.reconcile.context import PassContext, code_of, pause

_LOOKS, _PAUSE = 5, 0.1
_ACCESS_DENIED = 1227


def refuse_writers(context: PassContext) -> None:
    """Raise `LedgerError` where others are connected: without a grace, their files would be lost.

    So it does where this account cannot see the others. SQLite knows only of those that are
    writing at this moment.
    """
    name = context.engine.dialect.name
    if _is_being_written(context) if name == "sqlite" else _has_others(context, _OTHERS[name]):
        raise LedgerError(
            "a grace of 0 is for a database that nobody writes to, and others are connected to "
            "this one: stop them first, or let the sweep have a grace period"
        )


def _has_others(context: PassContext, statement: str) -> bool:
    with ExitStack() as stack:
        own = _own_connections(context, stack)
        for look in range(_LOOKS):
            if look:
                pause(_PAUSE)  # a server takes a moment to end a connection that was closed
            if not _others(own[0], statement) - {_process(each) for each in own}:
                return False
    return True


def _own_connections(context: PassContext, stack: ExitStack) -> list[Connection]:
    """Return a connection, and all that wait in the pool: those are no writers."""
    own = [stack.enter_context(context.engine.connect())]
    waiting: Any = getattr(context.engine.pool, "checkedin", lambda: 0)
    while waiting():
        own.append(stack.enter_context(context.engine.connect()))
    return own


def _process(connection: Connection) -> int:
    name = "pg_backend_pid" if connection.dialect.name == "postgresql" else "connection_id"
    return int(connection.scalar(text(f"SELECT {name}()")) or 0)


def _others(connection: Connection, statement: str) -> set[int]:
    try:
        found = set(connection.execute(text(statement)).scalars())
    except DBAPIError as error:
        if code_of(error) != _ACCESS_DENIED:
            raise
        raise LedgerError(
            "a grace of 0 is for a database that nobody writes to, and this account cannot see "
            "who is connected: grant it PROCESS, or let the sweep have a grace period"
        ) from error
    connection.rollback()  # the next look is to be a new one
    return found


def _is_being_written(context: PassContext) -> bool:
    state = context.ledger.state
    try:
        with context.transaction() as connection:
            connection.execute(state.delete().where(state.c.name.is_(None)))
    except OperationalError:
        return True
    return False


# The list of transactions is asked for because it needs PROCESS, without which the list of
# processes shows one's own account only. Prepared transactions that lost their connection have 0.
_ON_MARIADB = """
    SELECT id FROM information_schema.processlist
    WHERE (db = database() OR db IS NULL) AND user NOT IN ('system user', 'event_scheduler')
        AND command NOT IN ('Daemon', 'Binlog Dump')
    UNION SELECT trx_mysql_thread_id FROM information_schema.innodb_trx
    WHERE trx_mysql_thread_id = 0
"""
# An ordinary role sees who is connected where, but neither the kind of process nor its state.
_OTHERS = {
    "postgresql": """
        SELECT pid FROM pg_catalog.pg_stat_activity
        WHERE datname = current_database() AND usesysid IS NOT NULL
        UNION ALL SELECT 0 FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()
    """,
    "mysql": _ON_MARIADB,
    "mariadb": _ON_MARIADB,
}
