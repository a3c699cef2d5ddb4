"""Triggers on MariaDB and MySQL, which fire no triggers of a child if its parent is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger.dialects.cascades import ancestors, cascades_in, qualified, quoted
from sqlalchemy_file.ledger.dialects.database import Database, Feed
from sqlalchemy_file.ledger.dialects.mariadb_bodies import cascade_body, row_body
from sqlalchemy_file.ledger.errors import is_unreadable
from sqlalchemy_file.ledger.triggers import PREFIX, Found, Place, Trigger, trigger_name


class MariaDB(Database):
    """MariaDB and MySQL. Paths have no index: that would need a column that users see."""

    def place(self, connection: Connection, table: str, schema: str | None) -> Place | None:
        return next(_named(connection, table, schema, "BASE TABLE"), None)

    def is_view(self, connection: Connection, table: str, schema: str | None) -> bool:
        return any(_named(connection, table, schema, "VIEW"))

    def columns(self, connection: Connection, where: Place) -> dict[str, bool]:
        query = text(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = :schema AND table_name = :name AND BINARY table_name = :name"
        )
        parameters = {"schema": where.schema, "name": where.table}
        return {self.folded(name): True for name in connection.scalars(query, parameters)}

    def needed(
        self, connection: Connection, ledger: Place, feeds: Sequence[Feed]
    ) -> Iterator[Trigger]:
        """Yield the triggers of these tables, and of tables from which deletes cascade to them."""
        tables = {where: files for where, files in feeds if files.noted}
        for where, files in tables.items():
            for kind in ("update", "delete"):
                body = row_body(kind, ledger, files)
                yield _trigger(where, kind, f"AFTER {kind.upper()}", body)
        for ancestor in ancestors(cascades_in(connection), tables):
            body = cascade_body(ledger, ancestor, tables)
            yield _trigger(ancestor.place, "cascade", "BEFORE DELETE", body)

    def found(self, connection: Connection) -> Iterator[Found]:
        gone = _missing_definers(connection)
        for row in connection.execute(_TRIGGERS).all():
            where = Place(row.schema_name, row.table_name)
            drop = (f"DROP TRIGGER IF EXISTS {quoted(where.schema)}.{quoted(row.name)}",)
            fault = f"its definer {row.definer} is gone" if row.definer in gone else None
            yield Found(where, row.name, drop, row.source or "", fault)

    @contextmanager
    def creating(self, connection: Connection) -> Iterator[None]:
        """Create triggers in the SQL mode that they are written for: a trigger keeps its mode.

        Without strict mode an entry could be cut, and Oracle's mode has another syntax.
        """
        mode = connection.execute(text("SELECT @@sql_mode")).scalar()
        connection.execute(text("SET sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"))
        try:
            yield
        finally:
            if not connection.closed and not connection.invalidated:
                connection.execute(text("SET sql_mode = :mode"), {"mode": mode})


def _named(connection: Connection, table: str, schema: str | None, kind: str) -> Iterator[Place]:
    """Yield the tables of this name. The catalog ignores case; the server may not."""
    found = connection.execute(_TABLES, {"schema": schema, "name": table, "kind": kind}).all()
    for row in found:
        if row.are_folded or (row.name == table and row.schema_name == (schema or row.own_schema)):
            yield Place(row.schema_name, row.name)


def _trigger(where: Place, kind: str, moment: str, body: str) -> Trigger:
    name = trigger_name(kind, where, body)
    create = (
        f"CREATE TRIGGER {quoted(where.schema)}.{quoted(name)} {moment} "
        f"ON {qualified(where)} FOR EACH ROW\n{body}"
    )
    return Trigger(where, kind, name, (create,))


def _missing_definers(connection: Connection) -> set[str]:
    """Return definers of triggers that are gone, as far as this account may look."""
    definers = set(connection.execute(_DEFINERS).scalars())
    try:
        accounts = set(connection.execute(_ACCOUNTS).scalars()) if definers else set()
    except DBAPIError as error:
        if not is_unreadable(error):
            raise
        return set()
    return definers - accounts


_TABLES: Any = text("""
SELECT table_schema AS schema_name, table_name AS name, database() AS own_schema,
       @@lower_case_table_names <> 0 AS are_folded
FROM information_schema.tables
WHERE table_schema = coalesce(:schema, database()) AND table_name = :name
AND (table_type = :kind OR (:kind = 'BASE TABLE' AND table_type = 'SYSTEM VERSIONED'))""")

_TRIGGERS: Any = text(f"""
SELECT trigger_schema AS schema_name, event_object_table AS table_name, trigger_name AS name,
       action_statement AS source, definer
FROM information_schema.triggers WHERE left(trigger_name, {len(PREFIX)}) = '{PREFIX}'
ORDER BY trigger_schema, event_object_table, trigger_name""")

_DEFINERS: Any = text(f"""
SELECT DISTINCT definer FROM information_schema.triggers
WHERE left(trigger_name, {len(PREFIX)}) = '{PREFIX}' AND definer <> current_user()""")

_ACCOUNTS: Any = text("SELECT concat(user, '@', host) FROM mysql.user")
