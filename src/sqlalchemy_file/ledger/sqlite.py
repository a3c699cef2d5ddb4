"""The triggers on SQLite: they write into tables of their own database file only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.triggers import (
    LONGEST_PATH,
    PREFIX,
    Found,
    Place,
    Trigger,
    note,
    trigger_name,
)

_NOW = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


def place(connection: Connection, table: str, schema: str | None) -> Place | None:
    """Return where a table lies, or None if there is none of that name."""
    found = Place(schema or "main", table)
    query = f"SELECT 1 FROM {quoted(found.schema)}.sqlite_master WHERE type = 'table' AND name = ?"
    if found.schema not in _schemas(connection):
        return None
    return found if connection.exec_driver_sql(query, (table,)).first() else None


def wanted(
    connection: Connection, ledger: Place, feeds: Sequence[tuple[Place, FileColumns]]
) -> Iterator[Trigger]:
    """Yield the triggers that these tables need."""
    for where, files in feeds:
        if not files.columns:
            continue
        if where.schema != ledger.schema:
            raise LedgerError(
                f"{where}: triggers of SQLite write into their own database file only, and the "
                f"ledger is {ledger}; give the ledger the schema of its tables"
            )
        for kind in ("update", "delete"):
            body = _body(kind, ledger, files.columns)
            when = " OR ".join(
                f"OLD.{name} IS NOT {'NULL' if kind == 'delete' else f'NEW.{name}'}"
                for name in map(quoted, files.columns)
            )
            name = trigger_name(kind, where, when, body)
            create = (
                f"CREATE TRIGGER {quoted(where.schema)}.{quoted(name)} AFTER {kind.upper()} "
                f"ON {quoted(where.table)} FOR EACH ROW WHEN {when}\n"
                f"BEGIN\n  {note(ledger, files.columns)}\n  {body};\nEND"
            )
            yield Trigger(where, kind, name, (create,))


def found(connection: Connection) -> Iterator[Found]:
    """Yield the ledger's triggers in all database files of a connection."""
    for schema in _schemas(connection):
        query = (
            f"SELECT name, tbl_name, sql FROM {quoted(schema)}.sqlite_master "
            f"WHERE type = 'trigger' AND substr(name, 1, {len(PREFIX)}) = '{PREFIX}'"
        )
        for name, table, sql in connection.exec_driver_sql(query).all():
            drop = f"DROP TRIGGER IF EXISTS {quoted(schema)}.{quoted(name)}"
            yield Found(Place(schema, table), name, (drop,), sql)


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _schemas(connection: Connection) -> list[str]:
    return [
        row[1] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] != "temp"
    ]


def _body(kind: str, ledger: Place, columns: Sequence[str]) -> str:
    released = _paths("OLD", columns)
    if kind == "update":
        kept = _paths("NEW", columns)
        released = f"SELECT path FROM ({released})\n  EXCEPT SELECT path FROM ({kept})"
    return (
        f"INSERT INTO {quoted(ledger.table)} (path, at, due_at)\n"
        f"  SELECT DISTINCT path, {_NOW}, {_NOW} FROM (\n  {released})\n"
        # Lone surrogates read as U+FFFD here, and cannot be read back at all by Python.
        f"  WHERE length(CAST(path AS BLOB)) <= {LONGEST_PATH} \n"
        "  AND path NOT GLOB '*' || char(65533) || '*'"
    )


def _paths(row: str, columns: Sequence[str]) -> str:
    return "\n  UNION ".join(_paths_of(f"{row}.{quoted(column)}") for column in columns)


def _paths_of(value: str) -> str:
    """Return a query for the paths in a value, whatever it is.

    Each CASE keeps json_each() from what it would refuse.
    """
    records = (
        f"CASE WHEN typeof({value}) = 'text' THEN CASE WHEN json_valid({value}) THEN "
        f"CASE json_type({value}) WHEN 'array' THEN {value} "
        f"WHEN 'object' THEN '[' || {value} || ']' END END END"
    )
    return (
        f"SELECT file.value AS path FROM json_each({records}) AS record, "
        "json_each(CASE record.type WHEN 'object' THEN record.value END) AS part, "
        "json_each(CASE WHEN part.key = 'path' AND part.type = 'text' "
        f"AND {_is_whole('record.value')} THEN json_array(part.value) "
        f"WHEN part.key = 'files' AND part.type = 'array' AND {_is_whole('part.value')} "
        "THEN part.value END) AS file "
        "WHERE file.type = 'text'"
    )


def _is_whole(json: str) -> str:
    # SQLite cuts a string at an escaped NUL, and what is left is another path.
    return f"instr({json}, '\\u0000') = 0"


def columns(connection: Connection, where: Place) -> set[str]:
    """Return the names of a table's columns."""
    query = f"PRAGMA {quoted(where.schema)}.table_xinfo({quoted(where.table)})"
    return {row[1] for row in connection.exec_driver_sql(query)}


def leftovers(connection: Connection, ledger: Place) -> Iterator[str]:
    """Yield nothing: triggers go with their table."""
    yield from ()
