"""The rows that an UPDATE or DELETE matches: known from the flush, or read now."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from sqlalchemy.sql.dml import Delete

from sqlalchemy_file.tracking.reading import Database, OldRow, pinned, rows_by_key, rows_matching
from sqlalchemy_file.tracking.tables import Key
from sqlalchemy_file.tracking.unit.decisions import equalities, key_named
from sqlalchemy_file.tracking.unit.units import Unit
from sqlalchemy_file.tracking.writes.plans import Plan


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


def _by_key(
    database: Database, unit: Unit, plan: Plan, keys: list[Key | None], *, exact: bool
) -> list[list[OldRow]]:
    known = _taken(database, unit, plan, keys)
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


def _taken(
    database: Database, unit: Unit, plan: Plan, keys: Iterable[Key | None]
) -> dict[Key, OldRow]:
    """Take the rows that a flush has read already."""
    if unit.decisions is None or not database.is_as_connected:
        return {}
    read, table = unit.decisions.known, plan.target.table
    found = {key: read.pop((table, key), None) for key in keys if key is not None}
    return {key: row for key, row in found.items() if row is not None}
