"""Peculiarities of databases and drivers about transactions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.ddl import ExecutableDDLElement


def is_autocommit(connection: Connection) -> bool:
    """Return True if SQLAlchemy is set to AUTOCOMMIT."""
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return bool(level == "AUTOCOMMIT")


def is_outside_transaction(connection: Connection) -> bool:
    """Return True if SQLite has no transaction open, whatever SQLAlchemy thinks.

    Python's driver begins one at the first INSERT, UPDATE or DELETE, not at a SAVEPOINT, whose
    RELEASE then commits; and with ``isolation_level=None`` it begins none at all.
    """
    if connection.dialect.name != "sqlite" or connection.invalidated:
        return False
    return not getattr(connection.connection.driver_connection, "in_transaction", True)


def lock_for_writing(
    connection: Connection, column: Column[Any], schema: str | None = None
) -> None:
    """Take SQLite's lock before rows are read that will be written: it has no FOR UPDATE.

    An UPDATE of no row takes it, and makes Python's driver begin the transaction, so that
    another writer cannot come between the reading and the writing. ``column`` is one of the table's
    that can be set; ``schema`` is the one that stands for the table's own.
    """
    if connection.dialect.name == "sqlite":
        quoted, table = connection.dialect.identifier_preparer, column.table
        schema = schema or table.schema
        name = f"{quoted.quote_schema(schema)}." if schema else ""
        name += quoted.quote(table.name)
        set_ = quoted.format_column(column)
        connection.exec_driver_sql(f"UPDATE {name} SET {set_} = {set_} WHERE 0")  # noqa: S608


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


def may_commit(connection: Connection, element: Any) -> bool:
    """Tell whether a statement may end the transaction by itself: DDL does on MySQL and Oracle."""
    if connection.dialect.name not in _COMMITTING_DDL:
        return False
    is_temporary = isinstance(element, CreateTable) and any(
        "TEMPORARY" in str(prefix).upper() for prefix in element.element._prefixes
    )
    return isinstance(element, ExecutableDDLElement) and not is_temporary
