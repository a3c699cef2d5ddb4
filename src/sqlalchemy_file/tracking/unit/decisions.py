"""The decisions of a flush about its rows, for the statements that write them.

A statement of the flush carries the very values that the flush has looked at, so that nothing has
to be worked out again. Values that a listener has changed since are not found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import is_
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Table
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import Delete, Insert
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList

from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.changes import Effects, OldRow, RowChange, add_each
from sqlalchemy_file.tracking.reading import entity_of
from sqlalchemy_file.tracking.tables import FileTable, Key


class Decision(NamedTuple):
    """What one attribute of one row acquires and releases."""

    value: Any
    row: RowChange
    acquired: Sequence[str]
    released: Sequence[str]

    def is_about(self, value: Any) -> bool:
        """Return True if a statement carries what was decided about, unchanged."""
        if value is not self.value:
            return False
        if value is None or isinstance(value, File):
            return True
        files = self.row.files
        return isinstance(value, list) and len(value) == len(files) and all(map(is_, value, files))


_Slot = int | tuple[Table, Key, Column[Any]]
"""The slot of a value: a row by its key, or by its id a new row, which has no key yet."""


class Decisions:
    """What one flush has read and decided on one connection, until statements carry it out."""

    __slots__ = ("_decisions", "claims", "known", "moved")

    def __init__(self) -> None:
        self.known: dict[tuple[Table, Key], OldRow] = {}
        """The rows about to change, as they were read and locked."""
        self.claims: dict[str, int] = {}
        """The objects that rows may take over as they are."""
        self.moved: set[str] = set()
        """Those that another row has to drop."""
        self._decisions: dict[_Slot, Decision] = {}

    def add(self, decision: Decision) -> None:
        """Keep a decision until a statement carries it out."""
        column, key = decision.row.column, decision.row.key
        if key is not None:
            self._decisions[column.table, key, column] = decision
        elif decision.value is not None:
            self._decisions[id(decision.value)] = decision

    def take(
        self, statement: Any, target: FileTable, parameters: Iterable[dict[str, Any]]
    ) -> list[Decision] | None:
        """Return, and forget, the decisions that a statement carries out.

        Returns None if it gives anything to a file column that the flush has not decided about.
        """
        if not _is_plain(statement, target):
            return None
        is_new = isinstance(statement, Insert)
        equal = {} if is_new else equalities(statement, target)
        found: dict[_Slot, Decision] = {}
        for given in parameters:
            key = None if is_new else key_named(target, equal, given) or ()
            if not self._find(target, key, given, found):
                return None
        if not self._use_up(found.values()):
            return None
        for slot, decision in found.items():
            del self._decisions[slot]
            self.known.pop((target.table, decision.row.key or ()), None)
        return list(found.values())

    def _find(
        self,
        target: FileTable,
        key: Key | None,
        given: Mapping[str, Any],
        found: dict[_Slot, Decision],
    ) -> bool:
        """Find the decisions about the values of one row; return False if one is undecided."""
        is_known = key is None or (target.table, key) in self.known  # else it has changed since
        for column in target.columns:
            if column.key not in given:
                continue
            value = given[column.key]
            if key is not None:
                slot: _Slot = target.table, key, column
            elif value is not None:
                slot = id(value)
            else:
                continue
            decision = self._decisions.get(slot) if is_known else None
            if decision is None or slot in found or not decision.is_about(value):
                return False
            found[slot] = decision
        return True

    def forget(self, table: Table, rows: Iterable[OldRow]) -> None:
        """Drop what was read of rows that another statement is about to change."""
        for row in rows:
            self.known.pop((table, row.key), None)

    def forget_table(self, table: Table) -> None:
        """Drop what was read of a table whose primary keys are about to change."""
        self.known = {key: row for key, row in self.known.items() if key[0] is not table}

    def use_up(self, path: str) -> bool:
        """Return True if a row may take over an object as it is, and use that right up."""
        left = self.claims.get(path, 0)
        if left > 0:
            self.claims[path] = left - 1
        return left > 0

    def _use_up(self, decisions: Iterable[Decision]) -> bool:
        """Use up the rights of all decisions; return False if another statement has used one."""
        paths: list[str] = []
        for decision in decisions:
            paths += decision.acquired
        for position, path in enumerate(paths):
            if not self.use_up(path):
                add_each(self.claims, paths[:position])
                return False
        return True


def effects_of(decisions: Iterable[Decision], target: FileTable, schemas: Any) -> Effects:
    """Return what a statement does that carries out these decisions."""
    effects = Effects(target, schemas=schemas)
    for decision in decisions:
        row = decision.row
        effects.acquire(row, decision.acquired)
        effects.release(row, decision.released)
        if row.key:
            effects.is_believed = False  # a trigger may have kept the row, or its value
    return effects


def _is_plain(statement: Any, target: FileTable) -> bool:
    """Return True if all that a statement gives to its rows stands in its parameters."""
    return not (
        isinstance(statement, Delete)
        or statement.table is not target.table
        or statement._values
        or statement._multi_values
        or statement._prefixes
        or getattr(statement, "_ordered_values", None)
        or getattr(statement, "_post_values_clause", None) is not None
        or getattr(statement, "select", None) is not None
    )


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
