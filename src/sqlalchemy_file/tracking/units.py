"""The unit of work of one connection: its frames, and what is still to be done about them."""

from __future__ import annotations

import enum
import os
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Executable, Table

from sqlalchemy_file.ledger import Ledger, ledger_of
from sqlalchemy_file.ledger.identity import Identity, may_all_delete
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.tracking.claims import claim_of
from sqlalchemy_file.tracking.databases import is_autocommit
from sqlalchemy_file.tracking.deletion import discard, tell_released
from sqlalchemy_file.tracking.frames import Effects, Ending, Frames
from sqlalchemy_file.tracking.reading import Database, OldRow
from sqlalchemy_file.tracking.tables import Key
from sqlalchemy_file.transfer import later


class Phase(enum.Enum):
    """Where the transaction stands, as far as it matters to files."""

    OPEN = enum.auto()
    PREPARED = enum.auto()
    COMMITTING = enum.auto()
    """COMMIT is being sent; unless an error follows, it was confirmed."""
    RELEASING = enum.auto()
    """The same of a savepoint that is the whole transaction, as SQLite has them."""


@dataclass(frozen=True, slots=True)
class Running:
    """A statement under way, and what it does to the references if it succeeds."""

    effects: Effects
    many: bool
    """It has several parameter sets: if it fails, some may have been carried out."""


class Unit:
    """What the transaction of one connection has stored, released, and still has to delete.

    Its deletions wait until the transaction has ended: `end` decides, `settle` deletes.
    """

    def __init__(self, connection: Connection) -> None:
        self.frames: Frames = Frames()
        self.phase: Phase = Phase.OPEN
        self.was_prepared = False
        self.needs_reset = False
        self.autocommit = False
        self.known: dict[tuple[Table, Key], OldRow] = {}
        self.claims: Counter[str] = Counter()
        self.moved: set[str] = set()
        self._running: dict[int, Running] = {}
        self._statements = 0
        self._doomed: set[str] = set()
        self._released: set[str] = set()
        self.ledgers: set[Ledger] = set()
        self._identities: set[Identity] = set()
        self._absent: set[str] = set()
        """Storages that are not there, such as folders whose disk is not mounted."""
        self._savepoints = 0
        self._outermost: str | None = None
        self._process = os.getpid()
        self._connection = weakref.ref(connection)
        weakref.finalize(connection, self._abandoned).atexit = False

    # --- savepoints

    def savepoint(self, *, is_transaction: bool) -> None:
        self.confirm_release()
        # SQLAlchemy names its savepoints only after it has told us of them.
        self._savepoints += 1
        name = f"sa_savepoint_{self._savepoints}"
        self.frames.savepoint(name)
        if is_transaction:
            self._outermost = name

    def ends_with(self, savepoint: str) -> bool:
        """Tell whether the release of a savepoint commits, as SQLite's outermost one does."""
        return savepoint == self._outermost

    def release(self, name: str) -> None:
        self.frames.release(name)
        if self.ends_with(name):
            self._outermost = None
            self.phase = Phase.RELEASING

    def confirm_release(self) -> None:
        """Take note that the RELEASE of a savepoint has committed everything."""
        if self.phase is Phase.RELEASING:
            self.commit()

    def roll_back_to(self, name: str) -> None:
        self._take(self.frames.roll_back_to(name))

    # --- statements

    def expect(self, statement: Any, effects: Effects, *, many: bool) -> Any:
        """Note what a statement will do to the references, if it succeeds.

        Returns the statement, marked: listeners may change it, and send others in between.
        """
        ledger = ledger_of(effects.target.table.metadata)
        if ledger is not None:
            self.ledgers.add(ledger)
            self._claim(effects)
        marked = statement
        if isinstance(statement, Executable):
            self._statements += 1
            marked = statement.execution_options(**{_MARK: self._statements})
        self._running[_mark_of(marked)] = Running(effects, many)
        return marked

    def _claim(self, effects: Effects) -> None:
        """Learn what this database may delete, and which storages of released objects are there."""
        connection = self.connection
        database = None if connection is None else Database(connection, effects.schemas)
        claim = None if database is None else claim_of(database, effects.target.table)
        if claim is None:
            return
        self._identities.add(claim.identity)
        storages = {StorageManager.resolve(path)[0] for path in effects.released}
        self._absent |= {name for name in storages if not claim.covers(name)}

    def _left_to_others(self, path: str) -> bool:
        """Tell whether an object is not this database's to delete, or not to be reached now."""
        storage_name, key = StorageManager.resolve(path)
        return storage_name in self._absent or not may_all_delete(self._identities, key)

    def succeeded(self, statement: Any, rowcount: Callable[[], int]) -> bool:
        """Count what the statement did; where that is not known, have its rows looked at later.

        Returns whether this was the statement that was expected.
        """
        running = self._running.pop(_mark_of(statement), None)
        if running is None:
            return False
        effects = running.effects
        self.frames.apply(effects, is_certain=effects.is_certain(rowcount))
        return True

    def failed(self, statement: Any, *, is_unsure: bool) -> None:
        """Forget what the statement would have done, unless a part of it may have been done."""
        running = self._running.pop(_mark_of(statement), None)
        self.frames.top.has_error = True
        if running is not None and (running.many or is_unsure):
            self.frames.top.unsure.append(running.effects)

    def take_unsure(self) -> list[Effects]:
        """Return, and forget, the effects that only a look at the tables can tell."""
        unsure = [running.effects for running in self._running.values()]
        self._running.clear()
        return self.frames.take_unsure() + unsure

    def forget_flush(self) -> None:
        """Drop what was read and decided for one flush."""
        self.known.clear()
        self.claims.clear()
        self.moved.clear()

    # --- endings

    def commit(self) -> None:
        """Take note that the database has confirmed: what no row names any more is doomed."""
        ending = self.frames.commit()
        left = {path for path in ending.doomed if self._left_to_others(path)}
        ending = replace(ending, doomed=ending.doomed - left)
        self._released |= ending.doomed
        self._take(ending)

    def roll_back(self) -> None:
        """Take note that the transaction is undone: what it stored is doomed."""
        self._take(self.frames.roll_back())

    def lose_track(self) -> None:
        """Take note that nobody knows how the transaction ended: nothing is deleted."""
        self._take(self.frames.forget())

    def end(self) -> None:
        """End a transaction of which no event tells how it ended."""
        if self.phase in (Phase.COMMITTING, Phase.RELEASING) or self.autocommit:
            self.commit()
        elif self.phase is Phase.PREPARED:
            self.lose_track()
        else:
            self.roll_back()

    def settle(self) -> set[str]:
        """Delete what is doomed, now that the transaction is over.

        Returns what is gone of that which a commit released, and which a ledger may list.
        """
        doomed, self._doomed = self._doomed, set()
        released, self._released = self._released, set()
        if not doomed or self._process != os.getpid():
            return set()
        tell_released(released)
        return discard(doomed) & released

    def settle_later(self) -> None:
        """Do the same from a finalizer, which may run anywhere and must not wait."""
        doomed, self._doomed = self._doomed, set()
        released, self._released = self._released, set()
        if doomed and self._process == os.getpid():
            later(partial(_tell_and_discard, released, doomed))

    @property
    def connection(self) -> Connection | None:
        """The connection, or None if it is gone already."""
        return self._connection()

    def _take(self, ending: Ending) -> None:
        self.phase = Phase.OPEN
        self._running.clear()
        self.forget_flush()
        self._doomed |= ending.doomed
        if self._process != os.getpid():
            return  # a forked child: the files are its parent's business
        for file in ending.reverted:
            file._revert()
        for file in ending.settled:
            file._settle()

    def _abandoned(self) -> None:
        self.end()
        self.settle_later()


