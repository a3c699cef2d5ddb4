"""What the rows of all file columns name: as a stream in order, and counted by storage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, cast, select, text, tuple_

from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.reconcile.workplace import Workplace
from sqlalchemy_file.records import own_path, paths_of
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.sorting import in_order
from sqlalchemy_file.types import file_field

_ROWS_AT_ONCE = 5000
_END_OF_NAME = "\0"  # sorts before everything that a key may hold


@dataclass(frozen=True, slots=True)
class Named:
    """The files of one column in one storage; ``bytes`` are theirs, without their variants'."""

    table: str
    column: str
    storage: str
    files: int
    bytes: int


def keys_named(place: Workplace) -> Iterator[tuple[str, str]]:
    """Return storage name and key of every object that rows name, in order.

    All rows are read before this returns, a few thousand in a transaction, and spooled to a
    temporary file where they are many. So a row that moves meanwhile may be missed, or be
    seen twice.
    """
    joined = (_END_OF_NAME.join(StorageManager.resolve(path)) for path in _paths(place))
    return (_split(each) for each in in_order(joined))


def files_named(place: Workplace) -> list[Named]:
    """Return how many files the rows of each column name in each storage."""
    found: list[Named] = []
    for table, columns in all_file_columns(place.ledger.metadata):
        for column in columns:
            found += place.run(lambda connection, c=column, t=table: _count(connection, t, c))  # type: ignore[misc]
    return found


def has_folders(place: Workplace) -> bool:
    """Tell whether a field chooses keys, or prefixes, of its own."""
    return any(
        field is not None and field.key is not None
        for _, columns in all_file_columns(place.ledger.metadata)
        for field in (file_field(column.type) for column in columns)
    )


def keeping_storages(place: Workplace) -> set[str]:
    """Return the storages that fields may use which keep what they release."""
    names: set[str] = set()
    for _, columns in all_file_columns(place.ledger.metadata):
        for column in columns:
            field = file_field(column.type)
            if field is None or field.on_release != "keep":
                continue
            if callable(field.upload_storage):
                return set(StorageManager.names())
            names.add(field.upload_storage or StorageManager.get_default())
    return names


def _split(joined: str) -> tuple[str, str]:
    storage, _, key = joined.partition(_END_OF_NAME)
    return storage, key


def _paths(place: Workplace) -> Iterator[str]:
    for table, columns in all_file_columns(place.ledger.metadata):
        for values in _rows(place, table, columns):
            for value in values:
                for record in _records(value):
                    yield from paths_of(record)


def _rows(
    place: Workplace, table: Table, columns: tuple[Column[Any], ...]
) -> Iterator[tuple[Any, ...]]:
    """Yield the file columns of all rows as text, by primary key, in short transactions."""
    keys = tuple(table.primary_key.columns)
    files = [cast(column, Text) for column in columns]
    if not keys:
        with place.transaction() as connection:
            streamed = connection.execution_options(yield_per=_ROWS_AT_ONCE)
            yield from (tuple(row) for row in streamed.execute(select(*files)))
        return
    statement = select(*files, *keys).order_by(*keys).limit(_ROWS_AT_ONCE)
    page = statement
    while rows := place.run(lambda connection, page=page: connection.execute(page).all()):  # type: ignore[misc]
        yield from (tuple(row[: len(files)]) for row in rows)
        last = rows[-1][len(files) :]
        beyond = keys[0] > last[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*last)
        page = statement.where(beyond)


def _records(value: Any) -> Iterator[Mapping[str, Any]]:
    if value is None:
        return
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return
    for record in decoded if isinstance(decoded, list) else [decoded]:
        if isinstance(record, Mapping):
            yield record


def _count(connection: Connection, table: Table, column: Column[Any]) -> list[Named]:
    quoted = connection.dialect.identifier_preparer
    template = _COUNTS[connection.dialect.name]
    schema = connection.schema_for_object(table)
    name = quoted.quote(table.name)
    statement = template.format(
        table=f"{quoted.quote_schema(schema)}.{name}" if schema else name,
        column=quoted.quote(column.name),
    )
    found = [
        Named(table.fullname, column.name, storage or _storage_of(record), files, int(total or 0))
        for storage, record, files, total in connection.execute(text(statement.replace(":", "\\:")))
    ]
    return [each for each in found if each.storage]  # others are no records of files


def _storage_of(record: Any) -> str:
    """Return the storage of a record that does not say it, as older rows may."""
    path = next((own_path(each) for each in _records(record)), None)
    return StorageManager.resolve(path)[0] if path else ""


# The records of one file and of several: a value that is one object is put into an array.
_COUNTS = {
    "sqlite": """
        SELECT json_extract(r.value, '$.upload_storage') AS storage, min(r.value), count(*),
            sum(json_extract(r.value, '$.size'))
        FROM {table} AS t, json_each(CASE WHEN json_valid(t.{column}) THEN
            CASE json_type(t.{column}) WHEN 'array' THEN t.{column}
            ELSE json_array(json(t.{column})) END ELSE '[]' END) AS r
        WHERE t.{column} IS NOT NULL AND r.type = 'object' GROUP BY 1""",
    "postgresql": """
        SELECT r.value->>'upload_storage' AS storage, min(r.value::text), count(*),
            sum((r.value->>'size')::numeric)
        FROM {table} AS t, json_array_elements(CASE json_typeof(t.{column}::json)
            WHEN 'array' THEN t.{column}::json ELSE json_build_array(t.{column}::json) END) AS r
        WHERE t.{column} IS NOT NULL AND json_typeof(r.value) = 'object' GROUP BY 1""",
    "mariadb": """
        SELECT r.storage, min(r.record), count(*), sum(r.size)
        FROM {table} AS t, json_table(
            CASE json_type(t.{column}) WHEN 'ARRAY' THEN t.{column}
            ELSE concat('[', t.{column}, ']') END, '$[*]' COLUMNS (
            storage varchar(255) PATH '$.upload_storage', size bigint PATH '$.size',
            record json PATH '$')) AS r
        WHERE t.{column} IS NOT NULL AND t.{column} <> 'null' GROUP BY 1""",
}
_COUNTS["mysql"] = _COUNTS["mariadb"]
