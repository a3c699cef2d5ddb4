"""What one statement does to the references, once it has succeeded. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy_file.tracking.changes import RowChange
from sqlalchemy_file.tracking.reading import OldRow
from sqlalchemy_file.tracking.unit.doubts import Doubts, Spot, Subject
from sqlalchemy_file.values.records import paths_of


@dataclass(slots=True)
class Effects:
    """What one statement does to the references, once it has succeeded."""

    target: Any = None
    """The table that the statement writes."""
    acquired: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    """Released by a field with ``on_release="keep"``."""
    entrusted: list[str] = field(default_factory=list)
    """Acquired by such a field; these are among ``acquired``, too."""
    schemas: Any = None
    """The schema names that the statement translated."""
    gains: list[tuple[RowChange, str]] = field(default_factory=list)
    """Which row acquires what, of those that can be found again."""
    losses: list[tuple[RowChange, str]] = field(default_factory=list)
    """Which row releases what, of those that can be found again."""
    rows: int | None = None
    """The number of rows that the database has to report, for all to be believed."""
    is_believed: bool = True
    """Whether all is believed if no number is expected."""
    is_found_by_path: bool = False
    """Whether its rows cannot be found again by a key."""
    is_unseen: bool = False
    """Whether triggers may not fire for the rows that it deletes, as for REPLACE on SQLite."""

    def is_certain(self, rowcount: Callable[[], int]) -> bool:
        """Return True if the statement, which succeeded, has done what it was meant to do."""
        if self.rows is None:
            return self.is_believed
        return rowcount() == self.rows

    def acquire(self, row: RowChange, paths: Sequence[str]) -> None:
        """Add what one value of a row acquires."""
        self.acquired += paths
        if paths and self.target.keeps(row.column):
            self.entrusted += paths
        if row.key:
            self.gains += [(row, path) for path in paths]

    def release(self, row: RowChange, paths: Sequence[str]) -> None:
        """Add what one value of a row lets go of."""
        if not paths:
            return
        (self.archived if self.target.keeps(row.column) else self.released).extend(paths)
        if row.key:
            self.losses += [(row, path) for path in paths]

    def missing(
        self, old: OldRow, expected: Callable[[Spot], Iterable[str]]
    ) -> list[tuple[RowChange, str]]:
        """Return what a row that goes should name, and does not."""
        row = RowChange(self.target.columns[0], (), (), None, old.key)
        there = {path for each in old.deleted() for record in each.old for path in paths_of(record)}
        return [(row, path) for path in expected(self._spot(row)) if path not in there]

    def lose(self, missing: Sequence[tuple[RowChange, str]]) -> None:
        """Release what no row names: nobody finds it later."""
        may_keep = any(map(self.target.keeps, self.target.columns))
        (self.archived if may_keep else self.released).extend([path for _, path in missing])
        self.losses += missing

    def paths(self) -> set[str]:
        return {*self.acquired, *self.released, *self.archived}

    def as_seen(self, named: set[str]) -> Effects:
        """Return the real changes, by the paths that are in the table now."""
        return Effects(
            self.target,
            [path for path in self.acquired if path in named],
            [path for path in self.released if path not in named],
            [path for path in self.archived if path not in named],
            [path for path in self.entrusted if path in named],
            self.schemas,
        )

    def doubts(self) -> Doubts:
        """Return what rows should name, and no longer name, after the statement."""
        doubts = Doubts()
        for row, path in self.losses:
            spot = self._spot(row)
            doubts.named[path] = None
            doubts.gone.setdefault(path, set()).add(spot)
        for row, path in self.gains:
            spot = doubts.named[path] = self._spot(row)
            doubts.at.setdefault(spot, []).append(path)
            doubts.is_unlocated |= spot.subject.columns != self.target.keys
        return doubts

    def spots_lost(self) -> list[tuple[str, Spot]]:
        """Return what is released, and by which row, of rows that can be found again."""
        return [(path, self._spot(row)) for row, path in self.losses]

    def _spot(self, row: RowChange) -> Spot:
        schemas = frozenset((self.schemas or {}).items())
        return Spot(Subject(self.target, row.by or self.target.keys, schemas), row.key)
