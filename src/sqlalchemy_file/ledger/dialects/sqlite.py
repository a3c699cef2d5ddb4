"""Triggers and indexes on SQLite, whose triggers write into their own database file only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Text, literal_column, or_

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import (
    LONGEST_PATH,
    LONGEST_VALUE,
    PREFIX,
    FileColumns,
    Found,
    Lookup,
    Place,
    Release,
    Trigger,
    kind_of,
    note,
    quoted,
    trigger_name,
)
from sqlalchemy_file.ledger.dialects import Database, Feed
from sqlalchemy_file.ledger.tables import KEPT, NEVER

_READ_IT = ""
"""Replaces, in the index, the path of a record that has to be read."""


class SQLite(Database):
    """SQLite, where values have types, not columns."""

    def place(self, connection: Connection, table: str, schema: str | None) -> Place | None:
        return _named(connection, table, schema, "table")

    def is_view(self, connection: Connection, table: str, schema: str | None) -> bool:
        return _named(connection, table, schema, "view") is not None

    def columns(self, connection: Connection, where: Place) -> dict[str, bool]:
        query = f"PRAGMA {quoted(where.schema)}.table_xinfo({quoted(where.table)})"
        return {self.folded(row[1]): True for row in connection.exec_driver_sql(query)}

    def needed(
        self, connection: Connection, ledger: Place, feeds: Sequence[Feed]
    ) -> Iterator[Trigger]:
        for where, files in feeds:
            for name in files.indexed:
                yield from (_index(where, name, number) for number in range(2))
            if files.noted and where.schema != ledger.schema:
                raise LedgerError(
                    f"{where}: triggers of SQLite write into their own database file only, and "
                    f"the ledger is {ledger}; give the ledger the schema of its tables"
                )
            if files.noted:
                yield from (_trigger(kind, where, ledger, files) for kind in ("update", "delete"))

    def found(self, connection: Connection) -> Iterator[Found]:
        for schema in _schemas(connection):
            query = (
                f"SELECT type, name, tbl_name, sql FROM {quoted(schema)}.sqlite_master WHERE "
                f"type IN ('trigger', 'index') AND substr(name, 1, {len(PREFIX)}) = '{PREFIX}'"
            )
            for kind, name, table, sql in connection.exec_driver_sql(query).all():
                if kind_of(name) is not None:  # not an index of the ledger's own tables
                    drop = f"DROP {kind} IF EXISTS {quoted(schema)}.{quoted(name)}"
                    yield Found(Place(schema, table), name, (drop,), sql)

    def lookup(
        self, connection: Connection, ledger: Place, where: Place, column: str
    ) -> Lookup | None:
        master = f"{quoted(where.schema)}.sqlite_master"
        query = f"SELECT 1 FROM {master} WHERE type = 'index' AND name = ?"
        names = [_index(where, column, number).name for number in range(2)]
        if not all(connection.exec_driver_sql(query, (name,)).first() for name in names):
            return None
        first, second = (literal_column(_indexed(column, number), Text) for number in range(2))
        return lambda paths: or_(first.in_([*paths, _READ_IT]), second.in_(paths))


def _named(connection: Connection, table: str, schema: str | None, kind: str) -> Place | None:
    schema = schema or "main"
    if schema not in _schemas(connection):
        return None
    query = (
        f"SELECT name FROM {quoted(schema)}.sqlite_master "
        "WHERE type = ? AND name = ? COLLATE NOCASE"
    )
    found = connection.exec_driver_sql(query, (kind, table)).scalar()
    return Place(schema, found) if found is not None else None


def _schemas(connection: Connection) -> list[str]:
    return [
        row[1] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] != "temp"
    ]


def _trigger(kind: str, where: Place, ledger: Place, files: FileColumns) -> Trigger:
    is_update = kind == "update"
    body = ";\n  ".join(_insert(ledger, each, is_update=is_update) for each in files.releases)
    when = " OR ".join(
        f"OLD.{name} IS NOT {f'NEW.{name}' if is_update else 'NULL'}"
        for name in map(quoted, files.noted)
    )
    name = trigger_name(kind, where, when, body)
    create = (
        f"CREATE TRIGGER {quoted(where.schema)}.{quoted(name)} AFTER {kind.upper()} "
        f"ON {quoted(where.table)} FOR EACH ROW WHEN {when}\n"
        f"BEGIN\n  {note(ledger, files.columns, files.kept)}\n  {body};\nEND"
    )
    return Trigger(where, kind, name, (create,))


def _index(where: Place, column: str, number: int) -> Trigger:
    definition = f"({_indexed(column, number)})"
    name = trigger_name("index", where, definition)
    create = (
        f"CREATE INDEX IF NOT EXISTS {quoted(where.schema)}.{quoted(name)} "
        f"ON {quoted(where.table)} {definition}"
    )
    return Trigger(where, "index", name, (create,))


def _indexed(column: str, number: int) -> str:
    """Return the first or second path of a plain record; `_READ_IT` as the first of another."""
    value = quoted(column)
    path = f"json_extract({value}, '$.files[{number}]')"
    other = "NULL" if number else f"'{_READ_IT}'"
    # CASE keeps JSON functions from values that would make a user's statement fail.
    return (
        f"CASE WHEN {value} IS NULL THEN NULL WHEN typeof({value}) <> 'text' THEN {other} "
        f"WHEN NOT json_valid({value}) THEN {other} WHEN {_is_plain(value)} THEN {path} "
        f"ELSE {other} END"
    )


def _is_plain(value: str) -> str:
    """Return the condition that a record has one or two paths, both in its list of files.

    A name that occurs twice, or has escapes, is in doubt: a reader may take another value.
    """
    thumbnail = f"json_type({value}, '$.thumbnail') = 'object'"
    conditions = [
        f"json_type({value}) = 'object'",
        f"json_type({value}, '$.files') = 'array'",
        f"json_type({value}, '$.files[0]') = 'text'",
        f"json_extract({value}, '$.path') = json_extract({value}, '$.files[0]')",
        f"json_type({value}, '$.variants') IS NOT 'object'",
        f"json_array_length({value}, '$.files') = CASE WHEN {thumbnail} THEN 2 ELSE 1 END",
        f"{_count(value, 'path')} = CASE WHEN {thumbnail} THEN 2 ELSE 1 END",
        f"json_extract({value}, '$.thumbnail.path') IS json_extract({value}, '$.files[1]')",
        f"{_count(value, 'files')} = 1",
        f"{_count(value, 'thumbnail')} <= 1",
        *(f"instr({value}, '{escape}') = 0" for escape in (r"\u000", r"\u006", r"\u007")),
        *(f"instr({value}, '\"' || char({space}) || ':') = 0" for space in (9, 10, 13, 32)),
    ]
    return " AND ".join(conditions)


def _count(value: str, name: str) -> str:
    key = f'"{name}":'
    return f"(length({value}) - length(replace({value}, '{key}', ''))) / {len(key)}"


def _insert(ledger: Place, release: Release, *, is_update: bool) -> str:
    released = _notes("OLD", release.columns)
    if is_update:
        released = (
            f"SELECT path, storage FROM ({released})\n"
            f"  EXCEPT SELECT path, storage FROM ({_notes('NEW', release.now)})"
        )
    columns, values = (", lease, due_at", f", '{KEPT}', {NEVER}") if release.is_kept else ("", "")
    return (
        f"INSERT INTO {quoted(ledger.table)} (path, storage{columns})\n"
        f"  SELECT DISTINCT path, storage{values} FROM (\n  {released})\n"
        # Lone surrogates read as U+FFFD here, and cannot be read back at all by Python.
        f"  WHERE length(CAST(path AS BLOB)) <= {LONGEST_PATH} \n"
        "  AND path NOT GLOB '*' || char(65533) || '*'"
    )


def _notes(row: str, columns: Sequence[str]) -> str:
    return "\n  UNION ".join(_notes_in(f"{row}.{quoted(column)}") for column in columns)


def _notes_in(value: str) -> str:
    """Return a query for the paths in any value, and their storages."""
    # Each CASE keeps values from json_each() that would make it fail.
    records = (
        f"CASE WHEN typeof({value}) = 'text' AND length({value}) <= {LONGEST_VALUE} "
        f"THEN CASE WHEN json_valid({value}) THEN "
        f"CASE json_type({value}) WHEN 'array' THEN {value} "
        f"WHEN 'object' THEN '[' || {value} || ']' END END END"
    )
    storage = "storage.value"
    return (
        "SELECT file.value AS path, CASE WHEN "
        f"substr(file.value, 1, length({storage}) + 1) = {storage} || '/' "
        f"THEN {storage} END AS storage "
        f"FROM json_each({records}) AS record, "
        # A table of one row: an expression would be computed again for each file.
        "json_each(json_array(CASE record.type WHEN 'object' "
        "THEN json_extract(record.value, '$.upload_storage') END)) AS storage, "
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
