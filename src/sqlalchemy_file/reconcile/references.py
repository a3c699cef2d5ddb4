"""The references of rows: their values, their number, and the sorted stream of their paths.

One transaction sees all tables and the ledger at one moment: reading table after table would miss a
file that moves from one row to another.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

from sqlalchemy import Column, ColumnElement, Connection, Table, select, text, tuple_

from sqlalchemy_file.exceptions import InvalidKeyError, LedgerError, escaped
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.dialects.postgresql import READABLE
from sqlalchemy_file.ledger.references import as_read, as_text
from sqlalchemy_file.ledger.tables import table_name
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.findings import Malformed
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.keys import check_key, in_order
from sqlalchemy_file.values.records import entries_in, own_path, paths_of

_MOST_BYTES = 10**15
_SHOWN = 60


class Stored(NamedTuple):
    """One file of a value: its storage, its size, the paths of all its objects."""

    storage: str
    bytes: int
    paths: tuple[str, ...]


@dataclass(slots=True)
class Value:
    """The files of a value, and its faults as sentences."""

    files: list[Stored] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_value(text: str) -> Value:
    """Return the files and faults of the text in a file column."""
    value = Value()
    try:
        entries = entries_in(text)
    except ValueError:
        value.faults.append("it is not JSON")
        return value
    for record in entries:
        if isinstance(record, dict):
            _add(value, record, has_escapes="\\u" in text)
        else:
            value.faults.append(f"{_shown(record)} is not the record of a file")
    return value


def _add(value: Value, record: dict[str, Any], *, has_escapes: bool) -> None:
    size, has_storage = record.get("size"), isinstance(record.get("upload_storage"), str)
    if has_escapes or not has_storage or not _is_size(size):
        value.faults += _faults(record, has_escapes=has_escapes)
    if not has_storage:
        record = {**record, "upload_storage": None}
    own = own_path(record)
    storages = _sound_paths(value, paths_of(record, own))
    if own is not None and own in storages:
        value.files.append(Stored(storages[own], size if _is_size(size) else 0, tuple(storages)))


def _sound_paths(value: Value, paths: Collection[str]) -> dict[str, str]:
    """Return the paths that objects can have, with storages; the others are faults of the value."""
    if not paths:
        value.faults.append("it names no object")
    places = {path: StorageManager.resolve(path) for path in paths}
    sound = {path: place[0] for path, place in places.items() if _is_sound(*place)}
    if len(sound) < len(paths):
        cannot = "which cannot be the path of an object"
        value.faults += [
            f"it names {_shown(path)}, {cannot}" for path in paths if path not in sound
        ]
    return sound


def _faults(record: Mapping[str, Any], *, has_escapes: bool) -> Iterator[str]:
    storage, size = record.get("upload_storage"), record.get("size")
    if size is not None and not _is_size(size):
        yield f"its size is {_shown(size)}"
    if storage is not None and not isinstance(storage, str):
        yield f"its upload_storage is {_shown(storage)}"
    if has_escapes and not _is_text(record):
        yield "it holds a NUL, or half of a character"


def _is_text(record: Mapping[str, Any]) -> bool:
    """Return True if every database could hold the text in a record."""
    try:
        return b"\\u0000" not in json.dumps(record, ensure_ascii=False).encode()
    except (UnicodeError, RecursionError):
        return False


def _is_size(size: Any) -> TypeGuard[int]:
    return type(size) is int and 0 <= size < _MOST_BYTES


def _is_sound(storage: str, key: str) -> bool:
    try:
        check_key(key)
        storage.encode()
    except (InvalidKeyError, UnicodeError):
        return False
    return bool(storage)


def _shown(thing: Any) -> str:
    try:
        text = escaped(repr(thing))
    except RecursionError:
        text = f"a deeply nested {type(thing).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


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


_ROWS_AT_ONCE = 5000
_END_OF_NAME = "\0"  # sorts before everything that a key may hold

_Row = Sequence[Any]
"""The file columns of a row, then its primary key."""


@dataclass(frozen=True, slots=True)
class Named:
    """The files of one column in one storage; ``bytes`` without those of variants."""

    table: str
    column: str
    storage: str
    files: int
    bytes: int


@dataclass(slots=True)
class Count:
    """The files of rows, and malformed values."""

    columns: list[Named] = field(default_factory=list)
    malformed: Malformed = field(default_factory=Malformed)


def count_files(context: PassContext) -> Count:
    """Return the number of files of each column in each storage, at one moment."""
    count = Count()
    with snapshot(context) as connection:
        for table, columns in all_file_columns(context.metadata):
            totals: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
            for column, file in _files(columns, _page(connection, table, columns), count.malformed):
                total = totals[column.name, file.storage]
                total[0] += 1
                total[1] += file.bytes
            count.columns += [
                Named(table.fullname, *key, *totals[key])
                for column in columns
                for key in sorted(totals)
                if key[0] == column.name
            ]
    return count


def keys_named(context: PassContext, malformed: Malformed) -> Iterator[tuple[str, str]]:
    """Return storage name and key of every object of rows, sorted.

    All rows are read before this returns, a few thousand in a transaction, and spooled to a
    temporary file if they are many. A row that moves meanwhile may be missed, or seen twice.
    """
    joined = (
        _END_OF_NAME.join(StorageManager.resolve(path))
        for table, columns in all_file_columns(context.metadata)
        for _, file in _files(columns, _rows(context, table, columns), malformed)
        for path in file.paths
    )
    parts = (each.partition(_END_OF_NAME) for each in in_order(joined))
    return ((storage, key) for storage, _, key in parts)


def _files(
    columns: Sequence[Column[Any]], rows: Iterable[_Row], malformed: Malformed
) -> Iterator[tuple[Column[Any], Stored]]:
    """Yield the files of rows, each with its column; no value makes that fail."""
    for row in rows:
        key = row[len(columns) :]
        for column, raw in zip(columns, row, strict=False):
            if raw is None:
                continue
            value = read_value(as_text(raw))
            if value.faults:
                name = f"{column.table.fullname}.{column.name}"
                keys = (as_text(each) if isinstance(each, bytes) else each for each in key)
                malformed.add(name, keys, value.faults)
            for file in value.files:
                yield column, file


def _rows(context: PassContext, table: Table, columns: Sequence[Column[Any]]) -> Iterator[_Row]:
    """Yield all rows, in short transactions where the table has a primary key."""
    keys = tuple(table.primary_key.columns)
    if not keys:
        with snapshot(context) as connection:
            yield from _page(connection, table, columns)
        return
    beyond: ColumnElement[bool] | None = None
    while True:
        with snapshot(context) as connection:
            rows = list(_page(connection, table, columns, beyond, limit=_ROWS_AT_ONCE))
        if not rows:
            return
        yield from rows
        last = rows[-1][len(columns) :]
        beyond = keys[0] > last[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*last)


def _page(
    connection: Connection,
    table: Table,
    columns: Sequence[Column[Any]],
    condition: ColumnElement[bool] | None = None,
    limit: int | None = None,
) -> Iterator[_Row]:
    keys = tuple(table.primary_key.columns)
    # Keys that are only shown are read as text: no odd key makes that fail.
    shown = keys if limit is not None else [as_read(connection, key) for key in keys]
    query = select(*(as_read(connection, column) for column in columns), *shown)
    if limit is not None:
        query = query.order_by(*keys).limit(limit)
    if condition is not None:
        query = query.where(condition)
    yield from connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
