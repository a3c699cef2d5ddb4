"""SQLite's conflict clauses: ``sqlite_on_conflict`` and ``INSERT OR REPLACE``.

With REPLACE, a conflicting row is deleted without a DELETE statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.sql.dml import Delete, Insert, Update

from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileTable, clauses_of
from sqlalchemy_file.tracking.writes.plans import Plan
from sqlalchemy_file.tracking.writes.upserts import Conflict
from sqlalchemy_file.tracking.writes.values import inline_names, names_of, prefixes_of


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
