"""INSERT, UPDATE and DELETE on tables with file columns, from sessions and connections.

The flush's own statements pass here too: what it has read and decided stands in the unit, and
only what its listeners changed since is left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy.engine import Compiled
from sqlalchemy.sql.dml import Delete, Insert, Update

from sqlalchemy_file.exceptions import UnknownStorageError, UnsupportedStatementError
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.tracking.changes import RowChange, change, files_in
from sqlalchemy_file.tracking.claims import Claim, claim_of
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileTable, file_table_of
from sqlalchemy_file.tracking.unit.decisions import Decision, effects_of
from sqlalchemy_file.tracking.unit.frames import Effects
from sqlalchemy_file.tracking.unit.looking import holders, look_now
from sqlalchemy_file.tracking.unit.standing import commits_at_once
from sqlalchemy_file.tracking.unit.units import Unit, known_unit, unit_of
from sqlalchemy_file.tracking.uploading.steps import Unsaved
from sqlalchemy_file.tracking.uploading.storing import UploadBatch
from sqlalchemy_file.tracking.writes.conflicts import follow_clauses, has_clauses, refuse_replacing
from sqlalchemy_file.tracking.writes.matching import forget_rows, matched_rows
from sqlalchemy_file.tracking.writes.plans import Plan, plan_of, refuse_others
from sqlalchemy_file.tracking.writes.values import (
    GivenRow,
    Parameters,
    RowValues,
    attribute_names,
    inline_names,
    replaced,
)
from sqlalchemy_file.transfer import yield_to_loop
from sqlalchemy_file.values.records import paths_of


def table_of(statement: Any) -> FileTable | None:
    """Return the table with files that an INSERT, UPDATE or DELETE writes.

    Raises `UnsupportedStatementError` for a statement that cannot be followed.
    """
    if isinstance(statement, Compiled):
        _refuse_compiled(statement)
        return None
    target = file_table_of(statement)
    if target is None and not isinstance(statement, Insert):
        refuse_others(statement)
    return target


def before(
    database: Database, target: FileTable, statement: Any, parameters: Parameters
) -> tuple[Any, Parameters] | None:
    """Store and count the files of a statement; return it as it is to run, or None if as it was."""
    unit = _deciding(database, target)
    decided = _decided(unit, statement, target, parameters)
    _look_beforehand(database, statement, target, parameters)
    if unit is not None and decided is not None:
        return _carry_out(database, unit, statement, target, parameters, decided)
    refuse_others(statement)
    refuse_replacing(database, statement, target)
    yield_to_loop(len(parameters))
    plan = plan_of(statement, target, parameters)
    follow_clauses(database, plan)
    if not plan.concerns_files:
        return None
    attempt = UploadBatch()
    try:
        attempt.take_over(file for value in plan.values.values() for file in files_in(value))
        claim = claim_of(database, plan.target.table)
        attempt.store(list(_unsaved(plan, claim)))
        unit = unit_of(database.connection)
        _find_changes(database, unit, plan)
        effects = _effects(database, unit, plan, attempt, claim)
        if claim is None:  # else the drain deletes it, in a process that has the storage
            _refuse_unknown_storage(unit, effects)
        yield_to_loop(len(plan.values))
    except BaseException:
        attempt.undo()
        raise
    attempt.hand_over(unit.frames.top)
    prepared = replaced(plan.statement, parameters, plan.substitutes)
    marked = unit.expect(prepared[0], effects, many=len(parameters) > 1 or plan.may_do_half)
    return marked, prepared[1]


def _deciding(database: Database, target: FileTable) -> Unit | None:
    """Return the unit if a flush is in progress whose decisions hold for statements on a table."""
    unit = known_unit(database.connection)
    if unit is None or unit.decisions is None or not database.is_as_connected:
        return None
    return None if has_clauses(database, target.table) else unit_of(database.connection)


def _decided(
    unit: Unit | None, statement: Any, target: FileTable, parameters: Parameters
) -> Sequence[Decision] | None:
    """Return what a flush has decided about all that a statement gives to file columns."""
    decisions = None if unit is None else unit.decisions
    return None if decisions is None else decisions.take(statement, target, parameters)


def _look_beforehand(
    database: Database, statement: Any, target: FileTable, parameters: Parameters
) -> None:
    """Look at rows in doubt before it is too late.

    That is before an UPDATE changes the primary keys that tell them apart, and before a row of
    which nobody knows which file it has is deleted with it.
    """
    unit = known_unit(database.connection)
    if unit is None:
        return
    if isinstance(statement, Update) and _changes_keys(statement, target, parameters):
        if unit.decisions is not None:
            unit.decisions.forget_table(target.table)
        look_now(database.connection, unit)
    elif unit.frames.is_ambiguous:
        look_now(database.connection, unit)


def _changes_keys(statement: Any, target: FileTable, parameters: Parameters) -> bool:
    """Return True if an UPDATE gives something to a column of the primary key."""
    first = parameters[0] if parameters else {}  # all sets have the same names
    is_inline = statement._values or getattr(statement, "_ordered_values", None)
    inline = inline_names(statement) if is_inline else set[str]()
    for column in target.keys:
        if column.key in first or column.key in inline:
            return True
        if inline and not inline.isdisjoint(attribute_names(statement, column)):
            return True
    return False


def _carry_out(
    database: Database,
    unit: Unit,
    statement: Any,
    target: FileTable,
    parameters: Parameters,
    decided: Sequence[Decision],
) -> tuple[Any, Parameters] | None:
    """Count what a statement of a flush does, as the flush has decided."""
    if not decided:
        return None
    yield_to_loop(len(parameters))
    effects = effects_of(decided, target, database.schemas)
    if effects.released and claim_of(database, target.table) is None:
        _refuse_unknown_storage(unit, effects)
    return unit.expect(statement, effects, many=len(parameters) > 1), parameters


def _refuse_compiled(compiled: Compiled) -> None:
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


def _unsaved(plan: Plan, claim: Claim | None) -> Iterator[Unsaved]:
    for row in plan.rows:
        for given in row.given:
            field = plan.target.field(given.column)
            for index, file in enumerate(files_in(plan.values[given.place])):
                if not file.saved:
                    position = index if field.multiple else None
                    yield Unsaved(file, field, given.column.key, claim, position, GivenRow(row))


def _find_changes(database: Database, unit: Unit, plan: Plan) -> None:
    if isinstance(plan.statement, Insert):
        for row in plan.rows:
            _find_in_the_way(database, unit, plan, row)
        if plan.conflict or plan.replacing:
            is_new = len(plan.rows) == 1 and all(row.key is None for row in plan.changes)
            plan.is_believed = plan.is_believed and is_new
            _count_rows_once(plan)
        if not plan.is_believed:
            plan.matched = _rows_reported(database, plan)
        return
    matched = matched_rows(database, unit, plan)
    for index, olds in enumerate(matched):
        plan.changes += plan.updated(plan.rows[index], olds) if plan.rows else plan.deleted(olds)
    if len(matched) > 1:
        _count_rows_once(plan)


def _rows_reported(database: Database, plan: Plan) -> int | None:
    """Return the number that the database reports if all rows were inserted; None if it may not."""
    if plan.conflict is None or not plan.conflict.does_nothing or plan.statement._returning:
        return None
    dialect = database.connection.dialect
    reports = dialect.supports_sane_rowcount
    if len(plan.parameters) > 1:
        reports = reports and dialect.supports_sane_multi_rowcount
    return len(plan.rows) if reports else None


def _find_in_the_way(database: Database, unit: Unit, plan: Plan, row: RowValues) -> None:
    olds = plan.conflict.rows(database, plan.target, row) if plan.conflict else []
    if plan.conflict and olds:
        forget_rows(database, unit, plan, olds)
        plan.changes += plan.conflict.changes(row, plan.values, olds)
        return
    for replacing in plan.replacing:
        found = replacing.rows(database, plan.target, row)
        forget_rows(database, unit, plan, found)
        plan.changes += replacing.changes(row, plan.values, found)
    plan.changes += plan.inserted(row)


def _count_rows_once(plan: Plan) -> None:
    """Count what a row that is found several times held once."""
    seen: set[tuple[Any, ...]] = set()
    changes = []
    for row in plan.changes:
        place = (row.by, row.key, row.column)
        is_again = bool(row.key) and place in seen
        changes.append(row._replace(old=()) if is_again else row)
        plan.is_ambiguous |= is_again and bool(row.files)
        seen.add(place)
    plan.changes = changes


def _effects(
    database: Database, unit: Unit, plan: Plan, attempt: UploadBatch, claim: Claim | None
) -> Effects:
    """Decide which paths the statement removes and adds; copy objects of other rows."""
    effects, acquired = Effects(plan.target), []
    effects.schemas = database.schemas
    effects.rows, effects.is_believed = plan.matched, plan.is_believed
    effects.is_found_by_path = plan.is_found_by_path or not plan.target.keys
    effects.is_unseen, effects.is_ambiguous = bool(plan.replacing), plan.is_ambiguous
    count = holders(database.connection, unit)
    for row in plan.changes:
        found = change(row.old, row.files)
        effects.count((), found.released, keeps=plan.target.keeps(row.column))
        if row.key:
            effects.losses += [(row, path) for path in found.released]
        acquired += [(row, position, file) for position, file in found.acquired]
    balance = Counter(dict.fromkeys(attempt.written, -1))  # a new object starts at none
    if len(plan.parameters) < 2 or not commits_at_once(database.connection):
        # Otherwise a row may take a file over, and the other one not come to let go of it.
        balance.subtract([*effects.released, *effects.archived])
    foreign = []
    for row, position, file in acquired:
        paths = paths_of(file)
        owned = [_may_own(unit, count, balance, path) for path in paths]
        if all(owned):
            balance.update(paths)
            _acquire(effects, row, paths)
        else:
            foreign.append((row, position, file))
    copies = attempt.copy([file for *_, file in foreign], claim)
    for (row, position, _), copy in zip(foreign, copies, strict=True):
        plan.substitute(row, position, copy)
        _acquire(effects, row, paths_of(copy))
    return effects


def _refuse_unknown_storage(unit: Unit, effects: Effects) -> None:
    """Refuse to let go of objects that could not be deleted after the commit."""
    moved = () if unit.decisions is None else unit.decisions.moved
    known = StorageManager.names()
    for path in effects.released:
        name, key = StorageManager.resolve(path)
        if name and name not in known and path not in moved:
            raise UnknownStorageError(
                f"{effects.target}: the statement removes the reference to the object {key!r} in "
                f"the storage {name!r}, which has not been added here (added: "
                f"{', '.join(known) or 'none'}); add the storage, or use a Ledger, whose drain "
                "deletes the object in a process that has added it"
            )


def _acquire(effects: Effects, row: RowChange, paths: Sequence[str]) -> None:
    effects.count(paths, (), keeps=effects.target.keeps(row.column))
    if row.key:
        effects.gains += [(row, path) for path in paths]


def _may_own(unit: Unit, count: Callable[[str], int], balance: Counter[str], path: str) -> bool:
    """Return True if a row may own an object as it is: the flush said so, or nobody else does."""
    if unit.decisions is not None and unit.decisions.use_up(path):
        return True
    return count(path) + balance[path] < 1
