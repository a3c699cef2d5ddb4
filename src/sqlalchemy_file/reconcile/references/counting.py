"""Count files by storage.

The database counts if all values of a column look as this package writes them. Otherwise they are
read one by one, so that an odd value of another program makes no count fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Table, TextClause, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.references import as_text
from sqlalchemy_file.reconcile.context import PassContext, table_name
from sqlalchemy_file.reconcile.findings import Malformed
from sqlalchemy_file.reconcile.references.counting_sql import DIALECTS
from sqlalchemy_file.reconcile.references.snapshot import in_snapshot
from sqlalchemy_file.reconcile.references.values import read_value

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Named:
    """The files of one column in one storage; ``bytes`` are theirs, without their variants'."""

    table: str
    column: str
    storage: str
    files: int
    bytes: int


@dataclass(slots=True)
class Count:
    """What rows name, and the values that nobody can make sense of."""

    columns: list[Named] = field(default_factory=list)
    malformed: Malformed = field(default_factory=Malformed)


def count_files(context: PassContext) -> Count:
    """Return how many files the rows of each column name in each storage, at one moment."""
    return in_snapshot(context, lambda connection: _counted(connection, context))


def _counted(connection: Connection, context: PassContext) -> Count:
    count = Count()
    for table, columns in all_file_columns(context.metadata):
        for column in columns:
            count.columns += _of_column(connection, table, column, count.malformed)
    return count


def _of_column(
    connection: Connection, table: Table, column: Column[Any], malformed: Malformed
) -> Iterator[Named]:
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    dialect = DIALECTS[connection.dialect.name]
    quoted = connection.dialect.identifier_preparer.quote
    name, value = table_name(connection, table), f"t.{quoted(column.name)}"
    keys = "".join(f", t.{quoted(each.name)}" for each in table.primary_key)
    is_nested = connection.dialect.name == "postgresql"  # an error would end the transaction
    try:
        with connection.begin_nested() if is_nested else nullcontext():
            counted = connection.execute(_text(dialect.count(name, value))).all()
    except DBAPIError:
        counted = None
    if counted is not None and not any(odd for *_, odd in counted):
        for storage, number, total, _ in counted:
            yield Named(table.fullname, column.name, as_text(storage), number, int(total))
        return
    every = _text(dialect.values(name, value, keys)).execution_options(yield_per=_AT_ONCE)
    for raw, *key in connection.execute(every):
        found = read_value(as_text(raw))
        if found.faults:
            malformed.add(f"{table.fullname}.{column.name}", key, found.faults)
        for file in found.files:
            files[file.storage] += 1
            sizes[file.storage] += file.bytes
    for storage in files:
        yield Named(table.fullname, column.name, storage, files[storage], sizes[storage])


def _text(statement: str) -> TextClause:
    return text(statement.replace(":", "\\:"))
