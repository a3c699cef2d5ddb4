"""Find out what rows refer to, if the effect of statements is not known.

The rows are read again within the transaction. SQL that is not tracked may have moved a reference
to any row of any table, so all tables are searched for an object before it is deleted. If a table
cannot be searched, it may refer to the object.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, false, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from sqlalchemy_file.exceptions import StorageError, escaped
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.references import paths_in
from sqlalchemy_file.ledger.tables import name_in
from sqlalchemy_file.tracking.changes import Doubts, Effects, Spot, Subject
from sqlalchemy_file.tracking.reading import Database, rows_by, unharmed
from sqlalchemy_file.tracking.tables import FileTable, known_metadata
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.values.records import paths_of

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

_MOST_SECONDS_WAITED = 2


def resolve_doubts(connection: Connection, unit: Unit) -> None:
    """Read rows again for statements whose effect is not known, and count it.

    That is not needed for objects with entries in the ledger.
    """
    for effects in unit.take_unsure():
        database = Database(connection, effects.schemas)
        named = still_named(database, effects.target, effects.paths())
        unit.frames.change(effects.as_seen(named, unit.frames.references))
    if not unit.notes and not unit.frames.has_doubts:
        return
    noted = unit.lease(connection)
    if doubts := unit.frames.doubts():
        doubts = doubts.unless_noted(noted)
        unit.frames.drop_doubts()
        if doubts:
            corrections = _corrections(connection, unit, doubts)
            unit.frames.correct(corrections)
            if corrections.released:
                unit.lease(connection)
    unit.settle_kept(connection)


def reread_now(connection: Connection, unit: Unit) -> None:
    """Read rows again as long as they are found by their primary keys.

    What outer transactions believe is left alone: a savepoint that is rolled back restores it.
    """
    doubts = unit.frames.doubts()
    if not doubts:
        return
    corrections = _corrections(connection, unit, doubts)
    unit.frames.settle_doubts()
    unit.frames.correct(corrections)


def reference_counter(connection: Connection, unit: Unit) -> Callable[[str], int]:
    """Return a function that counts the rows that refer to an object, and reads rows in doubt."""
    corrections: Counter[str] | None = None

    def count(path: str) -> int:
        nonlocal corrections
        if corrections is None and unit.frames.is_doubted(path):
            found = _corrections(connection, unit, unit.frames.doubts())
            corrections = Counter(found.acquired)
            corrections.subtract([*found.released, *found.archived])
        return unit.frames.count(path) + (corrections[path] if corrections else 0)

    return count


def _corrections(connection: Connection, unit: Unit, doubts: Doubts) -> Effects:
    found = _read(connection, doubts.spots())
    corrections = Effects(acquired=list(doubts.kept(found)))
    entrusted = unit.frames.entrusted()
    for path in _unnamed(connection, doubts.missed(found)):
        lost = corrections.archived if path in entrusted else corrections.released
        lost += [path] * unit.frames.references(path)
    return corrections


def _unnamed(connection: Connection, missed: Iterable[tuple[Spot, str]]) -> list[str]:
    """Return those of the missed objects that no row refers to.

    The row that should name one may have got another primary key, and a second row the old one; or
    SQL that is not tracked has given it to another row.
    """
    unnamed: list[str] = []
    for subject, database, paths in _by_subject(connection, missed):
        named = still_named(database, subject.target, paths)
        unnamed += [path for path in paths if path not in named]
    return unnamed


def _read(connection: Connection, spots: Iterable[Spot]) -> dict[Spot, set[str]]:
    """Return the objects that rows name now; rows that are not found are left out."""
    found: dict[Spot, set[str]] = {}
    for subject, database, keys in _by_subject(connection, ((spot, spot.key) for spot in spots)):
        for row in rows_by(database, subject.target, subject.columns, keys):
            records = [record for column in row.values for record in row.records(column)]
            found[Spot(subject, row.key)] = {path for each in records for path in paths_of(each)}
    return found


def _by_subject(
    connection: Connection, items: Iterable[tuple[Spot, Any]]
) -> Iterator[tuple[Subject, Database, list[Any]]]:
    groups: dict[Subject, list[Any]] = defaultdict(list)
    for spot, item in items:
        groups[spot.subject].append(item)
    for subject, group in groups.items():
        yield subject, Database(connection, dict(subject.schemas) or None), group


class _Searched(NamedTuple):
    """A table in one schema, and those of its columns that have to be searched.

    There are none of the table that the statement in doubt has written: it was searched first.
    """

    table: Table
    schema: str | None
    columns: tuple[Column[Any], ...]


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
            logger.warning(
                "%d objects are kept: a row of %s may refer to them, and that cannot be known: %s",
                len(missing),
                where.table,
                escaped(error),
            )
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
    yield _Searched(target.table, own, ())
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
        if not where.columns and where.table.name in catalog.get_view_names(where.schema):
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


def check_moves(connection: Connection, unit: Unit, moved: Iterable[str]) -> None:
    """Refuse a flush that moved files to other rows while their owners kept them."""
    count = reference_counter(connection, unit)
    if shared := [path for path in moved if count(path) > 1]:
        raise StorageError(
            f"two rows would refer to {shared[0]}: a listener or a trigger has kept the file in "
            "its row after another row took it over; assign the file to one row only"
        )
