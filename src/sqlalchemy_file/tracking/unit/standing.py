"""The state of a transaction, according to the driver and the server.

Most drivers keep the state that the server reports with each answer, so that reading it costs no
round trip. MySQL's error packets carry none: after an error its drivers still show the state of
before, and the server has to be asked. SQLAlchemy and the program may both believe in a transaction
that ended long ago, by a COMMIT on the driver's own connection, a procedure, or a deadlock.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.ddl import ExecutableDDLElement


class Phase(enum.Enum):
    """What SQLAlchemy is about to do, and the database has not answered yet."""

    OPEN = enum.auto()
    PREPARED = enum.auto()
    """The one that was answered: the transaction waits for its second phase."""
    COMMITTING = enum.auto()
    ROLLING_BACK = enum.auto()


class Standing(enum.Enum):
    """The state of a transaction in the database."""

    OPEN = enum.auto()
    ABORTED = enum.auto()
    """Open, but PostgreSQL answers its COMMIT with a ROLLBACK."""
    CLOSED = enum.auto()
    """There is none: what was executed is committed, or was rolled back."""
    UNKNOWN = enum.auto()


def standing(connection: Connection) -> Standing:
    """Return what the driver shows, without a round trip."""
    if connection.closed or connection.invalidated:
        return Standing.UNKNOWN
    return standing_of(connection.dialect, connection.connection.driver_connection)


def standing_of(dialect: Dialect, driver_connection: Any) -> Standing:
    read = _READERS.get(dialect.driver)
    if read is None:
        return Standing.UNKNOWN
    try:
        found = read(driver_connection)
    except Exception:  # noqa: BLE001  closed, or of a version that lacks the attribute
        return Standing.UNKNOWN
    if isinstance(found, Standing):
        return found
    return Standing.OPEN if found else Standing.CLOSED


def asked(connection: Connection) -> Standing:
    """Return what the server says where the driver may be out of date: after an error, say."""
    found = standing(connection)
    if is_right_after_errors(connection.dialect) or connection.closed or connection.invalidated:
        return found
    if connection.dialect.name in ("mysql", "mariadb"):
        return _ask_mysql(connection)
    if connection.dialect.name == "postgresql" and found is not Standing.CLOSED:
        return Standing.ABORTED if _refuses_statements(connection) else found
    return found


def asked_if_stale(connection: Connection) -> Standing:
    """Return what the driver shows; ask only if its last answer cannot be what SQLAlchemy saw."""
    found = standing(connection)
    if found is Standing.UNKNOWN and connection.dialect.driver in _TELLING_STALE:
        return asked(connection)
    return found


def driver_autocommit(connection: Connection) -> bool | None:
    """Return whether the driver commits each statement at once, as far as it shows that.

    A statement that was cut off may not have begun its transaction yet: that none is open does not
    mean that the statement is final.
    """
    if connection.dialect.driver == "asyncpg":
        return False  # SQLAlchemy begins its transactions
    read = _AUTOCOMMIT_READERS.get(connection.dialect.driver)
    if read is None or connection.closed or connection.invalidated:
        return None
    try:
        return bool(read(connection.connection.driver_connection))
    except Exception:  # noqa: BLE001  closed, or of a version that lacks the attribute
        return None


def commits_at_once(connection: Connection) -> bool:
    """Return True if each statement is final, so that a flush may be done in part only."""
    if is_autocommit(connection):
        return True
    return driver_autocommit(connection) is True and standing(connection) is not Standing.OPEN


def _sqlite_autocommit(driver: Any) -> bool:
    driver = getattr(driver, "_conn", driver)  # aiosqlite has no public name for it
    return driver.isolation_level is None or getattr(driver, "autocommit", -1) is True


def _psycopg(driver: Any) -> Standing:
    return _LIBPQ.get(driver.info.transaction_status, Standing.UNKNOWN)


def _pymysql(driver: Any) -> Standing:
    # After an error the result of the last statement is missing, on any cursor.
    result = driver._result
    if result is None:
        return Standing.UNKNOWN
    if driver.server_status & _IN_TRANSACTION:
        return Standing.OPEN
    # Rows bring no state along, so that what is shown is of before: of an INSERT ... RETURNING
    # that began the transaction, say.
    return Standing.UNKNOWN if result.server_status is None else Standing.CLOSED


_LIBPQ = {0: Standing.CLOSED, 2: Standing.OPEN, 3: Standing.ABORTED}
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS
_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("psycopg", "psycopg_async", "psycopg2"), _psycopg),
    **dict.fromkeys(("pymysql", "aiomysql"), _pymysql),
    **dict.fromkeys(
        ("pysqlite", "aiosqlite", "pysqlcipher", "mysqlconnector"), attrgetter("in_transaction")
    ),
    "asyncpg": methodcaller("is_in_transaction"),
    "asyncmy": methodcaller("get_transaction_status"),
    "mariadbconnector": lambda driver: driver.server_status & _IN_TRANSACTION,
}
"""By driver, what tells the state, or whether a transaction is open."""
_AUTOCOMMIT_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("pysqlite", "aiosqlite"), _sqlite_autocommit),
    **dict.fromkeys(("psycopg", "psycopg_async", "psycopg2"), attrgetter("autocommit")),
    **dict.fromkeys(("pymysql", "aiomysql", "asyncmy", "mysqldb"), methodcaller("get_autocommit")),
}
_TELLING_STALE = ("pymysql", "aiomysql")


def is_right_after_errors(dialect: Dialect) -> bool:
    """Return True if the driver shows the state even after an error or an interruption."""
    return dialect.name == "sqlite" or dialect.driver.startswith("psycopg")


def _refuses_statements(connection: Connection) -> bool:
    with _cursor(connection) as cursor:
        try:
            cursor.execute("SELECT 1")
        except connection.dialect.loaded_dbapi.Error:
            return True
    return False


def _cursor(connection: Connection) -> AbstractContextManager[Any]:
    return closing(connection.connection.cursor())


def _ask_mysql(connection: Connection) -> Standing:
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    try:
        with _cursor(connection) as cursor:
            if is_mariadb:
                cursor.execute("SELECT @@in_transaction")
                return Standing.OPEN if cursor.fetchone() == (1,) else Standing.CLOSED
            # MySQL has no such variable; any answer brings the state.
            cursor.execute("DO 0")  # pragma: no cover  tests have MariaDB
    except connection.dialect.loaded_dbapi.Error:
        return Standing.UNKNOWN
    return standing(connection)  # pragma: no cover  as above


def is_autocommit(connection: Connection) -> bool:
    """Return True if SQLAlchemy is set to AUTOCOMMIT."""
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return bool(level == "AUTOCOMMIT")


def is_outside_transaction(connection: Connection) -> bool:
    """Return True if SQLite has no transaction open, even if SQLAlchemy assumes one.

    Python's driver begins one at the first INSERT, UPDATE or DELETE, not at a SAVEPOINT, whose
    RELEASE then commits; and with ``isolation_level=None`` it begins none at all.
    """
    if connection.dialect.name != "sqlite" or connection.invalidated:
        return False
    return not getattr(connection.connection.driver_connection, "in_transaction", True)


def refuses_commit(connection: Connection, error: BaseException) -> bool:
    """Return True if a COMMIT that was answered by this error is certain to have done nothing.

    Other errors may stand for an outcome that the server, or a pooler before it, does not know.
    """
    name = connection.dialect.name
    if name == "postgresql":
        state = str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "08")
        return state != _COMPLETION_UNKNOWN and state[:2] not in _SERVER_IN_TROUBLE
    if name in ("mysql", "mariadb"):
        return bool(error.args) and error.args[0] in _REFUSALS
    if name == "sqlite":
        return not str(getattr(error, "sqlite_errorname", "SQLITE_IOERR")).startswith(
            "SQLITE_IOERR"
        )
    return False


def may_commit(connection: Connection, element: ExecutableDDLElement) -> bool:
    """Return True if DDL may end the transaction by itself, as on MySQL and Oracle."""
    if connection.dialect.name not in _COMMITTING_DDL:
        return False
    return not isinstance(element, CreateTable) or not any(
        "TEMPORARY" in str(prefix).upper() for prefix in element.element._prefixes
    )


_COMMITTING_DDL = ("mysql", "mariadb", "oracle")
_COMPLETION_UNKNOWN = "40003"
_SERVER_IN_TROUBLE = ("08", "53", "57", "58", "XX")  # SQLSTATE classes
_REFUSALS = (
    1062,  # duplicate key
    1205,  # lock wait timeout
    1213,  # deadlock; Galera's conflict with another node
    1290,  # read-only server
    1792,  # read-only transaction
    3101,  # group replication's conflict
)
_SAVEPOINT = "sqlalchemy_file_token"


@dataclass(frozen=True, slots=True)
class Token:
    """A mark inside one transaction, left there by `set_token`, which ends with it.

    No state of a driver distinguishes a transaction from the next one: after a procedure that
    commits and continues, or COMMIT AND CHAIN, a transaction is open as before.
    """

    value: str
    """Empty where the database has no tokens and its driver's state has to do."""

    def is_there(self, connection: Connection, *, is_single: bool = True) -> bool:
        """Return True if the transaction is still the same; False also if that is not known.

        An aborted transaction answers no questions, but one statement (``is_single``) that
        failed in it cannot have ended it and begun another.
        """
        now = standing(connection)
        if now is Standing.ABORTED:
            return is_single
        if now is Standing.CLOSED and connection.dialect.name in ("postgresql", "sqlite"):
            return False
        if not self.value:
            return now is Standing.OPEN
        try:
            return self._is_found(connection)
        except connection.dialect.loaded_dbapi.Error:
            return False

    def _is_found(self, connection: Connection) -> bool:
        with _cursor(connection) as cursor:
            if connection.dialect.name != "postgresql":
                cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")  # an error if it is gone
                return True
            cursor.execute("SELECT current_setting('sqlalchemy_file.tx', true)")
            return bool(cursor.fetchone() == (self.value,))


def set_token(connection: Connection) -> Token | None:
    """Leave a token in the transaction; None if the database does not take it."""
    value = uuid4().hex
    if connection.dialect.name == "postgresql":
        statement = f"SELECT set_config('sqlalchemy_file.tx', '{value}', true)"
    elif connection.dialect.name in ("mysql", "mariadb"):
        statement = f"SAVEPOINT {_SAVEPOINT}"
    else:
        return Token("")
    try:
        with _cursor(connection) as cursor:
            cursor.execute(statement)
    except connection.dialect.loaded_dbapi.Error:
        return None
    return Token(value)
