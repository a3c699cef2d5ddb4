"""The database rights that each kind of work needs, and those that an account lacks."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Table, and_, func, select, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger.columns import Place, all_file_columns, qualified
from sqlalchemy_file.ledger.connections import REFUSALS, code_of
from sqlalchemy_file.ledger.installing import place_of
from sqlalchemy_file.ledger.tables import LedgerTables, table_name

_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")

RIGHTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "session": ((), ("SELECT", "UPDATE", "DELETE"), ("SELECT",)),
    "status": (("SELECT",), ("SELECT",), ("SELECT",)),
    "drain": (("SELECT",), _ALL, _ALL),
    "sweep": (("SELECT",), _ALL, _ALL),
}
"""For each kind of work: rights on tables with files, on the entries, and on the state.

A session also needs rights on the tables that it writes. Without those on the ledger it leaves
deletions to the drain.
"""

# No statement tries this right without a change, so the catalog is read; roles have no host there.
_MINE = """grantee = concat("'", replace(current_user(), '@', "'@'"), "'") OR grantee IN
(SELECT concat("'", role_name, "'@''") FROM information_schema.enabled_roles)"""
_TRIGGER_RIGHTS = text(f"""
SELECT EXISTS (SELECT 1 FROM information_schema.user_privileges
               WHERE privilege_type = 'TRIGGER' AND ({_MINE}))
    OR EXISTS (SELECT 1 FROM information_schema.schema_privileges
               WHERE privilege_type = 'TRIGGER' AND ({_MINE})
               AND coalesce(:schema, database()) LIKE table_schema)
    OR EXISTS (SELECT 1 FROM information_schema.table_privileges
               WHERE privilege_type = 'TRIGGER' AND ({_MINE})
               AND table_schema = coalesce(:schema, database()) AND table_name = :name)""")


def missing_rights(connection: Connection, ledger: LedgerTables, work: str) -> list[str]:
    """Return the rights that the account lacks for some work of `RIGHTS`, as "DELETE on …"."""
    files, notes, state = RIGHTS[work]
    if files and connection.dialect.name in ("mysql", "mariadb"):
        files = (*files, "TRIGGER")  # triggers are hidden from others
    tables = [(table, files) for table, _ in all_file_columns(ledger.metadata)]
    tables += [(ledger.releases, notes), (ledger.state, state)]
    return [
        f"{right} on {table.fullname}"
        for table, rights in tables
        for right in rights
        if not _has_right(connection, table, right)
    ]


def sees_triggers(connection: Connection, ledger: LedgerTables) -> bool:
    """Return whether the account sees the triggers of all tables with files."""
    if connection.dialect.name not in ("mysql", "mariadb"):
        return True
    tables = [table for table, _ in all_file_columns(ledger.metadata)]
    return all(_has_trigger_right(connection, table) for table in tables)


def has_rights(connection: Connection, where: Place, *rights: str) -> bool:
    """Return True if a role of PostgreSQL has these rights, by the catalog; True elsewhere."""
    if connection.dialect.name != "postgresql":
        return True
    has = [func.has_table_privilege(qualified(where), right) for right in rights]
    may_enter = func.has_schema_privilege(where.schema, "USAGE")
    return bool(connection.scalar(select(and_(may_enter, *has))))


def _has_right(connection: Connection, table: Table, right: str) -> bool:
    if connection.dialect.name == "postgresql":
        where = place_of(connection, table)
        return where is None or has_rights(connection, where, right)
    if right == "TRIGGER":
        return _has_trigger_right(connection, table)
    return connection.dialect.name == "sqlite" or _succeeds(connection, table, right)


def _has_trigger_right(connection: Connection, table: Table) -> bool:
    schema = connection.schema_for_object(table)
    return bool(connection.scalar(_TRIGGER_RIGHTS, {"schema": schema, "name": table.name}))


def _succeeds(connection: Connection, table: Table, right: str) -> bool:
    """Try a statement that changes nothing: catalogs show no roles' rights."""
    quoted, name = connection.dialect.identifier_preparer, table_name(connection, table)
    demanding = [
        quoted.format_column(each)
        for each in table.columns
        if not each.nullable and each.server_default is None
    ] or [quoted.format_column(next(iter(table.columns)))]
    statement = {
        "SELECT": f"SELECT 1 FROM {name} LIMIT 0",
        "INSERT": f"INSERT INTO {name} ({', '.join(demanding)}) "
        f"SELECT {', '.join(['NULL'] * len(demanding))} FROM DUAL WHERE FALSE",
        "UPDATE": f"UPDATE {name} SET {demanding[0]} = '' WHERE FALSE",
        "DELETE": f"DELETE FROM {name} WHERE FALSE",
    }[right]
    try:
        connection.execute(text(statement.replace(":", "\\:"))).close()
    except DBAPIError as error:
        if code_of(error) not in REFUSALS:
            raise
        return False
    return True
