"""INSERT ... ON CONFLICT: the conflicting rows, and their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column
from sqlalchemy.sql.elements import ColumnClause

from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.tracking.changes import OldRow, RowChange, files_in
from sqlalchemy_file.tracking.reading import Database, rows_where
from sqlalchemy_file.tracking.tables import FileTable, Key
from sqlalchemy_file.tracking.writes.values import Place, RowValues, literal, names_of


@dataclass(frozen=True, slots=True)
class Conflict:
    """``on_conflict_do_update(index_elements=..., set_=...)``, or a REPLACE of SQLite's."""

    elements: Mapping[Column[Any], frozenset[str]]
    """The columns of the unique index, each with the names under which a statement gives it."""
    condition: Any
    sets: Mapping[Column[Any], Column[Any] | None]
    """What each file column becomes: the value of a column that was to be inserted, or None."""
    deletes: bool = False
    """Whether the row in the way is deleted."""
    does_nothing: bool = False
    """Whether it stays as it is, and the new one is not inserted: whether so is seen later."""

    def key(self, row: RowValues) -> Key | None:
        """Return the values that must be unique, or None where they cannot conflict."""
        given = ((column, row.value_named(names)) for column, names in self.elements.items())
        key = tuple(_literal(_or_default(value, column), column) for column, value in given)
        # NULLs, and keys that the database makes, never conflict.
        return None if None in key else key

    def rows(self, database: Database, target: FileTable, row: RowValues) -> list[OldRow]:
        """Read and lock the row that conflicts with one to be inserted."""
        key = None if self.does_nothing else self.key(row)
        if key is None:
            return []
        criteria = [] if self.condition is None else [self.condition]
        criteria += [column == value for column, value in zip(self.elements, key, strict=True)]
        return rows_where(database, target, criteria)

    def changes(
        self, row: RowValues, values: Mapping[Place, Any], olds: Sequence[OldRow]
    ) -> Iterator[RowChange]:
        """Yield the changes of conflicting rows; columns that are not set stay."""
        if self.deletes:
            for old in olds:
                yield from old.deleted()
            return
        given = {item.column: item for item in row.given}
        for old in olds:
            for column, source in self.sets.items():
                item = None if source is None else given.get(source)
                files = files_in(values[item.place]) if item else ()
                place = item and item.place
                yield RowChange(column, old.records(column), files, place, old.key)


def _literal(value: Any, column: Column[Any]) -> Any:
    try:
        return literal(value, column)
    except UnsupportedStatementError:
        raise UnsupportedStatementError(
            f"{column}: a SQL expression into a unique column: which row is in its way cannot be "
            "known; give it a value"
        ) from None


def _or_default(value: Any, column: Column[Any]) -> Any:
    default = column.default
    if value is None and default is not None and default.is_scalar:
        return getattr(default, "arg", None)
    return value


def conflict_of(statement: Any, target: FileTable, *, gives_files: bool) -> Conflict | None:
    """Return what an upsert does on conflict, or None where no file is concerned.

    Raises `UnsupportedStatementError` if that cannot be known.
    """
    clause = getattr(statement, "_post_values_clause", None)
    if clause is None:
        return None
    sets = dict(_file_columns_set(clause, target))
    if not gives_files and not sets:
        return None
    elements = getattr(clause, "inferred_target_elements", None)
    if is_doing_nothing(statement):
        # A partial index says only of some rows that they are in the way.
        is_known = elements and clause.inferred_target_whereclause is None
        named = _elements(statement, target, elements) if is_known else {}
        return Conflict(named, None, {}, does_nothing=True)
    if not elements or not hasattr(clause, "update_values_to_set"):
        raise _unknown(target, "only on_conflict_do_update(index_elements=...) can be followed")
    if getattr(clause, "update_whereclause", None) is not None:
        raise _unknown(target, "on_conflict_do_update(where=...) may or may not change the row")
    named = _elements(statement, target, elements)
    return Conflict(named, clause.inferred_target_whereclause, sets)


def is_doing_nothing(statement: Any) -> bool:
    """Return True if an INSERT leaves out the rows that others are in the way of."""
    clause = getattr(statement, "_post_values_clause", None)
    return clause is not None and clause.__visit_name__ == "on_conflict_do_nothing"


def _elements(
    statement: Any, target: FileTable, elements: Any
) -> dict[Column[Any], frozenset[str]]:
    columns = [_column(target, element) for element in elements]
    return {column: names_of(statement, column) for column in columns}


def _file_columns_set(
    clause: Any, target: FileTable
) -> Iterator[tuple[Column[Any], Column[Any] | None]]:
    """Yield the file columns that ON CONFLICT or ON DUPLICATE KEY sets, and to what."""
    values = getattr(clause, "update_values_to_set", None) or getattr(clause, "update", None) or {}
    columns = {name: column for column in target.columns for name in (column.key, column.name)}
    for key, value in values.items() if isinstance(values, Mapping) else values:
        column = columns.get(key if isinstance(key, str) else getattr(key, "key", ""))
        if column is not None and value is not target.table.c[column.key]:
            yield column, _source_of(column, value, target)


def _source_of(column: Column[Any], value: Any, target: FileTable) -> Column[Any] | None:
    if isinstance(value, ColumnClause) and getattr(value.table, "name", None) == "excluded":
        return target.table.c[value.key]
    if literal(value, column) is not None:
        raise UnsupportedStatementError(
            f"{column}: a file in set_ would belong to every row in the way; "
            "put it into values(), and set the column to excluded"
        )
    return None


def _column(target: FileTable, element: Any) -> Column[Any]:
    name = element if isinstance(element, str) else element.name
    for column in target.table.columns:
        if name in (column.name, column.key):
            return column
    raise _unknown(target, f"index element {name!r} is no column")


def _unknown(target: FileTable, why: str) -> UnsupportedStatementError:
    return UnsupportedStatementError(
        f"{target}: which objects this upsert releases cannot be known: {why}; "
        "or read the row first, and insert or update it"
    )
