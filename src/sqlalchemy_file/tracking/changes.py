"""Compare old and new values of a column: what is kept, acquired and released. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column

from sqlalchemy_file.file import File
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
