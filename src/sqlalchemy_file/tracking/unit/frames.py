"""One frame a transaction or savepoint: what it stored, and which references it changed.

References are counted, not flagged: an object that was stored before the transaction starts at
one, a new one at zero, and an object at zero in the end has no row that refers to it. Counts
add up in any order, so that a file may move, be put back and swapped within one transaction.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy_file.file import File
from sqlalchemy_file.tracking.changes import Doubts, Effects, Spot, add_each
from sqlalchemy_file.values.records import paths_of

_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


@dataclass(slots=True)
class Moment:
    """A moment by two clocks, so that elapsed time is never too short.

    The monotonic clock stops while a computer sleeps, the boot-time clock while a virtual machine
    is paused, and the wall clock may be set back.
    """

    boot: float
    wall: float

    def seconds_until(self, later: Moment) -> float:
        """Return how long ago this was, by the clock that says longest."""
        return max(later.boot - self.boot, later.wall - self.wall)

    def earlier(self, other: Moment) -> Moment:
        return Moment(min(self.boot, other.boot), min(self.wall, other.wall))


def now() -> Moment:
    boot = time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)
    return Moment(boot, time.time())


class Frame:
    """What happened between one BEGIN or SAVEPOINT and its end."""

    # No dataclass: one is made for each transaction, which would take twice as long.
    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.files: list[File] = []
        self.stored: set[str] = set()
        self.references: dict[str, int] = {}
        self.archived: set[str] = set()
        self.kept: dict[str, bool] = {}
        """Of what was archived: whether the last field that released it keeps it."""
        self.entrusted: set[str] = set()
        self.unsure: list[Effects] = []
        """Of statements that failed in part, or whose rows cannot be found again by a key."""
        self.doubts: Doubts = Doubts()
        self.began: Moment | None = None
        """When the first upload began."""

    def apply(self, effects: Effects) -> None:
        """Count the references that a statement changed."""
        references = self.references
        for path in effects.acquired:
            references[path] = references.get(path, 0) + 1
        for path in (*effects.released, *effects.archived):
            references[path] = references.get(path, 0) - 1
        self.archived.update(effects.archived)
        self.entrusted.update(effects.entrusted)

    def unreferenced(self) -> set[str]:
        """Return the objects to which no row refers, as far as this frame counts."""
        references, stored = self.references, self.stored
        gone = {path for path in stored if references.get(path, 0) < 1}
        gone.update(
            [path for path, count in references.items() if count < 0 and path not in stored]
        )
        return gone

    def doomed(self) -> set[str]:
        """Return the objects that a commit deletes: unreferenced for certain, and not kept."""
        gone = self.unreferenced()
        if not gone:
            return gone
        unsure = {path for effects in self.unsure for path in effects.paths()}
        staying = {path for path, is_kept in self.kept.items() if is_kept} - self.stored
        return gone.difference(unsure, self.doubts.gone, staying)

    def absorb(self, child: Frame) -> None:
        self.files += child.files
        self.stored |= child.stored
        for path, count in child.references.items():
            self.references[path] = self.references.get(path, 0) + count
        self.archived |= child.archived
        self.kept.update(child.kept)
        self.entrusted |= child.entrusted
        self.unsure += child.unsure
        self.doubts.absorb(child.doubts)
        self.note_begin(child.began)

    def note_begin(self, began: Moment | None) -> None:
        if began is not None:
            self.began = began if self.began is None else began.earlier(self.began)


class Ending(NamedTuple):
    """Objects to delete, files to revert, newest first, and files to settle."""

    doomed: frozenset[str] = frozenset()
    reverted: tuple[File, ...] = ()
    settled: tuple[File, ...] = ()


class Frames:
    """The frames of one connection: its transaction, and the savepoints open within."""

    def __init__(self) -> None:
        self._stack = [Frame()]

    @property
    def top(self) -> Frame:
        return self._stack[-1]

    @property
    def names(self) -> list[str | None]:
        """The open savepoints, the outermost first; None is the transaction itself."""
        return [frame.name for frame in self._stack]

    @property
    def age(self) -> float | None:
        """How many seconds ago the first upload began."""
        began = self._merged().began
        return None if began is None else began.seconds_until(now())

    def __bool__(self) -> bool:
        frame = self._stack[0]
        return bool(
            len(self._stack) > 1
            or frame.stored
            or frame.references
            or frame.files
            or frame.unsure  # all there is of statements on drivers that show no state
        )

    def count(self, path: str) -> int:
        """Return how many rows name an object, as far as this transaction knows."""
        unsure = (effects for frame in self._stack for effects in frame.unsure)
        return self.references(path) + sum(path in effects.acquired for effects in unsure)

    def apply(self, effects: Effects, *, is_certain: bool) -> None:
        """Count what a statement did, or was meant to do where that has yet to be looked up."""
        if not is_certain and effects.is_found_by_path:
            self.top.unsure.append(effects)
            return
        self.change(effects)
        top, before = self._stack[-1], self.has_doubts
        if before:  # a row that still refers to an object had not released it earlier
            again = [path for row, path in effects.losses if self._is_gone(path, effects.spot(row))]
            add_each(top.references, again)
        if not is_certain:
            doubts = effects.doubts()
            if before or top.doubts.is_settled:
                top.doubts.absorb(doubts)
            else:
                top.doubts = doubts
        elif before:
            top.doubts.named.update(dict.fromkeys(effects.paths()))

    def change(self, effects: Effects) -> None:
        """Count the references that a statement has changed for certain."""
        stack = self._stack
        stack[-1].apply(effects)
        if stack[0].archived or (len(stack) > 1 and any(frame.archived for frame in stack)):
            self._decide_what_stays(effects)

    def correct(self, corrections: Effects) -> None:
        """Count what rows were found to refer to, or not to refer to.

        A row that never got a file has not released it: whether it stays is decided already.
        """
        self.top.apply(corrections)

    def _decide_what_stays(self, effects: Effects) -> None:
        """Record whether an unreferenced object was released by a field that keeps it.

        Statements of a flush come in any order: a row may acquire a file before another one
        releases it. So that release decides which leaves no reference.
        """
        lost = Counter([*effects.released, *effects.archived])
        archived = set(effects.archived)
        for path, count in lost.items():
            if not any(path in frame.archived for frame in self._stack):
                continue
            was_gone = self.references(path) + count <= 0  # more rows named it than is known
            self.top.kept[path] = path in archived or (was_gone and self._is_kept(path))

    def _is_kept(self, path: str) -> bool:
        known = (frame.kept for frame in reversed(self._stack) if path in frame.kept)
        return next(known, {}).get(path, False)

    def references(self, path: str) -> int:
        """Return how many rows name an object, without statements that are not looked up yet."""
        is_new = any(path in frame.stored for frame in self._stack)
        return (0 if is_new else 1) + sum(frame.references.get(path, 0) for frame in self._stack)

    def _is_gone(self, path: str, spot: Spot) -> bool:
        is_gone = any(spot in doubts.gone.get(path, ()) for doubts in self._believed())
        return is_gone and self._holder(path) != spot

    def _holder(self, path: str) -> Spot | None:
        """Return the row that should name an object, if that is in doubt."""
        holders = (doubts.named for doubts in reversed(self._believed()))
        return next((named[path] for named in holders if path in named), None)

    def doubts(self) -> Doubts:
        """Return what is believed of rows, in all frames together."""
        return self._merged().doubts

    @property
    def has_doubts(self) -> bool:
        if len(self._stack) == 1:
            doubts = self._stack[0].doubts
            return bool(doubts.gone or doubts.named)
        return any(self._believed())

    @property
    def is_unlocated(self) -> bool:
        """Whether rows in doubt are not found by their primary keys."""
        if len(self._stack) == 1:
            return self._stack[0].doubts.is_unlocated
        return any(doubts.is_unlocated for doubts in self._believed())

    def expected(self, spot: Spot) -> set[str]:
        """Return what a row should name."""
        paths = {path for doubts in self._believed() for path, _ in doubts.at.get(spot, ())}
        return {path for path in paths if self._holder(path) == spot}

    def _believed(self) -> list[Doubts]:
        """Return what is believed in each frame, from the last look at rows on."""
        believed = [frame.doubts for frame in self._stack]
        for position in range(len(believed) - 1, 0, -1):
            if believed[position].is_settled:
                return believed[position:]
        return believed

    def settle_doubts(self) -> None:
        """Note that all rows have been read, until a savepoint is rolled back."""
        self.top.doubts = Doubts()
        self.top.doubts.is_settled = True

    def drop_doubts(self) -> None:
        """Note that all rows have been read."""
        for frame in self._stack:
            frame.doubts = Doubts()

    def is_doubted(self, path: str) -> bool:
        """Return True if a row may still name an object that was released."""
        return any(path in doubts.gone for doubts in self._believed())

    def releasing(self) -> tuple[set[str], set[str]]:
        """Return the objects that a commit would leave unreferenced, and the new objects."""
        frame = self._merged()
        return frame.unreferenced(), frame.stored

    def keeping(self) -> tuple[set[str], set[str]]:
        """Return what keeping fields have released: what stays without a row, and what does not.

        Other rows refer to the latter, or did so later, or no committed row has ever done so.
        """
        gone, new = self.releasing()
        archived = self._merged().archived
        staying = {path for path in (archived & gone) - new if self._is_kept(path)}
        return staying, archived - staying

    def entrusted(self) -> set[str]:
        """Return the new objects that fields which keep should have."""
        gone, new = self.releasing()
        return (self._merged().entrusted & new) - gone

    def take_unsure(self) -> list[Effects]:
        taken = [effects for frame in self._stack for effects in frame.unsure]
        for frame in self._stack:
            frame.unsure = []
        return taken

    def savepoint(self, name: str) -> None:
        self._stack.append(Frame(name))

    def release(self, name: str) -> None:
        """Merge a savepoint, and those within it, into the frame around it."""
        for frame in self._pop_through(name):
            self.top.absorb(frame)

    def roll_back_to(self, name: str) -> Ending:
        """Undo a savepoint and those within it; the frame around it is untouched."""
        return _rolled_back(self._pop_through(name))

    def roll_back(self) -> Ending:
        frames, self._stack = self._stack[::-1], [Frame()]
        return _rolled_back(frames)

    def commit(self) -> Ending:
        """End the transaction: all unreferenced objects are to be deleted, new or old."""
        root, self._stack = self._merged(), [Frame()]
        doomed = root.doomed()
        if not doomed:
            return Ending(settled=tuple(root.files))
        lost = {id(file) for file in root.files if not doomed.isdisjoint(paths_of(file))}
        return Ending(
            frozenset(doomed),
            tuple(file for file in reversed(root.files) if id(file) in lost),
            tuple(file for file in root.files if id(file) not in lost),
        )

    def forget(self) -> Ending:
        """End with an unknown outcome: nothing is deleted."""
        files, self._stack = self._merged().files, [Frame()]
        return Ending(settled=tuple(files))

    def _merged(self) -> Frame:
        if len(self._stack) == 1:
            return self._stack[0]
        merged = Frame()
        for frame in self._stack:
            merged.absorb(frame)
        return merged

    def _pop_through(self, name: str) -> list[Frame]:
        """Take the frames off the top, down to the one of that name; innermost first."""
        if name not in self.names:
            return []
        index = self.names.index(name)
        taken, self._stack = self._stack[index:], self._stack[:index]
        return taken[::-1]


def _rolled_back(frames: Iterable[Frame]) -> Ending:
    frames = list(frames)
    return Ending(
        frozenset(path for frame in frames for path in frame.stored),
        tuple(file for frame in frames for file in reversed(frame.files)),
    )
