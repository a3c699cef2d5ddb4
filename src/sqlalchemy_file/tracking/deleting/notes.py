"""The ledger entries of a transaction: read and leased before its commit."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy import Connection

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.notes import (
    Mark,
    Note,
    add_missing,
    begin,
    clear,
    kept,
    lease_mine,
    may_use,
    visible,
)
from sqlalchemy_file.tracking.deleting.sharing import must_stay, named


@dataclass(slots=True)
class Leased:
    """The entries of one ledger that a transaction has leased, to delete the objects."""

    ledger: Ledger
    token: str
    notes: list[Note]


@dataclass(slots=True)
class Notes:
    """The entries that a transaction should find in the ledger, and those that it has found.

    With a ledger, an object is deleted if it is unreferenced by count and has an entry: only the
    database knows the effect of the statements.
    """

    _marks: dict[Ledger, Mark] = field(default_factory=dict)
    _awaited: set[str] = field(default_factory=set)
    _left: set[str] = field(default_factory=set)
    _unseen: set[str] = field(default_factory=set)
    leased: list[Leased] = field(default_factory=list)
    keeping: dict[Ledger, set[str]] = field(default_factory=dict)
    """What keeping fields have released or acquired, or were about to."""

    def expect(
        self,
        connection: Connection,
        ledger: Ledger,
        released: Collection[str],
        kept: Collection[str],
        entrusted: Collection[str],
        *,
        is_unseen: bool,
    ) -> None:
        """Prepare for the entries of a statement about to run, if the ledger can be used.

        ``kept`` are released, and ``entrusted`` acquired, by fields that keep their objects. With
        ``is_unseen``, triggers may not fire, so the entries are written before the commit.
        """
        if not (released or kept or entrusted) or not may_use(connection, ledger):
            return
        if released:
            if ledger not in self._marks:
                self._marks[ledger] = begin(connection, ledger)
            self._awaited.update(released)
        if kept or entrusted:
            self.keeping.setdefault(ledger, set()).update(kept, entrusted)
        if is_unseen:
            self._unseen.update(released, kept)

    def lease(
        self, connection: Connection, released: Iterable[str], new: Collection[str]
    ) -> set[str]:
        """Lease the entries of unreferenced objects, and return the objects with entries.

        ``new`` are objects that the transaction itself has stored: nobody else can name them.
        """
        wanted = {str(path) for path in released if path in self._awaited}
        found: set[str] = set()
        if not wanted:
            return found
        self._awaited -= wanted
        for ledger, mark in self._marks.items():
            stays = must_stay(connection, ledger, wanted)
            self._left |= stays
            token = uuid4().hex
            if unseen := self._unseen & (wanted - stays):
                add_missing(connection, ledger, unseen)
            notes = lease_mine(connection, ledger, mark, wanted - stays, token)
            found.update(note.path for note in notes)
            self.leased.append(Leased(ledger, token, notes))
        self._left.update(wanted.difference(found, new))
        return found

    def taken(self, connection: Connection, entrusted: Collection[str]) -> set[str]:
        """Return which objects other SQL has taken from keeping fields, so that no row has them."""
        found: set[str] = set()
        for ledger, concerned in self.keeping.items():
            if noted := kept(connection, ledger, concerned.intersection(entrusted)):
                found |= noted - named(connection, ledger, noted)
        return found

    def forget_kept(self, connection: Connection, moved: Collection[str]) -> None:
        """Remove the entries of kept objects that other fields have acquired since."""
        for ledger, concerned in self.keeping.items():
            if paths := concerned.intersection(moved):
                found = visible(connection, ledger, paths)
                clear(connection, ledger, [note.id for note in found if note.is_kept])

    def settle_kept(
        self, connection: Connection, staying: Collection[str], others: Collection[str]
    ) -> None:
        """Remove the entries of keeping fields that do not hold.

        ``staying`` are what they release: earlier entries, of how these came to the field, are
        removed. Other rows refer to the ``others``, or these were never committed.
        """
        for ledger, concerned in self.keeping.items():
            if unseen := self._unseen & concerned.intersection(staying):
                add_missing(connection, ledger, unseen, is_kept=True)
            paths = concerned.intersection((*staying, *others))
            over = [
                note.id
                for note in visible(connection, ledger, paths)
                if (note.is_kept and note.path in others)
                or (note.lease is None and note.path in staying)
            ]
            clear(connection, ledger, over)

    def leaves(self, path: str) -> bool:
        """Return True if an object is left alone although it was counted as released."""
        return path in self._left

    def end(self) -> list[Leased]:
        """Return the leased objects, and forget the transaction."""
        leased, self.leased = self.leased, []
        self._marks, self._awaited, self._left, self.keeping = {}, set(), set(), {}
        return leased

    def __bool__(self) -> bool:
        return bool(self._marks or self.keeping)


def is_chosen(path: str) -> bool:
    """Return True if a program may have chosen the key of an object, and may choose it again."""
    return _ID.search(path) is None


_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
