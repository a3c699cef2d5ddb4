"""What is peculiar to one database or driver about transactions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.ddl import ExecutableDDLElement


def is_autocommit(connection: Connection) -> bool:
    """Tell whether what was executed is committed already, so that a rollback undoes nothing."""
    if connection.dialect.name == "sqlite":
        return is_outside_transaction(connection)
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return bool(level == "AUTOCOMMIT")


def is_outside_transaction(connection: Connection) -> bool:
    """Tell whether SQLite has no transaction open, whatever SQLAlchemy thinks.

    Python's driver begins one at the first INSERT, UPDATE or DELETE, not at a SAVEPOINT, whose
    RELEASE then commits; and with ``isolation_level=None`` it begins none at all.
    """
    if connection.dialect.name != "sqlite":
        return False
    return not getattr(connection.connection.driver_connection, "in_transaction", True)


def was_aborted(connection: Connection) -> bool:
    """Tell whether PostgreSQL will answer COMMIT with a silent ROLLBACK, after an earlier error."""
    if connection.dialect.name != "postgresql":
        return False
    cursor = connection.connection.cursor()
    try:
        cursor.execute("SELECT 1")
    except connection.dialect.loaded_dbapi.Error:
        return True
    finally:
        cursor.close()
    return False


def commits_implicitly(connection: Connection, element: Any) -> bool:
    """Tell whether a statement ends the transaction by itself, as DDL does on MySQL and Oracle."""
    if connection.dialect.name not in ("mysql", "mariadb", "oracle"):
        return False
    is_temporary = isinstance(element, CreateTable) and any(
        "TEMPORARY" in str(prefix).upper() for prefix in element.element._prefixes
    )
    return isinstance(element, ExecutableDDLElement) and not is_temporary
