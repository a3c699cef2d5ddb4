"""What is peculiar to one database or driver about transactions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.ddl import ExecutableDDLElement

from sqlalchemy_file.types import file_field


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
    if connection.dialect.name != "sqlite" or connection.invalidated:
        return False
    return not getattr(connection.connection.driver_connection, "in_transaction", True)


def lock_for_writing(connection: Connection, table: Table, schema: str | None = None) -> None:
    """Take SQLite's lock before rows are read that will be written: it has no FOR UPDATE.

    An UPDATE of no row takes it, and makes Python's driver begin the transaction, so that
    another writer cannot come between the reading and the writing. ``schema`` is the one that
    stands for the table's own.
    """
    if connection.dialect.name == "sqlite":
        quoted = connection.dialect.identifier_preparer
        # A column with files: others may be generated, which takes no SET.
        files = (each for each in table.columns if file_field(each.type))
        column = quoted.format_column(next(files, next(iter(table.columns))))
        schema = schema or table.schema
        name = f"{quoted.quote_schema(schema)}." if schema else ""
        name += quoted.quote(table.name)
        connection.exec_driver_sql(f"UPDATE {name} SET {column} = {column} WHERE 0")  # noqa: S608


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


def undid_everything(connection: Connection, error: BaseException) -> bool:
    """Tell whether the database itself rolled the transaction back when it reported an error.

    InnoDB does after a deadlock, and after a lock's timeout if it is set so; SQLite does when
    the disk is full, say. PostgreSQL never does: it refuses what comes next.
    """
    if connection.dialect.name in ("mysql", "mariadb"):
        code = error.args[0] if error.args else None
        return code == _DEADLOCK or (code == _LOCK_TIMEOUT and _rolls_back_on_timeout(connection))
    return is_outside_transaction(connection)


def _rolls_back_on_timeout(connection: Connection) -> bool:
    cursor = connection.connection.cursor()
    try:
        cursor.execute("SELECT @@innodb_rollback_on_timeout")
        row = cursor.fetchone()
        return row is not None and bool(row[0])
    finally:
        cursor.close()


_DEADLOCK, _LOCK_TIMEOUT = 1213, 1205


def commits_ddl(connection: Connection) -> bool:
    """Tell whether DDL commits what came before it."""
    return connection.dialect.name in ("mysql", "mariadb", "oracle")


def commits_implicitly(connection: Connection, element: Any) -> bool:
    """Tell whether a statement ends the transaction by itself, as DDL does on MySQL and Oracle."""
    if not commits_ddl(connection):
        return False
    is_temporary = isinstance(element, CreateTable) and any(
        "TEMPORARY" in str(prefix).upper() for prefix in element.element._prefixes
    )
    return isinstance(element, ExecutableDDLElement) and not is_temporary
