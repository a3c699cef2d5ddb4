"""The decisions of a flush about its rows, for the statements that write them.

A statement of the flush carries the very values that the flush has looked at, so that nothing has
to be worked out again. Values that a listener has changed since are not found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any, NamedTuple

from sqlalchemy import Column, Table
from sqlalchemy.sql.dml import Delete, Insert, Update

from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.changes import RowChange
from sqlalchemy_file.tracking.reading import OldRow
from sqlalchemy_file.tracking.tables import FileTable, Key
from sqlalchemy_file.tracking.unit.criteria import equalities, key_named
from sqlalchemy_file.tracking.unit.frames import Effects


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


class Decisions:
    """What one flush has read and decided on one connection, until statements carry it out."""

    __slots__ = ("_inserts", "_updates", "claims", "known", "moved")

    def __init__(self) -> None:
        self.known: dict[tuple[Table, Key], OldRow] = {}
        """The rows about to change, as they were read and locked."""
        self.claims: dict[str, int] = {}
        """The objects that rows may take over as they are."""
        self.moved: set[str] = set()
        """Those that another row has to let go of."""
        self._updates: dict[tuple[Table, Key, Column[Any]], Decision] = {}
        self._inserts: dict[int, Decision] = {}  # by the value: a new row has no key yet

    def add(self, decision: Decision) -> None:
        """Keep a decision until a statement carries it out."""
        column, key = decision.row.column, decision.row.key
        if key is not None:
            self._updates[column.table, key, column] = decision
        elif decision.value is not None:
            self._inserts[id(decision.value)] = decision

    def take(
        self, statement: Any, target: FileTable, parameters: Iterable[dict[str, Any]]
    ) -> list[Decision] | None:
        """Return, and forget, the decisions that a statement carries out.

        Returns None if it gives anything to a file column that the flush has not decided about.
        """
        if isinstance(statement, Delete) or statement.table is not target.table:
            return None
        if not _is_plain(statement):
            return None
        if isinstance(statement, Insert):
            return self._take_new(target, parameters)
        return self._take_changed(statement, target, parameters)

    def _take_new(
        self, target: FileTable, parameters: Iterable[dict[str, Any]]
    ) -> list[Decision] | None:
        found: dict[int, Decision] = {}
        for given in parameters:
            for column in target.columns:
                value = given.get(column.key)
                if value is None:
                    continue
                decision = self._inserts.get(id(value))
                if decision is None or id(value) in found or not decision.is_about(value):
                    return None
                found[id(value)] = decision
        if not self._use_up(found.values()):
            return None
        for identity in found:
            del self._inserts[identity]
        return list(found.values())

    def _take_changed(
        self, statement: Update, target: FileTable, parameters: Iterable[dict[str, Any]]
    ) -> list[Decision] | None:
        found: dict[tuple[Table, Key, Column[Any]], Decision] = {}
        equal = equalities(statement, target)
        for given in parameters:
            key = key_named(target, equal, given)
            for column in target.columns:
                if column.key not in given:
                    continue
                place = target.table, key or (), column
                decision = self._updates.get(place)
                if decision is None or place in found or not decision.is_about(given[column.key]):
                    return None
                if place[:2] not in self.known:  # another statement has changed the row since
                    return None
                found[place] = decision
        if not self._use_up(found.values()):
            return None
        for place in found:
            del self._updates[place]
            self.known.pop(place[:2], None)
        return list(found.values())

    def forget(self, table: Table, rows: Iterable[OldRow]) -> None:
        """Drop what was read of rows that another statement is about to change."""
        for row in rows:
            self.known.pop((table, row.key), None)

    def forget_table(self, table: Table) -> None:
        """Drop what was read of a table whose primary keys are about to change."""
        self.known = {place: row for place, row in self.known.items() if place[0] is not table}

    def use_up(self, path: str) -> bool:
        """Return True if a row may take over an object as it is, and use that right up."""
        left = self.claims.get(path, 0)
        if left > 0:
            self.claims[path] = left - 1
        return left > 0

    def _use_up(self, decisions: Iterable[Decision]) -> bool:
        """Use up the rights of all decisions; return False if another statement has used one."""
        paths = [path for decision in decisions for path in decision.acquired]
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
        effects.count(decision.acquired, decision.released, keeps=target.keeps(row.column))
        if row.key:
            effects.is_believed = False  # a trigger may have kept the row, or its value
            effects.gains += [(row, path) for path in decision.acquired]
            effects.losses += [(row, path) for path in decision.released]
    return effects


def _is_plain(statement: Any) -> bool:
    """Return True if all that a statement gives to its rows stands in its parameters."""
    return not (
        statement._values
        or statement._multi_values
        or statement._prefixes
        or getattr(statement, "_ordered_values", None)
        or getattr(statement, "_post_values_clause", None) is not None
        or getattr(statement, "select", None) is not None
    )


def add_each(counts: dict[str, int], paths: Iterable[str]) -> None:
    """Count each path once more."""
    for path in paths:
        counts[path] = counts.get(path, 0) + 1
