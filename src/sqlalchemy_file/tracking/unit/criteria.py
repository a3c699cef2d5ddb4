"""Primary keys in the criteria of an UPDATE or DELETE, for each parameter set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList

from sqlalchemy_file.tracking.reading import entity_of
from sqlalchemy_file.tracking.tables import FileTable, Key

Equalities = Mapping[Column[Any], BindParameter[Any]]
"""Columns, and the value that each of them is compared with."""


def equalities(statement: Any, target: FileTable) -> Equalities:
    """Return what the criteria compare, or nothing if there is more to them than that."""
    # Of an entity's rows only some may be meant: single-table classes add criteria of their own.
    is_by_key = "_emit_update_table" in statement._annotations
    if not is_by_key and entity_of(statement) is not None:
        return {}
    criteria = statement._where_criteria
    known = _known.get(target)
    if known is None or known[0] is not criteria:
        # Flushes use one statement of a mapper again and again.
        known = _known[target] = criteria, _equalities(criteria, target)
    return known[1]


def key_named(target: FileTable, equal: Equalities, parameters: Mapping[str, Any]) -> Key | None:
    """Return the primary key that a parameter set names, or None if the criteria are others."""
    if not equal or not target.keys:
        return None
    key = []
    for column in target.keys:
        bound = equal.get(column)
        if bound is None:
            return None
        key.append(parameters.get(bound.key, bound.value))
    return tuple(key)


def _equalities(criteria: Any, target: FileTable) -> Equalities:
    found: dict[Column[Any], BindParameter[Any]] = {}
    for criterion in _flat(criteria):
        if not (
            isinstance(criterion, BinaryExpression)
            and criterion.operator is operators.eq
            and isinstance(criterion.left, Column)
            and isinstance(criterion.right, BindParameter)
            and not criterion.right.expanding
        ):
            return {}
        column = target.table.c.get(criterion.left.key)
        if column is None or column in found:
            return {}
        found[column] = criterion.right
    return found


def _flat(criteria: Any) -> Iterator[Any]:
    for criterion in criteria:
        if isinstance(criterion, BooleanClauseList) and criterion.operator is operators.and_:
            yield from _flat(criterion.clauses)
        else:
            yield criterion


_known: WeakKeyDictionary[FileTable, tuple[Any, Equalities]] = WeakKeyDictionary()
