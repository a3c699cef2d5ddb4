"""Rows whose references are uncertain after a statement, until they are read again.

A statement that succeeded need not have done what it says: a trigger keeps a row or restores its
value, a policy hides it, a LIMIT or a race lets it match fewer rows than were read, and row counts
do not always tell. What it was meant to do is counted at once, so that the rest of the
transaction can go by it; before the commit its rows are read once more, by their keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Column

from sqlalchemy_file.tracking.tables import FileTable, Key


class Subject(NamedTuple):
    """A table as a statement addressed it, and the columns by which its rows are found."""

    target: FileTable
    columns: tuple[Column[Any], ...]
    schemas: frozenset[tuple[str | None, str | None]] = frozenset()


class Spot(NamedTuple):
    """Where a row is found again."""

    subject: Subject
    key: Key


@dataclass(slots=True)
class Doubts:
    """Beliefs about rows of one frame. Rows that are not found any more confirm them."""

    gone: dict[str, set[Spot]] = field(default_factory=dict)
    """The rows that should name an object no more."""
    named: dict[str, Spot | None] = field(default_factory=dict)
    """The row that should name an object; None if that need not be asked any more."""
    at: dict[Spot, list[str]] = field(default_factory=dict)
    """What each row should name, or should have named before."""
    is_unlocated: bool = False
    """Whether some of these rows are found by other columns than their primary keys."""
    is_settled: bool = False
    """Whether rows were looked at, so that what frames below believe is out of date."""

    def __bool__(self) -> bool:
        return bool(self.gone or self.named)

    def absorb(self, later: Doubts) -> None:
        """Take over the beliefs of a savepoint that was released."""
        if later.is_settled:
            self.gone, self.named, self.at = {}, {}, {}
            self.is_unlocated, self.is_settled = False, True
        for path, spot in later.named.items():
            holder = self.named.get(path)
            # A row that lets go of an object does not take it from the one that has it by now.
            if (
                spot is None
                and holder is not None
                and holder not in later.gone.get(path, (holder,))
            ):
                continue
            self.named[path] = spot
            if spot is not None and path in self.gone:  # it has taken it back
                self.gone[path].discard(spot)
        for path, spots in later.gone.items():
            self.gone.setdefault(path, set()).update(spots)
        for spot, paths in later.at.items():
            self.at.setdefault(spot, []).extend(paths)
        self.is_unlocated |= later.is_unlocated

    def unless_noted(self, noted: Collection[str]) -> Doubts:
        """Return the rows to read again, given what the ledger has recorded itself.

        A row that let go of what it should has what it was given, if that is one object.
        """
        gone = {path: spots for path, spots in self.gone.items() if path not in noted}
        let_go = set[Spot]().union(*(self.gone.get(path, ()) for path in noted))
        given_once = {spot for spot in let_go if len(self.at.get(spot, ())) < 2}
        certain = given_once.difference(*gone.values())
        named: dict[str, Spot | None] = {
            path: spot
            for path, spot in self.named.items()
            if spot is not None and spot not in certain
        }
        return Doubts(gone, named)

    def spots(self) -> set[Spot]:
        """Return all rows that have to be read."""
        holders = {spot for spot in self.named.values() if spot is not None}
        return holders.union(*self.gone.values())

    def is_gone(self, path: str, spot: Spot) -> bool:
        """Return True if a row has let go of an object, and has not taken it back since."""
        return spot in self.gone.get(path, ()) and self.named.get(path) != spot

    def kept(self, found: Mapping[Spot, Collection[str]]) -> Iterable[str]:
        """Yield the objects that rows still name, once for each of these rows."""
        for path, spots in self.gone.items():
            for spot in spots:
                if path in found.get(spot, ()) and self.is_gone(path, spot):
                    yield path

    def missed(self, found: Mapping[Spot, Collection[str]]) -> Iterable[str]:
        """Yield the objects that the row which should name them does not.

        Another row may be found in its place, so that they have to be searched for. A row that is
        not found may only be hidden by a policy.
        """
        for path, spot in self.named.items():
            if spot is not None and spot in found and path not in found[spot]:
                yield path
