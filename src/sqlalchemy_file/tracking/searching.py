"""Search all tables for objects whose rows are in doubt, before they are deleted.

SQL that is not tracked may have moved a reference to any row of any table. If a table cannot be
searched, it may refer to the object.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, false, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sqlalchemy_file.exceptions import escaped
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.references import paths_in
from sqlalchemy_file.ledger.tables import name_in
from sqlalchemy_file.tracking.reading import Database, unharmed
from sqlalchemy_file.tracking.tables import FileTable, known_metadata

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

_MOST_SECONDS_WAITED = 2


class _Searched(NamedTuple):
    """A table in one schema, and those of its columns that have to be searched."""

    table: Table
    schema: str | None
    columns: tuple[Column[Any], ...]
    is_own: bool = False
    """Whether the statement in doubt has written it."""


class _HiddenRowsError(Exception):
    """A table may have rows that this account does not see."""


def still_named(database: Database, target: FileTable, paths: Collection[str]) -> set[str]:
    """Return which of these objects a row of any table refers to, or may refer to.

    ``target`` is the table of the statement in doubt. It is searched first, and the others only
    for what it lacks.
    """
    found = paths_in(database.connection, target.columns, paths, database.schemas)
    missing = set(paths) - found
    for where in _all_searched(database, target) if missing else ():
        try:
            found |= _search(database.connection, where, missing)
        except Exception as error:
            if not _is_about_table(database.connection, error):
                raise
            _log(missing, where, error)
            return set(paths)
        missing -= found
        if not missing:
            break
    return found


def _is_about_table(connection: Connection, error: Exception) -> bool:
    """Tell a table that cannot be searched from a lost connection and a fault of ours."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return False
    expected = SQLAlchemyError, connection.dialect.loaded_dbapi.Error, _HiddenRowsError
    return isinstance(error, expected)


def _all_searched(database: Database, target: FileTable) -> Iterator[_Searched]:
    """Yield all tables with files, those of other metadata too, in the schemas that are in use."""
    options = database.connection.get_execution_options()
    translations = (database.schemas or {}, options.get("schema_translate_map") or {})
    own = _schema(target.table, translations[0])
    yield _Searched(target.table, own, (), is_own=True)
    for metadata in known_metadata(target.table):
        for table, columns in all_file_columns(metadata):
            for schema in dict.fromkeys(_schema(table, each) for each in translations):
                if table is not target.table or schema != own:
                    yield _Searched(table, schema, columns)


def _schema(table: Table, translation: Mapping[str | None, str | None]) -> str | None:
    return translation.get(table.schema, table.schema)


def _search(connection: Connection, where: _Searched, paths: Collection[str]) -> set[str]:
    with unharmed(connection, _MOST_SECONDS_WAITED):
        catalog = inspect(connection)
        if not catalog.has_table(where.table.name, where.schema):
            return set()
        if connection.dialect.name == "postgresql":
            name = name_in(connection.dialect, where.table, where.schema)
            if connection.scalar(select(func.row_security_active(name))):
                raise _HiddenRowsError("a policy may hide rows")
        # Other views show rows of tables that are searched themselves.
        if where.is_own and where.table.name in catalog.get_view_names(where.schema):
            raise _HiddenRowsError("a view may hide rows")
        schemas = {where.table.schema: where.schema}
        return paths_in(connection, _present(connection, where, schemas), paths, schemas)


def _present(
    connection: Connection, where: _Searched, schemas: Mapping[str | None, str | None]
) -> list[Column[Any]]:
    """Return the columns that the table has: a migration may have yet to add the others."""
    if not where.columns:
        return []
    query = select(text("*")).select_from(where.table).where(false())
    found = connection.execute(query, execution_options={"schema_translate_map": schemas})
    names = {str(name).lower() for name in list(found.keys())}
    return [column for column in where.columns if column.name.lower() in names]


def _log(paths: Collection[str], where: _Searched, error: Exception) -> None:
    logger.warning(
        "%d objects are kept: a row of %s may refer to them, and that cannot be known: %s",
        len(paths),
        where.table,
        escaped(error),
    )
