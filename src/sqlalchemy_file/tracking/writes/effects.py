"""What a statement does to references that no flush has planned. Its files are stored here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy.sql.dml import Delete, Insert

from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.changes import Effects, OldRow, Ownership, RowChange, change, files_in
from sqlalchemy_file.tracking.claims import Claim, claim_of
from sqlalchemy_file.tracking.endings.connections import unit_of
from sqlalchemy_file.tracking.reading import Database, pinned, rows_by_key, rows_matching
from sqlalchemy_file.tracking.tables import Key
from sqlalchemy_file.tracking.unit.decisions import equalities, key_named
from sqlalchemy_file.tracking.unit.doubts import reference_counter, still_named
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.tracking.uploading.batch import UploadBatch
from sqlalchemy_file.tracking.uploading.steps import Unsaved
from sqlalchemy_file.tracking.writes.plans import Plan
from sqlalchemy_file.tracking.writes.values import GivenRow, RowValues
from sqlalchemy_file.transfer import yield_to_loop
from sqlalchemy_file.values.records import paths_of


def stored_effects(database: Database, plan: Plan, batch: UploadBatch) -> Effects:
    """Store the files of a statement, read its rows, and return what it will do."""
    batch.take_over(file for value in plan.values.values() for file in files_in(value))
    claim = claim_of(database, plan.target.table)
    batch.store(list(_unsaved(plan, claim)))
    unit = unit_of(database.connection)
    if isinstance(plan.statement, Insert):
        _find_new_rows(database, unit, plan)
    else:
        _find_changed_rows(database, unit, plan)
    effects = _effects(database, unit, plan, batch, claim)
    yield_to_loop(len(plan.values))
    return effects


def _unsaved(plan: Plan, claim: Claim | None) -> Iterator[Unsaved]:
    for row in plan.rows:
        for given in row.given:
            field = plan.target.fields[given.column]
            for index, file in enumerate(files_in(plan.values[given.place])):
                if not file.saved:
                    position = index if field.multiple else None
                    yield Unsaved(file, field, given.column.key, claim, position, GivenRow(row))


def _find_changed_rows(database: Database, unit: Unit, plan: Plan) -> None:
    matched = matched_rows(database, unit, plan)
    for index, olds in enumerate(matched):
        plan.changes += plan.updated(plan.rows[index], olds) if plan.rows else plan.deleted(olds)
    if len(matched) > 1:
        plan.changes = list(_each_row_once(plan.changes))


def _find_new_rows(database: Database, unit: Unit, plan: Plan) -> None:
    for row in plan.rows:
        _find_in_the_way(database, unit, plan, row)
    if plan.conflict or plan.replacing:
        is_new = len(plan.rows) == 1 and all(row.key is None for row in plan.changes)
        plan.effects.is_believed &= is_new
        plan.changes = list(_each_row_once(plan.changes))
    if not plan.effects.is_believed:
        plan.effects.rows = _rows_reported(database, plan)


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
        plan.going.update({old.key: old for old in found})
        plan.changes += replacing.changes(row, plan.values, found)
    plan.changes += plan.inserted(row)


def _each_row_once(changes: Sequence[RowChange]) -> Iterator[RowChange]:
    """Count the old files of a row that is found several times once: it releases them first."""
    times = Counter((row.by, row.key, row.column) for row in changes if row.key)
    seen: set[tuple[Any, ...]] = set()
    for row in changes:
        place = (row.by, row.key, row.column)
        if times[place] < 2:
            yield row
            continue
        if place not in seen:
            seen.add(place)
            yield row._replace(files=(), place=None)
        yield row._replace(old=())


def _effects(
    database: Database, unit: Unit, plan: Plan, batch: UploadBatch, claim: Claim | None
) -> Effects:
    """Decide which references the statement removes and adds; copy objects of other rows."""
    effects = plan.effects
    effects.schemas = database.schemas
    acquired: list[tuple[RowChange, int, File]] = []
    for row in plan.changes:
        found = change(row.old, row.files)
        effects.release(row, found.released)
        acquired += [(row, position, file) for position, file in found.acquired]
    if unit.frames.has_doubts:
        _lose_rows(database, unit, plan)
    given = _given(plan)
    ownership = Ownership(partial(reference_counter, database.connection, unit), batch.written)
    foreign = [each for each in acquired if not _acquires(effects, unit, ownership, given, each)]
    copies = batch.copy([file for *_, file in foreign], claim)
    for (row, position, _), copy in zip(foreign, copies, strict=True):
        plan.substitute(row, position, copy)
        effects.acquire(row, paths_of(copy))
    return effects


def _given(plan: Plan) -> Callable[[RowChange, str], int]:
    """Return how often the statement releases objects before another row takes them over.

    Of several parameter sets some may fail: there, a row takes over only what it releases itself.
    """
    given = Counter([*plan.effects.released, *plan.effects.archived])
    if len(plan.parameters) < 2:
        return lambda row, path: given[path]
    by_row = Counter((row.by, row.key, path) for row, path in plan.effects.losses)
    return lambda row, path: by_row[row.by, row.key, path]


def _lose_rows(database: Database, unit: Unit, plan: Plan) -> None:
    """Release what rows that go should name, unless plain SQL has given it to other rows."""
    effects, expected = plan.effects, unit.frames.expected
    missing = [each for old in plan.going.values() for each in effects.missing(old, expected)]
    if missing:
        paths = [path for _, path in missing]
        named = still_named(database, plan.target, paths)
        effects.lose([each for each in missing if each[1] not in named])


def _acquires(
    effects: Effects,
    unit: Unit,
    ownership: Ownership,
    given: Callable[[RowChange, str], int],
    acquired: tuple[RowChange, int, File],
) -> bool:
    """Let a row own objects as they are if the flush said so, or nobody else refers to them."""
    row, _, file = acquired
    paths, decisions = paths_of(file), unit.decisions
    owned = [
        (decisions is not None and decisions.use_up(path))
        or ownership.is_free(path, given(row, path))
        for path in paths
    ]
    if not all(owned):
        return False
    ownership.take(paths)
    effects.acquire(row, paths)
    return True


# --- the rows that an UPDATE or DELETE matches: known from the flush, or read now


def matched_rows(database: Database, unit: Unit, plan: Plan) -> list[list[OldRow]]:
    """Return the rows that each parameter set matches, and pin a statement not bound to keys."""
    equal = equalities(plan.statement, plan.target)
    keys = [key_named(plan.target, equal, parameters) for parameters in plan.parameters]
    if all(key is None for key in keys):
        found = [
            rows_matching(database, plan.target, plan.statement, parameters)
            for parameters in plan.parameters
        ]
        if len(found) == 1 and plan.target.keys:
            keys_found = [row.key for row in found[0]]
            plan.statement = pinned(database.connection, plan.statement, plan.target, keys_found)
    else:
        found = _by_key(database, unit, plan, keys, exact=len(equal) == len(plan.target.keys))
    forget_rows(database, unit, plan, chain.from_iterable(found))
    plan.effects.is_believed = False
    plan.effects.rows = _countable(database, plan, found)
    return found


def forget_rows(database: Database, unit: Unit, plan: Plan, rows: Iterable[OldRow]) -> None:
    """Drop what a flush has read of rows that this statement is about to change."""
    if unit.decisions is not None and database.is_as_connected:
        unit.decisions.forget(plan.target.table, rows)


def _countable(database: Database, plan: Plan, found: list[list[OldRow]]) -> int | None:
    """Return how many rows a DELETE has to report that has done what it says, if that can tell.

    An UPDATE reports rows whose old value a trigger has put back, and on MySQL with IGNORE those
    that it has left alone.
    """
    statement, dialect = plan.statement, database.connection.dialect
    is_plain = not statement._returning and not statement._prefixes
    is_counted = dialect.supports_sane_rowcount
    if len(found) > 1:
        is_counted = dialect.supports_sane_multi_rowcount and max(map(len, found)) <= 1
    if not (is_plain and is_counted) or (plan.rows and plan.target.keys):
        return None
    return sum(map(len, found))


def _known_rows(
    database: Database, unit: Unit, plan: Plan, keys: list[Key | None]
) -> dict[Key, OldRow]:
    """Return the rows that the flush has read already."""
    decisions = unit.decisions if database.is_as_connected else None
    read, table = decisions.known if decisions else {}, plan.target.table
    return {key: read[table, key] for key in keys if key is not None and (table, key) in read}


def _by_key(
    database: Database, unit: Unit, plan: Plan, keys: list[Key | None], *, exact: bool
) -> list[list[OldRow]]:
    known = _known_rows(database, unit, plan, keys)
    unknown = [key for key in keys if key is not None and key not in known]
    if unknown and exact:
        deleting = isinstance(plan.statement, Delete)
        known.update(rows_by_key(database, plan.target, unknown, deleting=deleting))
    # What is not found by its key may be found by the database all the same: it compares '1'
    # with 1, and text without regard to case.
    return [
        [known[key]]
        if key is not None and key in known
        else rows_matching(database, plan.target, plan.statement, parameters)
        for key, parameters in zip(keys, plan.parameters, strict=True)
    ]
