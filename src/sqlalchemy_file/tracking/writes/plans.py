"""The plan of a statement: its values for file columns, the rows it changes, and conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.sql.selectable import Join

from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.changes import Effects, OldRow, RowChange, files_in
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileTable, Key, clauses_of, file_table
from sqlalchemy_file.tracking.uploading.batch import FilesByField
from sqlalchemy_file.tracking.writes.upserts import Conflict, conflict_of, is_doing_nothing
from sqlalchemy_file.tracking.writes.values import (
    Given,
    Parameters,
    Place,
    RowValues,
    file_value,
    inline_columns,
    inline_names,
    literal,
    names_of,
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


# --- SQLite's conflict clauses: ``sqlite_on_conflict`` and ``INSERT OR REPLACE``. With REPLACE, a
# conflicting row is deleted without a DELETE statement.


def follow_clauses(database: Database, plan: Plan) -> None:
    """Let a plan expect what SQLite does on conflict; refuse what cannot be known of it."""
    if database.connection.dialect.name != "sqlite":
        return
    is_insert = isinstance(plan.statement, Insert)
    if is_insert and "REPLACE" in prefixes_of(plan.statement):
        # It overrides what the constraints say.
        _expect(plan, _unique_columns(plan.target.table))
        _refuse_unknown_keys(plan)
        return
    clauses = clauses_of(plan.target.table)
    actions = {action for action, _ in clauses}
    plan.may_do_half = plan.may_do_half or "FAIL" in actions
    if not is_insert:
        return
    if "IGNORE" in actions:
        plan.effects.is_believed, plan.effects.is_found_by_path = False, True
    _expect(plan, [columns for columns in _replacing(plan.target.table) if columns])


def _expect(plan: Plan, unique: Iterable[tuple[Column[Any], ...]]) -> None:
    """Let a plan expect that rows which share these columns with new ones are deleted."""
    plan.replacing = [
        Conflict(
            {column: names_of(plan.statement, column) for column in columns},
            None,
            {},
            deletes=True,
        )
        for columns in unique
    ]
    plan.effects.is_unseen = bool(plan.replacing)
    # One new row may replace another by one constraint, which others would not find again.
    if len(plan.rows) > 1 and len(plan.replacing) > 1:
        plan.effects.is_found_by_path = True


def _unique_columns(table: Table) -> Iterator[tuple[Column[Any], ...]]:
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint) and constraint.columns:
            yield tuple(constraint.columns)
    for index in table.indexes:
        if index.unique:
            yield tuple(index.columns)


def _refuse_unknown_keys(plan: Plan) -> None:
    """Refuse rows whose unique columns get values that only a default knows."""
    for conflict in plan.replacing:
        for column, names in conflict.elements.items():
            default = column.default
            is_known = column.server_default is None and (default is None or default.is_scalar)
            if not is_known and any(row.value_named(names) is None for row in plan.rows):
                raise UnsupportedStatementError(
                    f"{column}: which rows {_named(plan.statement)} deletes cannot be known, since "
                    "only the column's default tells its value; give it one"
                )


def _named(statement: Any) -> str:
    return f"{statement.__visit_name__.upper()} {prefixes_of(statement)}"


def _is_followed(database: Database, statement: Any, target: FileTable) -> bool:
    """Return True if the rows that a statement with REPLACE deletes can be looked for."""
    return (
        isinstance(statement, Insert)
        and database.connection.dialect.name == "sqlite"
        and statement.select is None
        and getattr(statement, "_post_values_clause", None) is None
        and not any(_is_partial(index) for index in target.table.indexes if index.unique)
    )


def _is_partial(index: Index) -> bool:
    """Return True if an index is one of expressions, or of some rows only."""
    has_condition = index.dialect_options["sqlite"].get("where") is not None
    return has_condition or not all(isinstance(each, Column) for each in index.expressions)


def refuse_replacing(database: Database, statement: Any, target: FileTable) -> None:
    """Refuse what deletes rows that cannot be known, as REPLACE may."""
    is_replacing = not isinstance(statement, Delete) and "REPLACE" in prefixes_of(statement)
    if is_replacing and not _is_followed(database, statement, target):
        raise UnsupportedStatementError(
            f"{target}: which rows {_named(statement)} deletes cannot be known; use "
            "on_conflict_do_update(index_elements=...), or read the row first"
        )
    if isinstance(statement, Update) and database.connection.dialect.name == "sqlite":
        for columns in _replacing(target.table):
            _refuse_setting(statement, columns)


def _refuse_setting(statement: Update, columns: Iterable[Column[Any]]) -> None:
    given = inline_names(statement)
    for column in columns:
        if not given.isdisjoint(names_of(statement, column)):
            raise UnsupportedStatementError(
                f"{column}: ON CONFLICT REPLACE of its constraint may delete other rows, whose "
                "files cannot be known; delete these first, and leave the column out"
            )


def _replacing(table: Table) -> list[tuple[Column[Any], ...]]:
    return [columns for action, columns in clauses_of(table) if action == "REPLACE"]
