"""The paths in all file columns, as a sorted stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, select, tuple_

from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.references import as_read, as_text
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.findings import Malformed
from sqlalchemy_file.reconcile.references.snapshot import in_snapshot, snapshot
from sqlalchemy_file.reconcile.references.values import read_value
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.sorting import in_order
from sqlalchemy_file.types import FileField, file_field

_ROWS_AT_ONCE = 5000
_END_OF_NAME = "\0"  # sorts before everything that a key may hold


def keys_named(context: PassContext, malformed: Malformed) -> Iterator[tuple[str, str]]:
    """Return storage name and key of every object that rows name, in order.

    All rows are read before this returns, a few thousand in a transaction, and spooled to a
    temporary file where they are many. So a row that moves meanwhile may be missed, or be
    seen twice. Values that make no sense are added to ``malformed``.
    """
    return (_split(each) for each in in_order(_joined_paths(context, malformed)))


def has_folders(context: PassContext) -> bool:
    """Return True if a field chooses keys, or prefixes, of its own."""
    return any(
        field is not None and field.key is not None
        for _, columns in all_file_columns(context.metadata)
        for field in (file_field(column.type) for column in columns)
    )


def choosing_storages(context: PassContext) -> set[str]:
    """Return the storages that fields may use which choose their keys."""
    return _storages_of(context, lambda field: field.key is not None)


def _storages_of(context: PassContext, concerns: Callable[[FileField], bool]) -> set[str]:
    names: set[str] = set()
    for _, columns in all_file_columns(context.metadata):
        for field in filter(None, (file_field(column.type) for column in columns)):
            if not concerns(field):
                continue
            if callable(field.upload_storage):
                return set(StorageManager.names())
            names.add(field.upload_storage or StorageManager.get_default())
    return names


def _split(joined: str) -> tuple[str, str]:
    storage, _, key = joined.partition(_END_OF_NAME)
    return storage, key


def _joined_paths(context: PassContext, malformed: Malformed) -> Iterator[str]:
    for table, columns in all_file_columns(context.metadata):
        for values, key in _rows(context, table, columns):
            for column, raw in zip(columns, values, strict=True):
                if raw is None:
                    continue
                value = read_value(as_text(raw))
                if value.faults:
                    malformed.add(f"{table.fullname}.{column.name}", key, value.faults)
                for file in value.files:
                    yield from (_END_OF_NAME.join(StorageManager.resolve(p)) for p in file.paths)


_Row = tuple[Sequence[Any], Sequence[Any]]


def _rows(context: PassContext, table: Table, columns: Sequence[Column[Any]]) -> Iterator[_Row]:
    """Yield the file columns of all rows, and the primary key, in short transactions."""
    keys = tuple(table.primary_key.columns)
    if not keys:
        with snapshot(context) as connection:
            yield from _page(connection, columns, keys, None)
        return
    last: Sequence[Any] | None = None
    while rows := in_snapshot(
        context,
        partial(lambda connection, last: [*_page(connection, columns, keys, last)], last=last),
    ):
        yield from rows
        last = rows[-1][1]


def _page(
    connection: Connection,
    columns: Sequence[Column[Any]],
    keys: Sequence[Column[Any]],
    last: Sequence[Any] | None,
) -> Iterator[_Row]:
    """Yield the rows behind the last key: all of them where the table has none."""
    query = select(*(as_read(connection, column) for column in columns), *keys)
    if keys:
        query = query.order_by(*keys).limit(_ROWS_AT_ONCE)
    if last is not None:
        query = query.where(_beyond(keys, last))
    for row in connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)):
        yield tuple(row[: len(columns)]), tuple(row[len(columns) :])


def _beyond(keys: Sequence[Column[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    return keys[0] > last[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*last)
