"""What SQLite does where a constraint is violated: ``sqlite_on_conflict`` of tables and columns.

With REPLACE a row that stands in the way of another is deleted, without any statement that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.sql.dml import Insert, Update

from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.tracking.plans import Plan
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.tables import FileTable
from sqlalchemy_file.tracking.upserts import Conflict
from sqlalchemy_file.tracking.values import attribute_names, inline_names

Clause = tuple[str, tuple[Column[Any], ...]]
"""What happens, in capitals, and the columns that have to be unique; none of another constraint."""


def follow_clauses(database: Database, plan: Plan) -> None:
    """Let a plan expect what SQLite does on conflict; refuse what cannot be known of it."""
    if database.connection.dialect.name != "sqlite":
        return
    clauses = _clauses(plan.target.table)
    plan.may_do_half = plan.may_do_half or any(what == "FAIL" for what, _ in clauses)
    if not isinstance(plan.statement, Insert):
        return
    if any(what == "IGNORE" for what, _ in clauses):
        plan.is_believed, plan.is_found_by_path = False, True
    plan.replacing = [
        Conflict(
            {
                column: frozenset({column.key, *attribute_names(plan.statement, column)})
                for column in columns
            },
            None,
            {},
            deletes=True,
        )
        for what, columns in clauses
        if what == "REPLACE" and columns
    ]


def refuse_replacing(database: Database, statement: Any, target: FileTable) -> None:
    """Refuse an UPDATE that may delete other rows, as REPLACE does."""
    if not isinstance(statement, Update) or database.connection.dialect.name != "sqlite":
        return
    replacing = [columns for what, columns in _clauses(target.table) if what == "REPLACE"]
    if replacing:
        given = inline_names(statement)
        for column in (column for columns in replacing for column in columns):
            if not given.isdisjoint({column.key, *attribute_names(statement, column)}):
                raise UnsupportedStatementError(
                    f"{column}: ON CONFLICT REPLACE of its constraint may delete other rows, whose "
                    "files cannot be known; delete these first, and leave the column out"
                )


def _clauses(table: Table) -> tuple[Clause, ...]:
    counts = len(table.columns), len(table.constraints)
    known = _known.get(table)
    if known is None or known[0] != counts:
        known = _known[table] = counts, tuple(_look_at(table))
    return known[1]


def _look_at(table: Table) -> Iterator[Clause]:
    for constraint in table.constraints:
        columns: tuple[Column[Any], ...] = ()
        if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint):
            columns = tuple(constraint.columns)
        whole = constraint.dialect_options["sqlite"].get("on_conflict")
        own = [
            column.dialect_options["sqlite"].get(name)
            for column in columns
            if len(columns) == 1
            for name in ("on_conflict_unique", "on_conflict_primary_key")
        ]
        yield from ((str(what).upper(), columns) for what in (whole, *own) if what)
    for column in table.columns:
        if what := column.dialect_options["sqlite"].get("on_conflict_not_null"):
            yield str(what).upper(), ()


_known: WeakKeyDictionary[Table, tuple[tuple[int, int], tuple[Clause, ...]]] = WeakKeyDictionary()
