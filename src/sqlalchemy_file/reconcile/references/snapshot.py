"""One transaction that sees all tables and the ledger at one moment.

Reading table after table would miss a file that moves from one row to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.dialects.postgresql import READABLE
from sqlalchemy_file.ledger.tables import table_name
from sqlalchemy_file.reconcile.context import PassContext


@contextmanager
def snapshot(context: PassContext) -> Iterator[Connection]:
    """Yield a connection that sees one state of the database, and all rows of the file tables.

    Raises `LedgerError` if this account would not see all rows.
    """
    name = context.engine.dialect.name
    level = None if name == "sqlite" else "REPEATABLE READ"
    with context.transaction(level) as connection:
        if name == "postgresql":
            _begin_on_postgresql(connection, context)
        elif name != "sqlite":
            connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        # Python's driver would begin a transaction at the first write.
        elif not getattr(connection.connection.driver_connection, "in_transaction", False):
            connection.exec_driver_sql("BEGIN")
        yield connection


def _begin_on_postgresql(connection: Connection, context: PassContext) -> None:
    """Lock the tables against a change of their types, and check these.

    A type, or a view in place of a table, may call functions of its owner with the rights of this
    account. Policies would hide rows.
    """
    # The first SELECT takes the snapshot, when the tables are locked.
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    connection.exec_driver_sql("SET LOCAL row_security = off")
    files = [
        (table_name(connection, table), column.name)
        for table, columns in all_file_columns(context.metadata)
        for column in columns
    ]
    ledger = table_name(connection, context.ledger.releases) if context.has_ledger else None
    names = {table for table, _ in files} | ({ledger} if ledger else set())
    if not names:
        return
    connection.exec_driver_sql(f"LOCK TABLE {', '.join(sorted(names))} IN ACCESS SHARE MODE")
    asked = {
        "names": [name for name, _ in files],
        "columns": [name for _, name in files],
        "ledger": ledger,
    }
    for row in connection.execute(_CATALOG, asked):
        _refuse_odd(row)


def _refuse_odd(row: Any) -> None:
    if row.has_policies:
        raise LedgerError(
            f"row-level security hides rows of {row.table} from this account, so files that they "
            "refer to would be deleted: use a role with BYPASSRLS"
        )
    if row.kind not in _TABLES and not (row.kind in _VIEWS and row.is_trusted):
        raise LedgerError(
            f"{row.table} is not a table: a view, or the like, may run functions of its owner with "
            "the rights of this account, and is read only if a superuser, this account, or the "
            "owner of the ledger owns it"
        )
    if row.type not in READABLE:
        raise LedgerError(
            f"{row.table}.{row.column} has the type {row.type}, and only text, varchar, json and "
            "jsonb are read: others may run functions of their owner with this account's rights"
        )


_TABLES: Sequence[str] = ("r", "p")
_VIEWS: Sequence[str] = ("v", "m")
_CATALOG = text("""
    SELECT asked.name AS table, held.relkind::text AS kind, part.attname AS column,
        part.atttypid::regtype::text AS type, row_security_active(held.oid) AS has_policies,
        (SELECT owner.rolsuper OR owner.rolname = current_user FROM pg_catalog.pg_roles AS owner
            WHERE owner.oid = held.relowner) OR held.relowner = (SELECT relowner
            FROM pg_catalog.pg_class WHERE oid = to_regclass(:ledger)) AS is_trusted
    FROM unnest(CAST(:names AS text[]), CAST(:columns AS text[])) AS asked (name, part)
    JOIN pg_catalog.pg_class AS held ON held.oid = to_regclass(asked.name)
    JOIN pg_catalog.pg_attribute AS part
        ON part.attrelid = held.oid AND part.attname = asked.part
""")
