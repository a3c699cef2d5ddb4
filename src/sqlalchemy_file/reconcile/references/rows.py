"""The references of rows: the number of their files, or the sorted stream of their paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, select, tuple_

from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.references import as_read, as_text
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.findings import Malformed
from sqlalchemy_file.reconcile.references.snapshot import snapshot
from sqlalchemy_file.reconcile.references.values import Stored, read_value
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.keys import in_order

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
