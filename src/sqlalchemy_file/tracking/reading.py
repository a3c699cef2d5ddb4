"""Read and lock the file columns of rows that are about to change.

Values are read as text and not decoded: most of them are only compared by their paths, and many are
never used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Executable,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    select,
    tuple_,
)
from sqlalchemy.sql.dml import Delete, Update
from sqlalchemy.sql.sqltypes import _Binary

from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.ledger.connections import commits_each_statement
from sqlalchemy_file.tracking.changes import OldRow
from sqlalchemy_file.tracking.tables import FileTable, Key

BATCH_SIZE = 500
"""How many rows are asked for at a time; every database takes that many parameters."""

MOST_PARAMETERS = 30_000
"""How many parameters every database takes in one statement, SQLite being the strictest."""


class Database(NamedTuple):
    """A connection, with the schemas that a statement means there (``schema_translate_map``)."""

    connection: Connection
    schemas: Mapping[str | None, str | None] | None = None

    def execute(self, query: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        options: dict[str, Any] = {"schema_translate_map": self.schemas} if self.schemas else {}
        return self.connection.execute(query, parameters, execution_options=options)

    def lock(self, target: FileTable) -> None:
        """Take SQLite's lock before rows are read that will be written: it has no FOR UPDATE.

        An UPDATE of no row takes it, and makes Python's driver begin the transaction, so that
        another writer cannot come between the reading and the writing.
        """
        if self.connection.dialect.name == "sqlite":
            table, quoted = target.table, self.connection.dialect.identifier_preparer
            schema = (self.schemas or {}).get(table.schema) or table.schema
            name = f"{quoted.quote_schema(schema)}." if schema else ""
            name += quoted.quote(table.name)
            # A column with files: others may be generated, which takes no SET.
            set_ = quoted.format_column(target.columns[0])
            sql = f"UPDATE {name} SET {set_} = {set_} WHERE 0"  # noqa: S608
            self.connection.exec_driver_sql(sql)

    @property
    def is_as_connected(self) -> bool:
        """Whether the schemas are those of the connection, which a flush uses."""
        own = self.connection.get_execution_options().get("schema_translate_map")
        return (self.schemas or None) == (own or None)


def rows_by_key(
    database: Database, target: FileTable, keys: Iterable[Key], *, deleting: bool
) -> dict[Key, OldRow]:
    """Read and lock rows by primary key, in key order so that two writers do not deadlock."""
    wanted = list(dict.fromkeys(keys))
    if wanted:
        database.lock(target)
    rows = _read(database, target, _by_key(target, deleting), target.keys, wanted)
    return {old.key: old for old in rows}


def rows_in_order(
    database: Database, keys: Mapping[FileTable, Collection[Key]], *, deleting: bool
) -> dict[tuple[Table, Key], OldRow]:
    """Read and lock rows of several tables, in one order of tables and keys for all sessions."""
    found: dict[tuple[Table, Key], OldRow] = {}
    for target in sorted(keys, key=attrgetter("table.fullname")):
        ordered = list(keys[target])
        with suppress(TypeError):  # of a key without an order: batches then lock in any order
            ordered.sort()
        for key, row in rows_by_key(database, target, ordered, deleting=deleting).items():
            found[target.table, key] = row
    return found


def rows_by(
    database: Database, target: FileTable, columns: tuple[Column[Any], ...], keys: Sequence[Key]
) -> list[OldRow]:
    """Read rows that this transaction has locked before, by columns that tell them apart."""
    # Plain reads of MySQL show rows as they were when the transaction began, if it left them alone.
    locks = database.connection.dialect.name in ("mysql", "mariadb")
    return _read(database, target, _by_columns(target, columns, locks), columns, keys)


def _read(
    database: Database,
    target: FileTable,
    statement: Select[Any],
    columns: Sequence[Column[Any]],
    keys: Sequence[Key],
) -> list[OldRow]:
    """Read rows in batches, by a statement made by `_wanted`."""
    found: list[OldRow] = []
    for start in range(0, len(keys), BATCH_SIZE):
        _, values = _subject(columns, keys[start : start + BATCH_SIZE])
        for row in database.execute(statement, {"wanted_keys": values}):
            found.append(_old_row(target, row, len(columns)))  # noqa: PERF401  a frame less
    return found


def rows_matching(
    database: Database,
    target: FileTable,
    statement: Update | Delete,
    parameters: Mapping[str, Any],
) -> list[OldRow]:
    """Read and lock the rows that an UPDATE or DELETE would match with these parameters."""
    database.lock(target)
    matching = _same_rows(target, statement).where(*statement._where_criteria)
    options = getattr(statement, "_with_options", ())
    query = _locking(matching, target, deleting=isinstance(statement, Delete)).options(*options)
    found = (_old_row(target, row) for row in database.execute(query, dict(parameters)))
    return list({row.key: row for row in found}.values()) if target.keys else list(found)


def rows_where(database: Database, target: FileTable, criteria: Sequence[Any]) -> list[OldRow]:
    """Read and lock the rows of a table that meet all criteria."""
    database.lock(target)
    statement = select(*target.keys, *_as_text(target)).where(*criteria)
    found = database.execute(_locking(statement, target, deleting=True))
    return [_old_row(target, row) for row in found]


def pinned(connection: Connection, statement: Any, target: FileTable, keys: Sequence[Key]) -> Any:
    """Return the statement, restricted to rows that were read: none may slip in between."""
    subject, values = _subject(target.keys, keys)
    is_writable = all(_is_writable(key, connection) for key in target.keys)
    if len(keys) <= BATCH_SIZE or (not is_writable and len(keys) <= MOST_PARAMETERS):
        return statement.where(subject.in_(values))
    if not is_writable:
        raise UnsupportedStatementError(
            f"{target}: {len(keys)} rows whose primary keys cannot be written into a statement are "
            f"more than one can hold; change at most {MOST_PARAMETERS} at a time"
        )
    # More parameters than some databases take: the keys are written into the statement.
    written: BindParameter[Any] = bindparam(None, values, expanding=True, literal_execute=True)
    return statement.where(subject.in_(written))


def _is_writable(key: Column[Any], connection: Connection) -> bool:
    """Return True if values of this type can be written into SQL; bytes read as text there."""
    kind = key.type.dialect_impl(connection.dialect)
    return not isinstance(kind, _Binary) and bool(kind.literal_processor(connection.dialect))


def _same_rows(target: FileTable, statement: Update | Delete) -> Select[Any]:
    # From the entity where there is one: only that knows its single-table criteria and joins.
    mapper = entity_of(statement)
    if mapper is None:
        return select(*target.keys, *_as_text(target)).select_from(target.table)
    names = [mapper.get_property_by_column(key).key for key in target.keys]
    # From this class, not from the one that declares the attribute: its siblings are not meant.
    return select(*(getattr(mapper.class_, name) for name in names), *_as_text(target))


def entity_of(statement: Any) -> Any:
    """Return the mapper of an ORM-enabled statement, or None for one on a plain table."""
    subject = statement._propagate_attrs.get("plugin_subject")
    return getattr(subject, "mapper", None)


@lru_cache(maxsize=256)
def _by_key(target: FileTable, deleting: bool) -> Select[Any]:
    """Return the statement that reads and locks rows by key; to build it takes longest."""
    return _locking(_wanted(target, target.keys), target, deleting=deleting)


@lru_cache(maxsize=256)
def _by_columns(target: FileTable, columns: tuple[Column[Any], ...], locks: bool) -> Select[Any]:
    statement = _wanted(target, columns)
    return statement.with_for_update(of=target.table) if locks else statement


def _wanted(target: FileTable, columns: Sequence[Column[Any]]) -> Select[Any]:
    subject, _ = _subject(columns, ())
    wanted = subject.in_(bindparam("wanted_keys", expanding=True))
    return select(*columns, *_as_text(target)).where(wanted)


def _as_text(target: FileTable) -> list[Any]:
    return [
        cast(column, Text).label(f"file_{index}") for index, column in enumerate(target.columns)
    ]


def _locking(statement: Select[Any], target: FileTable, *, deleting: bool) -> Select[Any]:
    # An UPDATE of other columns than the key lets rows that refer to this one be inserted.
    return statement.order_by(*target.keys).with_for_update(of=target.table, key_share=not deleting)


def _subject(columns: Sequence[Column[Any]], keys: Sequence[Key]) -> tuple[Any, list[Any]]:
    if len(columns) == 1:
        return columns[0], [key[0] for key in keys]
    return tuple_(*columns), list(keys)


def _old_row(target: FileTable, row: Any, width: int | None = None) -> OldRow:
    width = len(target.keys) if width is None else width
    return OldRow(tuple(row[:width]), dict(zip(target.columns, row[width:], strict=True)))


@contextmanager
def unharmed(connection: Connection, seconds: int) -> Iterator[Any]:
    """Yield a cursor for a query that neither ends the transaction nor waits for long.

    PostgreSQL waits for a lock for at most so many seconds, in a savepoint that is rolled back.
    """
    is_within = connection.dialect.name == "postgresql" and not commits_each_statement(connection)
    cursor = connection.connection.cursor()
    try:
        if is_within:
            cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
            cursor.execute(f"SET LOCAL lock_timeout = '{seconds}s'")
        yield cursor
    finally:
        with suppress(connection.dialect.loaded_dbapi.Error):
            if is_within:
                cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
                cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        cursor.close()


_SAVEPOINT = "sqlalchemy_file_query"
