"""Tells whether anybody else is connected to the database, and so may be storing files."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.reconcile.workplace import Workplace, pause

_LOOKS, _PAUSE = 5, 0.1


def refuse_writers(place: Workplace) -> None:
    """Raise `LedgerError` where others are connected: without a grace, their files would be lost.

    SQLite knows only of those that are writing at this moment.
    """
    place.engine.dispose()  # connections of our own that wait in the pool are no writers
    if not _has_writers(place):
        return
    raise LedgerError(
        "a grace of 0 is for a database that nobody writes to, and others are connected to "
        "this one: stop them first, or let the sweep have a grace period"
    )


def _has_writers(place: Workplace) -> bool:
    if place.engine.dialect.name == "sqlite":
        return _is_being_written(place)
    for _ in range(_LOOKS):
        if not _others(place):
            return False
        pause(_PAUSE)  # a server takes a moment to end a connection that was closed
    return True


def _others(place: Workplace) -> int:
    statement = _STATEMENTS[place.engine.dialect.name]
    with place.transaction() as connection:
        return int(connection.scalar(text(statement)) or 0)


def _is_being_written(place: Workplace) -> bool:
    state = place.ledger.state
    try:
        with place.transaction() as connection:
            connection.execute(state.delete().where(state.c.name.is_(None)))
    except OperationalError:
        return True
    return False


_ON_MARIADB = """
    SELECT count(*) FROM information_schema.processlist
    WHERE db = database() AND id <> connection_id()
"""
_STATEMENTS = {
    "postgresql": """
        SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    """,
    "mysql": _ON_MARIADB,
    "mariadb": _ON_MARIADB,
}