def _tell_and_discard(released: set[str], doomed: set[str]) -> None:
    tell_released(released)
    discard(doomed)


def unit_of(connection: Connection) -> Unit:
    """Return the unit of a connection; there is one from its first file or savepoint on."""
    unit = _units.get(connection)
    if unit is None:
        unit = _units[connection] = Unit(connection)
        # The pool tells of the end of a connection by its record, not by the object we know.
        connection.info[_IN_INFO] = unit
        unit.autocommit = is_autocommit(connection)
    if unit.phase is not Phase.OPEN and not connection.in_transaction():
        unit.end()  # what comes now belongs to the next transaction, which has yet to begin
    unit.confirm_release()
    return unit


def known_unit(connection: Connection | None) -> Unit | None:
    """Return the unit of a connection, or None if it has had nothing to do with files."""
    return None if connection is None else _units.get(connection)


def unit_returning(record_info: dict[Any, Any]) -> Unit | None:
    """Return, and forget, the unit of a connection that goes back to its pool."""
    unit: Unit | None = record_info.pop(_IN_INFO, None)
    return unit


def _mark_of(statement: Any) -> int:
    options = getattr(statement, "_execution_options", {})
    mark: int = options.get(_MARK) or id(statement)
    return mark


_MARK = "sqlalchemy_file_statement"
_IN_INFO = "sqlalchemy_file.unit"
_units: weakref.WeakKeyDictionary[Connection, Unit] = weakref.WeakKeyDictionary()
