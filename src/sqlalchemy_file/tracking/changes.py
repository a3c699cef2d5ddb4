"""What rows and statements do to references. Pure.

Old and new values of a column go in; what is kept, acquired and released comes out.

A statement that succeeded need not have done what it says: a trigger keeps a row or restores its
value, a policy hides it, a LIMIT or a race lets it match fewer rows than were read, and row counts
do not always tell. What it was meant to do is counted at once, so that the rest of the
transaction can rely on it; before the commit its rows are read again, by their keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

from sqlalchemy import Column

from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.tables import FileTable, Key
from sqlalchemy_file.values.records import entries_in, paths_of


class Change(NamedTuple):
    """The paths that one column of one row no longer contains, and its new files."""

    released: tuple[str, ...]
    acquired: tuple[tuple[int, File], ...]
    """With the position in the new value."""


class RowChange(NamedTuple):
    """One file column of one row: the records that it held, and the files that it will hold.

    ``place`` is where the statement keeps the new value. ``key`` is that of the row, and ``by`` are
    its columns if they are not the primary key; None for a new row that nobody looks for again.
    """

    column: Column[Any]
    old: Sequence[Mapping[str, Any]]
    files: Sequence[File]
    place: Any = None
    key: Any = None
    by: tuple[Column[Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class OldRow:
    """The primary key of a row, and its file columns as text."""

    key: Key
    values: Mapping[Column[Any], Any]
    _records: dict[Column[Any], Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def records(self, column: Column[Any]) -> Sequence[Mapping[str, Any]]:
        """Return the value of a column; it is decoded at its first use."""
        found = self._records.get(column)
        if found is None:
            found = self._records[column] = records_in(self.values[column])
        return found

    def deleted(self) -> Iterator[RowChange]:
        """Yield the changes that the deletion of the row means for its columns."""
        for column in self.values:
            yield RowChange(column, self.records(column), (), None, self.key)


def change(old: Sequence[Mapping[str, Any]], new: Sequence[File]) -> Change:
    """Compare by path, and count: a file that is twice in a value has two references."""
    if not old:
        return Change((), tuple(enumerate(new)))
    left: Counter[str] = Counter()
    for record in old:
        left.update(paths_of(record))
    acquired = []
    for position, file in enumerate(new):
        paths = paths_of(file)
        if paths and left[paths[0]] > 0:
            left.subtract([path for path in paths if left[path] > 0])
        elif paths:  # the record of another program may name no object
            acquired.append((position, file))
    return Change(tuple(left.elements()), tuple(acquired))


class Ownership:
    """Which rows of one flush or statement may own which objects as they are.

    An object has one owner. ``counting`` returns the function that counts the rows which refer to
    an object so far; ``written`` are new, and others have taken those ``elsewhere``.
    """

    def __init__(
        self,
        counting: Callable[[], Callable[[str], int]],
        written: Collection[str],
        elsewhere: Collection[str] = (),
    ) -> None:
        self._counting, self._written, self._elsewhere = counting, written, elsewhere
        self._count: Callable[[str], int] | None = None
        self.taken: dict[str, int] = {}
        """How many rows take over an object."""

    def is_free(self, path: str, given: int) -> bool:
        """Return True if no row refers to an object after ``given`` rows have dropped it."""
        if path in self._elsewhere:
            return False
        held = 0
        if path not in self._written:
            self._count = self._count or self._counting()
            held = self._count(path)
        return held - given + self.taken.get(path, 0) < 1

    def take(self, paths: Iterable[str]) -> None:
        taken = self.taken
        for path in paths:
            taken[path] = taken.get(path, 0) + 1


def add_each(counts: dict[str, int], paths: Iterable[str]) -> None:
    for path in paths:
        counts[path] = counts.get(path, 0) + 1


def files_in(value: Any) -> tuple[File, ...]:
    """Return the files of a column's value as Python has it: a file, a list of files, or None."""
    if isinstance(value, File):
        return (value,)
    return tuple(value) if isinstance(value, Iterable) else ()


