"""Waits until no transaction is left that began before now.

A transaction that read a row before it changed may still write a copy of it, as
``INSERT ... SELECT`` does. Once all those have ended, rows tell the truth about who names what.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger import named_paths
from sqlalchemy_file.reconcile.keys import owner
from sqlalchemy_file.reconcile.workplace import Workplace, pause

PATIENCE = 30.0
"""Seconds to wait for transactions that are open."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.5


def still_named(place: Workplace, paths: Collection[str], patience: float) -> set[str] | None:
    """Return which of these paths rows name, or will name once they are committed.

    Waits until every transaction has ended that is open now, ``patience`` seconds at most; None
    where some had not. A file of metadata is named with the object that it belongs to.
    """
    seen = _wait(place, patience)
    if seen is None:
        return None
    level = None if seen else "SERIALIZABLE"
    asked = {*paths, *map(owner, paths)}
    named = place.run(lambda connection: named_paths(connection, place.ledger, asked), level)
    return {path for path in paths if path in named or owner(path) in named}


def _wait(place: Workplace, patience: float) -> bool | None:
    """Return whether all could be seen and have ended, or None where some have not."""
    deadline = time.monotonic() + patience
    rest = _open(place)
    seen, step = rest is not None, _FIRST_PAUSE
    while rest:
        if time.monotonic() > deadline:
            return None
        pause(step)
        step = min(2 * step, _LONGEST_PAUSE)
        rest &= _open(place) or set()
    return seen


def _open(place: Workplace) -> set[str] | None:
    """Return the transactions that are open; None where the server does not let us see them."""
    name = place.engine.dialect.name
    if name not in _STATEMENTS:
        # SQLite's writers write alone, and what they read then is what is committed.
        return set()
    if name != "postgresql":
        pause(_STALE)
    try:
        with place.transaction() as connection:
            return set(connection.execute(text(_STATEMENTS[name])).scalars())
    except DBAPIError as error:
        if getattr(error.orig, "args", (None,))[0] == _ACCESS_DENIED:
            return None  # every row is locked instead as it is read
        raise


_STALE = 0.12  # InnoDB shows its transactions as they were up to a tenth of a second ago
_ACCESS_DENIED = 1227

# A transaction has its virtual id from before its first snapshot to its end, and locks it.
# Prepared ones, of no process any more, hold the lock of their real id.
_ON_POSTGRESQL = """
    SELECT held.virtualtransaction
    FROM pg_catalog.pg_locks AS held
    LEFT JOIN pg_catalog.pg_stat_activity AS process ON process.pid = held.pid
    WHERE held.granted AND held.mode = 'ExclusiveLock' AND (
        held.locktype = 'virtualxid' AND held.pid <> pg_backend_pid()
        AND process.datname = current_database()
        AND process.backend_type IS DISTINCT FROM 'autovacuum worker'
        OR held.locktype = 'transactionid' AND held.pid IS NULL)
"""
_ON_MARIADB = """
    SELECT concat(trx_mysql_thread_id, '/', trx_started, '/', trx_id)
    FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> connection_id()
"""
_STATEMENTS = {"postgresql": _ON_POSTGRESQL, "mysql": _ON_MARIADB, "mariadb": _ON_MARIADB}
