"""INSERT, UPDATE and DELETE on tables with file columns, from sessions and connections.

The flush's own statements pass here too: what it has read and decided stands in the unit, and
only what its listeners changed since is left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Compiled
from sqlalchemy.sql.dml import Delete, Insert, Update

from sqlalchemy_file.exceptions import UnknownStorageError, UnsupportedStatementError
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.tracking.changes import Effects
from sqlalchemy_file.tracking.claims import claim_of
from sqlalchemy_file.tracking.endings.connections import known_unit, unit_of
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileTable, clauses_of, file_table_of
from sqlalchemy_file.tracking.unit.decisions import Decision, effects_of
from sqlalchemy_file.tracking.unit.doubts import reread_now
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.tracking.uploading.batch import UploadBatch
from sqlalchemy_file.tracking.writes.effects import stored_effects
from sqlalchemy_file.tracking.writes.plans import (
    follow_clauses,
    plan_of,
    refuse_others,
    refuse_replacing,
)
from sqlalchemy_file.tracking.writes.values import (
    Parameters,
    attribute_names,
    inline_names,
    replaced,
)
from sqlalchemy_file.transfer import yield_to_loop


def table_of(statement: Any) -> FileTable | None:
    """Return the table with files that an INSERT, UPDATE or DELETE writes.

    Raises `UnsupportedStatementError` for a statement that cannot be followed.
    """
    if isinstance(statement, Insert):
        return file_table_of(statement)
    if isinstance(statement, Compiled):  # pragma: no cover  SQLAlchemy 2.0 executes these
        _refuse_compiled(statement)
        return None
    target = file_table_of(statement)
    if target is None:
        refuse_others(statement)
    return target


def before(
    database: Database, target: FileTable, statement: Any, parameters: Parameters
) -> tuple[Any, Parameters] | None:
    """Store and count the files of a statement; return it as it is to run, or None if as it was."""
    unit = known_unit(database.connection)
    if unit is not None:
        decided = _decided(database, unit, target, statement, parameters)
        _reread_beforehand(database, unit, target, statement, parameters)
        if decided is not None:
            if not decided:
                return None
            yield_to_loop(len(parameters))
            effects = effects_of(decided, target, database.schemas)
            _refuse_unknown_storage(database, effects)
            return unit.expect(statement, effects, many=len(parameters) > 1), parameters
    refuse_others(statement)
    refuse_replacing(database, statement, target)
    yield_to_loop(len(parameters))
    plan = plan_of(statement, target, parameters)
    follow_clauses(database, plan)
    if not plan.concerns_files:
        return None
    batch = UploadBatch()
    try:
        effects = stored_effects(database, plan, batch)
        _refuse_unknown_storage(database, effects)
    except BaseException:
        batch.undo()
        raise
    unit = unit_of(database.connection)
    batch.hand_over(unit.frames.top)
    prepared = replaced(plan.statement, parameters, plan.substitutes)
    marked = unit.expect(prepared[0], effects, many=len(parameters) > 1 or plan.may_do_half)
    return marked, prepared[1]


def _decided(
    database: Database, unit: Unit, target: FileTable, statement: Any, parameters: Parameters
) -> Sequence[Decision] | None:
    """Return what a flush has decided about all that a statement gives to file columns."""
    if unit.decisions is None or not database.is_as_connected:
        return None
    if database.connection.dialect.name == "sqlite" and clauses_of(target.table):
        return None  # it may do something else than the statement says
    decisions = unit_of(database.connection).decisions  # none if the transaction has ended
    return None if decisions is None else decisions.take(statement, target, parameters)


def _reread_beforehand(
    database: Database, unit: Unit, target: FileTable, statement: Any, parameters: Parameters
) -> None:
    """Read rows in doubt again before an UPDATE changes the primary keys that tell them apart.

    Those that are found by other columns are read again before any other statement.
    """
    if isinstance(statement, Update) and _changes_keys(statement, target, parameters):
        if unit.decisions is not None:
            unit.decisions.forget_table(target.table)
        reread_now(database.connection, unit)
    elif unit.frames.is_unlocated:
        reread_now(database.connection, unit)


def _changes_keys(statement: Any, target: FileTable, parameters: Parameters) -> bool:
    first = parameters[0] if parameters else {}  # all sets have the same names
    is_inline = statement._values or getattr(statement, "_ordered_values", None)
    inline = inline_names(statement) if is_inline else set[str]()
    for column in target.keys:
        if column.key in first or column.key in inline:
            return True
        if inline and not inline.isdisjoint(attribute_names(statement, column)):
            return True
    return False


def _refuse_unknown_storage(database: Database, effects: Effects) -> None:
    """Refuse to release objects that could not be deleted after the commit."""
    known = StorageManager._registered
    for path in effects.released:
        name, key = StorageManager.resolve(path)
        if not name or name in known:
            continue
        unit = known_unit(database.connection)
        if unit is not None and unit.decisions is not None and path in unit.decisions.moved:
            continue  # another row of the flush takes it over
        if claim_of(database, effects.target.table) is not None:
            return  # the drain deletes it, in a process that has the storage
        raise UnknownStorageError(
            f"{effects.target}: the statement removes the reference to the object {key!r} in "
            f"the storage {name!r}, which has not been added here (added: "
            f"{', '.join(known) or 'none'}); add the storage, or use a Ledger, whose drain "
            "deletes the object in a process that has added it"
        )


def _refuse_compiled(compiled: Compiled) -> None:  # pragma: no cover  SQLAlchemy 2.0
    """Refuse what only SQLAlchemy 2.0 executes: its parameters can no longer be replaced."""
    statement = compiled.statement
    if isinstance(statement, Insert | Update | Delete) and file_table_of(statement) is not None:
        raise UnsupportedStatementError(
            f"{file_table_of(statement)}: a compiled statement on a table with files; execute "
            "the statement itself, which SQLAlchemy compiles once and keeps"
        )


def refuse_hidden(compiled: Any) -> None:
    """Refuse a statement in whose WITH another one changes files, unseen."""
    for cte in getattr(compiled, "ctes", None) or ():
        hidden = cte.element
        if isinstance(hidden, Insert | Update | Delete) and file_table_of(hidden) is not None:
            raise UnsupportedStatementError(
                f"{file_table_of(hidden)}: a statement inside another one's WITH changes files "
                "that cannot be known; execute it by itself"
            )


def refuse_cut_off(unit: Unit, statement: Any) -> None:
    """Refuse to send a statement whose transaction a listener has just ended.

    The files that were stored for it are given up with the transaction.
    """
    if unit.is_cut_off(statement):
        raise UnsupportedStatementError(
            f"{file_table_of(statement)}: a listener has ended the transaction or savepoint of a "
            "statement with files that was about to be sent; end it before or after the statement"
        )
