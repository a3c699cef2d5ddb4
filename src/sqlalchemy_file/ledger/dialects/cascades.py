"""Find the rows that ON DELETE CASCADE deletes with a row.

InnoDB fires no triggers for them, so the triggers of the parent tables read them before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from sqlalchemy_file.ledger import columns
from sqlalchemy_file.ledger.columns import Place

quoted: Callable[[str], str] = partial(columns.quoted, mark="`")
qualified: Callable[[Place], str] = partial(columns.qualified, mark="`")

Nodes = dict[Place, dict[str, str]]
"""The tables between, each with its referenced columns as the query `gone` names them."""


class Cascade(NamedTuple):
    """A foreign key with ON DELETE CASCADE; ``columns`` are pairs (child's, parent's)."""

    child: Place
    parent: Place
    columns: tuple[tuple[str, str], ...]


class Ancestor(NamedTuple):
    """A table whose deletes reach rows of ``targets``, by way of ``cascades``."""

    place: Place
    cascades: tuple[Cascade, ...]
    targets: frozenset[Place]

    def rows_of(self, target: Place, column: str) -> str:
        """Return a query for one column of the rows of a target that go with the OLD row.

        It locks them, so it sees what others have committed meanwhile, as the cascade will. FOR
        UPDATE is refused for tables which the statement itself uses.
        """
        nodes = self._nodes()
        value = f"c.{quoted(column)} AS value"
        rows = " UNION ALL ".join(self._queries(nodes, [target], lambda _: value))
        return f"{self._gone(nodes)} {rows}" if nodes else rows

    def _nodes(self) -> Nodes:
        children = {each.child for each in self.cascades}
        referenced: dict[Place, set[str]] = {}
        for each in self.cascades:
            if each.parent in children:
                referenced.setdefault(each.parent, set()).update(name for _, name in each.columns)
        return {
            place: {name: f"g.k{index}_{number}" for number, name in enumerate(sorted(names))}
            for index, (place, names) in enumerate(sorted(referenced.items(), key=str))
        }

    def _gone(self, nodes: Nodes) -> str:
        """Return the recursive query for the keys of all rows between that will be gone."""
        names = [each.removeprefix("g.") for keys in nodes.values() for each in keys.values()]
        parts = " UNION ".join(self._queries(nodes, nodes, lambda child: _keys(nodes, child)))
        return f"WITH RECURSIVE gone (node, {', '.join(names)}) AS ({parts})"

    def _queries(
        self, nodes: Nodes, children: Collection[Place], columns: Callable[[Place], str]
    ) -> list[str]:
        """Return queries for the rows of tables that go: by the OLD row, then by way of `gone`."""
        by_row, further = [], []
        for each in self.cascades:
            if each.child not in children:
                continue
            select, child = f"(SELECT {columns(each.child)} FROM", f"{qualified(each.child)} AS c"
            if each.parent == self.place:
                where = _matches(each, lambda name: f"OLD.{quoted(name)}")
                by_row.append(f"{select} {child} WHERE {where} {_SHARED})")
            if each.parent in nodes:
                on = _matches(each, nodes[each.parent].__getitem__)
                node = list(nodes).index(each.parent)
                further.append(
                    f"{select} gone AS g JOIN {child} ON {on} WHERE g.node = {node} {_SHARED})"
                )
        return [*by_row, *further]


def ancestors(cascades: Sequence[Cascade], targets: Collection[Place]) -> Iterator[Ancestor]:
    """Yield the tables from which a DELETE reaches one of the targets, in order of their names."""
    relevant = set(targets)
    useful: list[Cascade] = []
    while new := [each for each in cascades if each.child in relevant and each not in useful]:
        useful += new
        relevant.update(each.parent for each in new)
    for place in sorted({each.parent for each in useful}, key=str):
        below = _below(place, useful)
        reached = frozenset(each.child for each in below if each.child in targets)
        yield Ancestor(place, below, reached)


def cascades_in(connection: Connection) -> list[Cascade]:
    """Read the foreign keys with ON DELETE CASCADE from the catalog of MariaDB or MySQL."""
    keys: dict[tuple[Any, ...], list[Any]] = {}
    for row in connection.execute(_CASCADES).all():
        keys.setdefault(tuple(row)[:3], []).append(row)
    return [
        Cascade(
            Place(rows[0].child_schema, rows[0].child),
            Place(rows[0].parent_schema, rows[0].parent),
            tuple((row.child_column, row.parent_column) for row in rows),
        )
        for rows in keys.values()
    ]


def _below(place: Place, cascades: Sequence[Cascade]) -> tuple[Cascade, ...]:
    reached, below = {place}, set[Cascade]()
    while new := {each for each in cascades if each.parent in reached} - below:
        below |= new
        reached.update(each.child for each in new)
    return tuple(sorted(below, key=str))


def _matches(cascade: Cascade, parent_value: Callable[[str], str]) -> str:
    return " AND ".join(
        f"c.{quoted(child)} = {parent_value(parent)}" for child, parent in cascade.columns
    )


def _keys(nodes: Nodes, child: Place) -> str:
    """Return the columns of `gone` for one table; for the others a NULL of their type."""
    parts = [str(list(nodes).index(child))]
    for place, keys in nodes.items():
        for name in keys:
            column = quoted(name)
            null = f"(SELECT x.{column} FROM {qualified(place)} AS x WHERE FALSE)"
            parts.append(f"c.{column}" if place == child else null)
    return ", ".join(parts)


_SHARED = "LOCK IN SHARE MODE"

_CASCADES: Any = text("""
SELECT k.table_schema AS child_schema, k.table_name AS child, k.constraint_name AS name,
       k.column_name AS child_column, k.referenced_table_schema AS parent_schema,
       k.referenced_table_name AS parent, k.referenced_column_name AS parent_column
FROM information_schema.referential_constraints r
JOIN information_schema.key_column_usage k
  ON k.constraint_schema = r.constraint_schema AND k.constraint_name = r.constraint_name
 AND k.table_name = r.table_name
WHERE r.delete_rule = 'CASCADE' AND k.referenced_table_name IS NOT NULL
ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position""")
