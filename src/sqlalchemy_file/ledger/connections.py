"""A connection: its lock for changes of the ledger, what it sees of others, and its errors."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, RootTransaction, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.exceptions import LedgerError

_PATIENCE = 60
"""Seconds to wait for another process on MariaDB and MySQL; others have settings of their own."""

_locked: WeakSet[RootTransaction] = WeakSet()
"""Transactions on PostgreSQL that hold the lock: to take it again, one would wait for itself."""


@contextmanager
def exclusive(connection: Connection, name: str) -> Iterator[None]:
    """Hold a lock of this database; on PostgreSQL and SQLite until the transaction ends."""
    dialect = connection.dialect.name
    held: AbstractContextManager[None] = nullcontext()
    if dialect == "postgresql":
        _advise(connection, (zlib.crc32(name.encode()) << 31) | zlib.crc32(name[::-1].encode()))
    elif dialect == "sqlite":
        held = _writing(connection)
    elif dialect in ("mysql", "mariadb"):
        held = _named(connection, name)
    with held:
        yield


def _advise(connection: Connection, key: int) -> None:
    """Take PostgreSQL's lock; at REPEATABLE READ wait for it on another connection.

    The statement that takes the lock also takes the snapshot, which must show the holder's changes.
    """
    lock = text("SELECT pg_advisory_xact_lock(:key)")
    transaction = connection.get_transaction()
    if transaction in _locked:
        return
    if transaction is not None:
        _locked.add(transaction)
    if _sees_commits(connection):
        connection.execute(lock, {"key": key})
        return
    with _fresh(connection) as waiting, waiting.begin():
        waiting.execute(lock, {"key": key + 1})  # its holder is the next
        with waiting.begin_nested() as turn:
            waiting.execute(lock, {"key": key})
            turn.rollback()  # and with it the lock
        connection.execute(lock, {"key": key})


@contextmanager
def as_committed(connection: Connection) -> Iterator[Connection]:
    """Yield a connection that sees what others have committed: another one at REPEATABLE READ."""
    if connection.dialect.name != "postgresql" or _sees_commits(connection):
        yield connection
        return
    with _fresh(connection) as fresh:
        schemas = connection.get_execution_options().get("schema_translate_map")
        yield fresh.execution_options(schema_translate_map=schemas)


def commits_each_statement(connection: Connection) -> bool:
    """Return True in PostgreSQL's autocommit, where there are no savepoints and no cursors."""
    if connection.dialect.name != "postgresql":
        return False
    own = connection.connection.dbapi_connection
    level = connection.get_execution_options().get("isolation_level")
    return level == "AUTOCOMMIT" or bool(getattr(own, "autocommit", False))


def _fresh(connection: Connection) -> Connection:
    return connection.engine.connect().execution_options(isolation_level="READ COMMITTED")


def _sees_commits(connection: Connection) -> bool:
    return connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"


@contextmanager
def _writing(connection: Connection) -> Iterator[None]:
    """Begin SQLite's transaction with the lock; end it here in the driver's autocommit."""
    driver: Any = connection.connection.driver_connection
    if getattr(driver, "in_transaction", True):
        yield
        return
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    is_ours = getattr(driver, "isolation_level", "") is None
    try:
        yield
    except BaseException:
        if is_ours:
            connection.exec_driver_sql("ROLLBACK")
        raise
    if is_ours:
        connection.exec_driver_sql("COMMIT")


@contextmanager
def _named(connection: Connection, name: str) -> Iterator[None]:
    # Names of locks are those of the whole server, with up to 64 characters.
    lock = "left(concat(:name, ':', sha1(database())), 64)"
    taken = connection.scalar(
        text(f"SELECT get_lock({lock}, :patience)"), {"name": name, "patience": _PATIENCE}
    )
    if taken != 1:
        raise LedgerError(
            f"another process has been changing the ledger for {_PATIENCE} seconds; try again, or "
            "look for it in SHOW PROCESSLIST"
        )
    try:
        yield
    finally:
        if not connection.closed and not connection.invalidated:
            connection.execute(text(f"SELECT release_lock({lock})"), {"name": name})


ACCESS_DENIED = 1227
"""MariaDB and MySQL: the account lacks a right that is not one on a table."""

REFUSALS = frozenset({1044, 1142, 1143, ACCESS_DENIED, 1290})
"""MariaDB and MySQL: the account lacks a right, or the server is read-only."""

_MISSING = frozenset({1049, 1054, 1146})
_MISSING_OR_REFUSED = ("3F", "42")  # SQLSTATE classes of PostgreSQL


def code_of(error: DBAPIError) -> object:
    """Return the error number or the SQLSTATE of a driver's exception."""
    original: Any = error.orig
    first = next(iter(getattr(original, "args", ())), None)
    named = (getattr(original, name, None) for name in ("errno", "sqlstate", "pgcode"))
    codes = (first if isinstance(first, int) else None, *named)
    return next((code for code in codes if code), first)


def is_unreadable(error: DBAPIError) -> bool:
    """Return True if a query failed because a table or column is missing or may not be read."""
    if error.connection_invalidated:
        return False
    name, code = getattr(error.orig, "sqlite_errorname", None), code_of(error)
    if name is not None:
        return bool(name == "SQLITE_ERROR")
    if isinstance(code, int):
        return code in _MISSING or code in REFUSALS
    if isinstance(code, str) and len(code) == len("42P01"):
        return code[:2] in _MISSING_OR_REFUSED
    return True  # this driver has no codes
