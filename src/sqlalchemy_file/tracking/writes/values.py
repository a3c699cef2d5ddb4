"""Find and replace the values of file columns in an INSERT or UPDATE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Column, Table
from sqlalchemy.sql.dml import Update
from sqlalchemy.sql.elements import BindParameter, ClauseElement, Null

from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.reading import entity_of
from sqlalchemy_file.tracking.tables import FileTable, file_table

Parameters = list[dict[str, Any]]


class Place(NamedTuple):
    """The place of a value: in a parameter set, in ``values(...)``, or in one of its rows."""

    kind: Literal["parameter", "inline", "multi"]
    row: int
    key: Any


class Given(NamedTuple):
    """A value for one file column of one row."""

    column: Column[Any]
    place: Place
    value: Any


@dataclass(slots=True)
class RowValues:
    """The values that a statement gives to one row, or to all rows that it matches.

    ``index`` is the parameter set, or the row of a multi-row ``values([...])``.
    """

    index: int
    given: list[Given]
    sources: tuple[Mapping[Any, Any], ...] = ()

    def value_named(self, names: frozenset[str]) -> Any:
        """Return what the statement gives to a column that goes by one of these names."""
        return next(map(self._bound, _values_named(self.sources, names)), None)

    def _bound(self, value: Any) -> Any:
        """Follow ``bindparam("name")`` to the parameter that it names."""
        if isinstance(value, BindParameter):
            for source in self.sources:
                if value.key in source:
                    return source[value.key]
        return value


class GivenRow:
    """A row about to be written, as far as a statement says: its values as attributes.

    It is what ``key=``, ``upload_storage=`` and validators get for their row where there is no
    object.
    """

    def __init__(self, row: RowValues) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        for value in _values_named(self._row.sources, {name}):
            return value.effective_value if isinstance(value, BindParameter) else value
        raise AttributeError(f"the statement gives no {name}: it is known of objects in a session")


def _values_named(sources: Iterable[Mapping[Any, Any]], names: Collection[str]) -> Iterator[Any]:
    for source in sources:
        for key, value in source.items():
            if (key if isinstance(key, str) else getattr(key, "key", None)) in names:
                yield value


def rows_given(statement: Any, target: FileTable, parameters: Parameters) -> list[RowValues]:
    """Return the values of file columns, row by row; a row that gives none is empty.

    Raises `UnsupportedStatementError` for a SQL expression, whose files cannot be known.
    """
    multi = getattr(statement, "_multi_values", ())
    if multi:
        names = _names(statement, target)
        return [
            RowValues(index, list(_given("multi", index, names, row)), (row,))
            for index, row in enumerate(_multi_rows(target.table, multi))
        ]
    inline = _inline(statement)
    fixed = list(_given("inline", 0, _names(statement, target), inline)) if inline else []
    keys = _keys(target)
    rows = []
    for index, parameter_set in enumerate(parameters):
        given = list(_given("parameter", index, keys, parameter_set))
        given += [_from_parameters(item, index, parameter_set) for item in fixed]
        rows.append(RowValues(index, given, (parameter_set, inline)))
    return rows


def literal(value: Any, column: Column[Any]) -> Any:
    """Return the Python value of an expression, or raise if only the database knows it."""
    if isinstance(value, File):
        return value
    if isinstance(value, BindParameter):
        return value.effective_value
    if value is None or isinstance(value, Null):
        return None
    if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
        raise UnsupportedStatementError(
            f"{column}: a SQL expression into a file column names objects that cannot be known; "
            "give it a File, content, or None"
        )
    return value


def coerced(statement: Any) -> Any:
    """Return an UPDATE whose content in ``values()`` has become files.

    SQLAlchemy hands those very values to the objects of the session that the statement matches.
    """
    target = file_table(getattr(statement, "table", None))
    if target is None:
        return statement
    meant = {
        item.place.key: file_value(target, item.column, item.value.value, is_update=True)
        for item in _given("inline", 0, _names(statement, target), _inline(statement))
        if isinstance(item.value, BindParameter) and not item.value.required
    }
    return _with_values(statement, meant)


def file_value(target: FileTable, column: Column[Any], value: Any, *, is_update: bool) -> Any:
    """Return a value as assigning it to the attribute would."""
    field = target.fields[column]
    if is_update and field.is_unchosen(value):
        raise UnsupportedStatementError(
            f"{column}: in this form no file was chosen, so there is nothing to update; leave the "
            "column out of the statement"
        )
    return field.coerce(value, str(column))


def replaced(statement: Any, parameters: Parameters, new: Mapping[Place, Any]) -> tuple[Any, Any]:
    """Return the statement and its parameters with other values in some places."""
    inline = {place.key: value for place, value in new.items() if place.kind == "inline"}
    statement = _with_values(statement, inline)
    multi = {place: value for place, value in new.items() if place.kind == "multi"}
    if multi:
        statement = _with_multi_values(statement, multi)
    sets = [dict(parameter_set) for parameter_set in parameters] if new else parameters
    for place, value in new.items():
        if place.kind == "parameter":
            sets[place.row][place.key] = value
    return statement, sets


def _given(
    kind: Literal["parameter", "inline", "multi"],
    row: int,
    names: Mapping[str, Column[Any]],
    values: Mapping[Any, Any],
) -> Iterator[Given]:
    for key, value in values.items():
        column = names.get(key if isinstance(key, str) else getattr(key, "key", ""))
        if column is not None:
            yield Given(column, Place(kind, row, key), value)


def _from_parameters(item: Given, index: int, parameter_set: Mapping[str, Any]) -> Given:
    """Follow ``values(column=bindparam("name"))`` to the parameter that it names."""
    if isinstance(item.value, BindParameter) and item.value.key in parameter_set:
        key = item.value.key
        return Given(item.column, Place("parameter", index, key), parameter_set[key])
    return item


def _keys(target: FileTable) -> dict[str, Column[Any]]:
    return {column.key: column for column in target.columns}


def _names(statement: Any, target: FileTable) -> dict[str, Column[Any]]:
    """Return the file columns by the names that ``values()`` takes: attributes, else keys."""
    names = _keys(target)
    for column in target.columns:
        names.update(dict.fromkeys(attribute_names(statement, column), column))
    return names


def attribute_names(statement: Any, column: Column[Any]) -> list[str]:
    """Return the name of the mapped attribute of a column, if the statement is on an entity."""
    mapper = entity_of(statement)
    attributes = () if mapper is None else mapper.column_attrs
    return [attribute.key for attribute in attributes if column in attribute.columns]


def names_of(statement: Any, column: Column[Any]) -> frozenset[str]:
    """Return the names under which a statement gives a value to a column."""
    return frozenset({column.key, *attribute_names(statement, column)})


def prefixes_of(statement: Any) -> str:
    """Return what ``prefix_with()`` puts behind the first word of a statement, in capitals."""
    return " ".join(str(prefix) for prefix, _ in statement._prefixes).upper()


def inline_columns(statement: Any) -> Sequence[Any]:
    """Return the columns that ``values()`` names as such, which may be those of another table."""
    if not isinstance(statement, Update):
        return ()
    # Not by _inline: every UPDATE of the program comes here.
    ordered = getattr(statement, "_ordered_values", None)
    keys = [key for key, _ in ordered] if ordered else statement._values or ()
    return [key for key in keys if isinstance(key, Column)]


def inline_names(statement: Any) -> set[str]:
    """Return the names of the columns or attributes that ``values()`` gives something to."""
    return {key if isinstance(key, str) else getattr(key, "key", "") for key in _inline(statement)}


def _inline(statement: Any) -> dict[Any, Any]:
    ordered = getattr(statement, "_ordered_values", None)
    return dict(ordered) if ordered else dict(getattr(statement, "_values", None) or {})


def _with_values(statement: Any, new: Mapping[Any, Any]) -> Any:
    """Return the statement with other values, in the order that ``ordered_values()`` gave them."""
    if not new:
        return statement
    if not any(getattr(statement, name, None) for name in _ORDERED):
        return statement.values(new)
    values = {**_inline(statement), **new}
    blank = statement._generate()
    blank._values = None
    for name, default in _ORDERED.items():
        setattr(blank, name, default)
    return blank.ordered_values(*values.items())


_ORDERED = {"_ordered_values": None, "_maintain_values_ordering": False}
"""What tells of ``ordered_values()``: the first in SQLAlchemy 2.0, the second from 2.1 on."""


def _multi_rows(table: Table, multi: Sequence[Any]) -> Iterator[Mapping[Any, Any]]:
    keys = [column.key for column in table.columns]
    for rows in multi:
        for row in rows:
            yield row if isinstance(row, Mapping) else dict(zip(keys, row, strict=False))


def _with_multi_values(statement: Any, new: Mapping[Place, Any]) -> Any:
    rows = [dict(row) for row in _multi_rows(statement.table, statement._multi_values)]
    for place, value in new.items():
        rows[place.row][place.key] = value
    changed = statement._generate()
    changed._multi_values = (rows,)
    return changed
