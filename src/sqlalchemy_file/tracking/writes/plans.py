"""The plan of a statement: its values for file columns, and the rows it changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.sql.selectable import Join

from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.changes import Effects, OldRow, RowChange, files_in
from sqlalchemy_file.tracking.tables import FileTable, Key, file_table
from sqlalchemy_file.tracking.uploading.batch import FilesByField
from sqlalchemy_file.tracking.writes.upserts import Conflict, conflict_of, is_doing_nothing
from sqlalchemy_file.tracking.writes.values import (
    Given,
    Parameters,
    Place,
    RowValues,
    file_value,
    inline_columns,
    literal,
    prefixes_of,
    rows_given,
)


@dataclass(slots=True)
class Plan:
    """The facts about a statement, and the changes to make in it."""

    target: FileTable
    statement: Any
    parameters: Parameters
    rows: list[RowValues]
    effects: Effects
    """What it does to references, as far as that is known."""
    conflict: Conflict | None = None
    replacing: Sequence[Conflict] = ()
    """What deletes rows that are in the way of new ones."""
    values: dict[Place, Any] = field(default_factory=dict)
    substitutes: dict[Place, Any] = field(default_factory=dict)
    changes: list[RowChange] = field(default_factory=list)
    going: dict[Key, OldRow] = field(default_factory=dict)
    """The rows that it deletes."""
    may_do_half: bool = False
    """Whether a statement that fails may leave some of its rows changed."""

    @property
    def concerns_files(self) -> bool:
        is_delete = isinstance(self.statement, Delete)
        return bool(is_delete or self.values or self.conflict or self.replacing)

    def inserted(self, row: RowValues) -> Iterator[RowChange]:
        """Yield the paths of a new row.

        One that another row of the statement may replace is looked for by what they share.
        """
        by, key = self._found_again(row)
        for given in row.given:
            files = files_in(self.values[given.place])
            if files and given.place.kind == "inline" and len(self.parameters) > 1:
                raise _one_content(given.column, len(self.parameters))
            yield RowChange(given.column, (), files, given.place, key, by)

    def _found_again(self, row: RowValues) -> tuple[tuple[Column[Any], ...] | None, Key | None]:
        conflicts = [self.conflict] if self.conflict else list(self.replacing)
        if len(self.rows) > 1 or (self.conflict and self.conflict.does_nothing):
            for conflict in conflicts:
                if key := conflict.key(row):
                    return tuple(conflict.elements), key
        return None, None

    def updated(self, row: RowValues, olds: Sequence[OldRow]) -> Iterator[RowChange]:
        for given in row.given:
            files = files_in(self.values[given.place])
            shared = given.place.kind == "inline" and len(self.parameters) > 1
            if files and (len(olds) > 1 or shared):
                raise _one_content(given.column, max(len(olds), len(self.parameters)))
            for old in olds:
                yield RowChange(
                    given.column, old.records(given.column), files, given.place, old.key
                )

    def deleted(self, olds: Sequence[OldRow]) -> Iterator[RowChange]:
        for old in olds:
            self.going[old.key] = old
            yield from old.deleted()

    def substitute(self, row: RowChange, position: int, copy: File) -> None:
        """Put a copy in the place of a file that the row may not own."""
        value = self.substitutes.get(row.place, self.values[row.place])
        if isinstance(value, list):
            copy = [*value[:position], copy, *value[position + 1 :]]  # type: ignore[assignment]
        self.substitutes[row.place] = copy


def plan_of(statement: Any, target: FileTable, parameters: Parameters) -> Plan:
    """Read a statement.

    Raises `UnsupportedStatementError` where its files cannot be known.
    """
    prefixes = prefixes_of(statement)
    may_do_half = "FAIL" in prefixes
    effects = Effects(target)
    effects.is_found_by_path = not target.keys
    if isinstance(statement, Delete):
        return Plan(target, statement, parameters, [], effects)
    rows = rows_given(statement, target, parameters)
    plan = Plan(target, statement, parameters, rows, effects, may_do_half=may_do_half)
    files_of = FilesByField()
    for row in rows:
        for given in row.given:
            _read_value(plan, files_of, given)
    if isinstance(statement, Insert):
        gives_files = any(map(files_in, plan.values.values()))
        _refuse_unknown_insert(statement, target)
        if "IGNORE" in prefixes and gives_files:
            raise UnsupportedStatementError(
                f"{target}: whether INSERT {prefixes} keeps its rows cannot be known; read the "
                "row first, or use on_conflict_do_nothing() or on_conflict_do_update()"
            )
        plan.conflict = conflict_of(statement, target, gives_files=gives_files)
        if gives_files and is_doing_nothing(statement):
            effects.is_believed = False
            effects.is_found_by_path |= not (plan.conflict and plan.conflict.elements)
    return plan


def refuse_others(statement: Any) -> None:
    """Refuse a MySQL multi-table statement that changes the files of another table."""
    for key in inline_columns(statement):
        other = file_table(key.table)
        if other is None or other is file_table(statement.table):
            continue
        if key.key in {column.key for column in other.columns}:
            raise UnsupportedStatementError(
                f"{key}: an UPDATE of several tables cannot be followed; update {other} alone, "
                "with a subquery that tells its rows"
            )
    if isinstance(statement.table, Join):
        for table in statement.table._from_objects:
            if file_table(table) is not None:
                raise UnsupportedStatementError(
                    f"an UPDATE or DELETE of a join cannot be followed, and {table} has file "
                    "columns; address that table alone, with the join in a subquery"
                )


def _read_value(plan: Plan, files_of: FilesByField, given: Given) -> None:
    """Turn a value into files, as assigning it to an attribute would."""
    value, field = literal(given.value, given.column), plan.target.fields[given.column]
    is_update = isinstance(plan.statement, Update)
    meant = file_value(plan.target, given.column, value, is_update=is_update)
    files = files_in(meant)
    own = [files_of.of(file, field) for file in files]
    if any(mine is not file for mine, file in zip(own, files, strict=True)):
        meant = own if field.multiple else own[0]
    plan.values[given.place] = meant
    if meant is not value:
        plan.substitutes[given.place] = meant


def _refuse_unknown_insert(statement: Insert, target: FileTable) -> None:
    names = {getattr(name, "key", name) for name in statement._select_names or ()}
    for column in target.columns:
        if {column.key, column.name} & names:
            raise UnsupportedStatementError(
                f"{column}: INSERT ... SELECT copies references to objects that cannot be known; "
                "select the rows first, and insert them with their files"
            )


def _one_content(column: Column[Any], rows: int) -> UnsupportedStatementError:
    return UnsupportedStatementError(
        f"{column}: one content for {rows} rows, but a file belongs to one row; "
        "give each row its own File"
    )