def records_in(raw: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the records of a column's value as the database has it, decoded or not.

    What another program left there and is no record names no object.
    """
    if raw is None:
        return ()
    try:
        items = entries_in(raw) if isinstance(raw, str | bytes) else raw
    except ValueError:
        return ()
    items = items if isinstance(items, list) else [items]
    return tuple([item for item in items if isinstance(item, Mapping)])


class Subject(NamedTuple):
    """A table as a statement addressed it, and the columns by which its rows are found."""

    target: FileTable
    columns: tuple[Column[Any], ...]
    schemas: frozenset[tuple[str | None, str | None]] = frozenset()


class Spot(NamedTuple):
    """Where a row is found again."""

    subject: Subject
    key: Key


class Doubts:
    """Beliefs about rows of one frame. Rows that are not found any more confirm them."""

    is_unlocated: bool = False
    """Whether some of these rows are found by other columns than their primary keys."""
    is_settled: bool = False
    """Whether rows were read again, so that what outer frames believe is out of date."""

    # No dataclass: one is made for each frame, which would take longer.
    def __init__(
        self,
        gone: dict[str, set[Spot]] | None = None,
        named: dict[str, Spot | None] | None = None,
    ) -> None:
        self.gone: dict[str, set[Spot]] = {} if gone is None else gone
        """The rows that should no longer refer to an object."""
        self.named: dict[str, Spot | None] = {} if named is None else named
        """The row that should refer to an object; None if that need not be asked any more."""
        self.at: dict[Spot, list[tuple[str, RowChange]]] = {}
        """What each row should name, or should have named before, and by which change."""

    def __bool__(self) -> bool:
        return bool(self.gone or self.named)

    def absorb(self, later: Doubts) -> None:
        """Take over the beliefs of a savepoint that was released."""
        if later.is_settled:
            self.gone, self.named, self.at = {}, {}, {}
            self.is_unlocated, self.is_settled = False, True
        for path, spot in later.named.items():
            holder = self.named.get(path)
            # A row that drops an object does not take it from the row that has it by now.
            if spot is None and holder and holder not in later.gone.get(path, (holder,)):
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

        A row that released what it should has the object that the same statement gave it, if it
        was given one in all.
        """
        gone = {path: spots for path, spots in self.gone.items() if path not in noted}
        unsure = set[Spot]().union(*gone.values())
        named: dict[str, Spot | None] = {
            path: spot
            for path, spot in self.named.items()
            if spot is not None and (spot in unsure or not self._has_replaced(spot, noted))
        }
        return Doubts(gone, named)

    def _has_replaced(self, spot: Spot, noted: Collection[str]) -> bool:
        """Return True if the one object that a row was given has replaced one of these."""
        (_, row), *others = self.at[spot]
        return not others and any(path in noted for record in row.old for path in paths_of(record))

    def spots(self) -> set[Spot]:
        holders = {spot for spot in self.named.values() if spot is not None}
        return holders.union(*self.gone.values())

    def kept(self, found: Mapping[Spot, Collection[str]]) -> Iterable[str]:
        """Yield the objects that rows still name, once for each of these rows."""
        for path, spots in self.gone.items():
            for spot in spots:
                if path in found.get(spot, ()) and self.named.get(path) != spot:
                    yield path

    def missed(self, found: Mapping[Spot, Collection[str]]) -> Iterable[tuple[Spot, str]]:
        """Yield the rows that should name objects, and do not, or that are not there.

        Another row may name one, so that they have to be searched for.
        """
        for path, spot in self.named.items():
            if spot is not None and path not in found.get(spot, ()):
                yield spot, path


class Effects:
    """What one statement does to the references, once it has succeeded."""

    rows: int | None = None
    """The number of rows that the database has to report, for all to be believed."""
    is_believed: bool = True
    """Whether all is believed if no number is expected."""
    is_found_by_path: bool = False
    """Whether its rows cannot be found again by a key."""
    is_unseen: bool = False
    """Whether triggers may not fire for the rows that it deletes, as for REPLACE on SQLite."""

    # No dataclass: one is made for each statement, which would take twice as long.
    def __init__(
        self,
        target: Any = None,
        acquired: Iterable[str] = (),
        released: Iterable[str] = (),
        archived: Iterable[str] = (),
        entrusted: Iterable[str] = (),
        schemas: Any = None,
    ) -> None:
        self.target: Any = target
        """The table that the statement writes."""
        self.acquired: list[str] = [*acquired]
        self.released: list[str] = [*released]
        self.archived: list[str] = [*archived]
        """Released by a field with ``on_release="keep"``."""
        self.entrusted: list[str] = [*entrusted]
        """Acquired by such a field; these are among ``acquired``, too."""
        self.schemas: Any = schemas
        """The schema names that the statement translated."""
        self.gains: list[tuple[RowChange, str]] = []
        """Which row acquires what, of those that can be found again."""
        self.losses: list[tuple[RowChange, str]] = []
        """Which row releases what, of those that can be found again."""

    def acquire(self, row: RowChange, paths: Sequence[str]) -> None:
        self.acquired += paths
        if paths and row.column in self.target.keeping:
            self.entrusted += paths
        if row.key:
            self.gains += zip(repeat(row), paths)

    def release(self, row: RowChange, paths: Sequence[str]) -> None:
        if not paths:
            return
        (self.archived if row.column in self.target.keeping else self.released).extend(paths)
        if row.key:
            self.losses += zip(repeat(row), paths)

    def missing(
        self, old: OldRow, expected: Callable[[Spot], Iterable[str]]
    ) -> list[tuple[RowChange, str]]:
        """Return what a row that goes should name, and does not."""
        row = RowChange(self.target.columns[0], (), (), None, old.key)
        there = {path for each in old.deleted() for record in each.old for path in paths_of(record)}
        return [(row, path) for path in expected(self.spot(row)) if path not in there]

    def lose(self, missing: Sequence[tuple[RowChange, str]]) -> None:
        """Release what no row names: nobody finds it later."""
        lost = self.archived if self.target.keeping else self.released
        lost += [path for _, path in missing]
        self.losses += missing

    def paths(self) -> set[str]:
        return {*self.acquired, *self.released, *self.archived}

    def as_seen(self, named: set[str], count: Callable[[str], int]) -> Effects:
        """Return what brings the counts to what was found: which objects rows refer to now.

        ``count`` is how many rows refer to an object without this statement.
        """
        kept = set(self.archived) - named
        lost = set(self.released) - named - kept
        return Effects(
            self.target,
            [path for path in self.paths() & named if count(path) < 1],
            [path for path in lost for _ in range(count(path))],
            [path for path in kept for _ in range(count(path))],
            [path for path in self.entrusted if path in named],
            self.schemas,
        )

    def doubts(self) -> Doubts:
        """Return what rows should name, and no longer name, after the statement."""
        doubts, own = Doubts(), self.subject()
        for row, path in self.losses:
            spot = self.spot(row) if row.by else Spot(own, row.key)
            doubts.named[path] = None
            doubts.gone.setdefault(path, set()).add(spot)
        for row, path in self.gains:
            spot = self.spot(row) if row.by else Spot(own, row.key)
            doubts.named[path] = spot
            doubts.at.setdefault(spot, []).append((path, row))
            doubts.is_unlocated |= spot.subject.columns != self.target.keys
        return doubts

    def subject(self, columns: tuple[Column[Any], ...] | None = None) -> Subject:
        schemas = frozenset((self.schemas or {}).items())
        return Subject(self.target, columns or self.target.keys, schemas)

    def spot(self, row: RowChange) -> Spot:
        return Spot(self.subject(row.by), row.key)
