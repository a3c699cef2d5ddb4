"""The unit of work of one connection: its frames, and its pending deletions."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.notes import may_use
from sqlalchemy_file.ledger.tables import IN_INFO
from sqlalchemy_file.tracking import claims
from sqlalchemy_file.tracking.changes import Effects
from sqlalchemy_file.tracking.deletion import discard
from sqlalchemy_file.tracking.leases import Leased, Notes
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.tracking.unit.decisions import Decisions
from sqlalchemy_file.tracking.unit.frames import Ending, Frames
from sqlalchemy_file.tracking.unit.standing import Phase, Standing, Token
from sqlalchemy_file.transfer import run_in_background
from sqlalchemy_file.values.state import revert, settle


class Unit:
    """What the transaction of one connection has stored, released, and still has to delete.

    Its deletions wait until the transaction has ended: `commit` and its like decide, once the
    database has answered; `settle` deletes.
    """

    phase: Phase = Phase.OPEN
    is_prepared: bool = False
    """It was prepared: no connection has it open."""
    is_unended: bool = False
    """SQLAlchemy takes the transaction for ended; the database has not said so."""
    is_two_phase: bool = False
    """It is a two-phase commit, and neither phase has been sent."""
    has_begun: bool = False
    """A statement has changed references in a transaction that was open afterwards."""
    is_final: bool = False
    """A statement has changed references, and no transaction was open afterwards."""
    is_at_stake: bool = False
    """One of these two, so that the end of the transaction matters."""
    is_outside: bool = False
    """No transaction was open before the savepoint that is being set."""
    failed_verb: str | None = None
    token: Token | None = None
    decisions: Decisions | None = None
    """Those of the flush that is in progress."""
    notes: Notes | None = None
    """What the transaction expects to find in the ledger, if there is one."""
    rights: claims.Rights | None = None
    """What its database may delete, if there is a ledger."""
    sharing: weakref.WeakKeyDictionary[Unit, None] | None = None
    """The units of all connections of one driver's connection, if there are several."""
    concerned: tuple[tuple[Unit, int | None], ...] = ()
    """The other ones and their `progress`, when the verb was sent that ends all transactions."""
    cut_off: frozenset[int] = frozenset()
    """Statements that were in progress when the transaction ended, and with it their files."""
    _statements: int = 0
    _outermost: str | None = None

    def __init__(self, connection: Connection) -> None:
        self.frames: Frames = Frames()
        self.verbs: list[str] = []
        """SQLAlchemy's own that are being sent, which may consist of statements, or of others."""
        self.running: dict[int, tuple[Effects, bool]] = {}
        """Statements in progress, and whether a part of each may be done if it fails."""
        self._doomed, self._released = set[str](), set[str]()
        self.leased: list[Leased] = []
        """Entries of objects that a committed transaction has released."""
        self.graces: dict[claims.LedgerInSchema, float] = {}
        self._process = os.getpid()
        self.connection: weakref.ref[Connection] = weakref.ref(connection, _abandon)
        self.may_share: bool = isinstance(connection.engine.pool, _LENDING_TO_SEVERAL)
        """Its pool lends one connection to several borrowers."""
        self.is_detached: bool = bool(connection.connection.is_detached)
        """Its connection has left its pool, and will not go back."""
        self.dialect: Dialect = connection.dialect
        _units[self.connection] = self  # last: a connection that is lost raises above

    def savepoint(self, name: str) -> None:
        self.frames.savepoint(name)
        if self.is_outside:
            self._outermost = name

    def ends_with(self, savepoint: str) -> bool:
        """Return True if the release of a savepoint commits, as SQLite's outermost one does."""
        return savepoint == self._outermost

    def release(self, name: str) -> None:
        self.frames.release(name)
        if self.ends_with(name):
            self._outermost = None

    def roll_back_to(self, name: str) -> None:
        if name not in self.frames.names:
            self.lose_track()  # what came after it was counted as if there were no savepoint
            return
        ending, running = self.frames.roll_back_to(name), dict(self.running)
        self._take(ending)
        # A listener or a default may use a savepoint of its own during a statement.
        for mark, (effects, many) in running.items():
            if mark not in self.cut_off:
                effects.rows, effects.is_believed, effects.is_found_by_path = None, False, True
                self.running[mark] = effects, many

    def expect(self, statement: Any, effects: Effects, *, many: bool) -> Any:
        """Note what a statement will do to the references, if it succeeds.

        Returns the statement, marked: listeners may change it, and send others in between.
        """
        metadata = effects.target.table.metadata
        if IN_INFO in metadata.info and (connection := self.connection()) is not None:
            self._expect_notes(connection, metadata.info[IN_INFO], effects)
        self._statements += 1
        self.running[self._statements] = effects, many
        return statement.execution_options(**{_MARK: self._statements})

    def _expect_notes(self, connection: Connection, ledger: Ledger, effects: Effects) -> None:
        database = Database(connection, effects.schemas)
        if (claim := claims.claim_of(database, effects.target.table)) is not None:
            self.rights = self.rights or claims.Rights()
            self.rights.learn(claim, effects.released)
        is_noted = effects.released or effects.archived or effects.entrusted
        if database.is_as_connected and is_noted and may_use(connection, ledger):
            self.notes = self.notes or Notes()
            self.notes.expect(connection, ledger, effects)
        where = ledger, claims.schema_of(database, ledger)
        if where not in self.graces and self.frames.age is not None:
            self.graces[where] = claims.grace_within(connection, where)

    def succeeded(self, statement: Any, rowcount: Callable[[], int]) -> bool:
        """Count what a statement did; if that is not known, its rows are read again later.

        Returns whether it was expected.
        """
        running = self.running.pop(_mark_of(statement), None)
        if running is None:
            return False
        effects, _ = running
        rows = effects.rows
        is_certain = effects.is_believed if rows is None else rowcount() == rows
        self.frames.apply(effects, is_certain=is_certain)
        return True

    def failed(self, statement: Any, *, is_undone: bool) -> bool:
        """Forget a statement that was undone. Returns whether a part of it may have been done."""
        running = self.running.pop(_mark_of(statement), None)
        if running is None or (is_undone and not running[1]):
            return False
        self.frames.top.unsure.append(running[0])
        return True

    def take_unsure(self) -> list[Effects]:
        unsure = self.frames.take_unsure()
        if self.running:
            unsure += [effects for effects, _ in self.running.values()]
            self._cut_off({path for effects in unsure for path in effects.acquired})
            self.running.clear()
        return unsure

    def _cut_off(self, given_up: set[str] | frozenset[str]) -> None:
        """Note which statements in progress must not be sent any more, without their files."""
        for mark, (effects, _) in self.running.items():
            if not given_up.isdisjoint(effects.acquired):
                self.cut_off |= {mark}

    def is_cut_off(self, statement: Any) -> bool:
        """Return True if the new files of a statement in progress may be deleted already."""
        return _mark_of(statement) in self.cut_off

    @property
    def is_idle(self) -> bool:
        """Whether the end of the transaction means nothing for files."""
        return self.phase is Phase.OPEN and not (
            self.is_at_stake
            or self.is_unended
            or self.running
            or self.graces
            or self.notes  # of a statement that failed
            or self.decisions
            or self.frames
        )

    def has_run(self, now: Standing, *, is_autocommit: bool) -> None:
        """Record the state of the transaction after a statement that changed references."""
        if now is Standing.UNKNOWN:
            self.is_final |= is_autocommit
        elif now is Standing.CLOSED:
            self.is_final = not self.has_begun
        else:
            self.has_begun, self.is_final = True, False
        self.is_at_stake = self.has_begun or self.is_final

    def observe(self, now: Standing) -> None:
        """Follow a transaction that has ended, or begun, without an event."""
        if self.phase is not Phase.OPEN or now is Standing.UNKNOWN:
            return
        if self.has_begun and now is Standing.CLOSED:
            self.lose_track()
        elif self.is_final and now is not Standing.CLOSED:
            self.commit()

    def commit(self) -> None:
        """Record the confirmed commit: unreferenced objects are to be deleted."""
        ending = self.frames.commit()
        if ending.doomed:
            left = self.rights.lacking(ending.doomed) if self.rights else set[str]()
            if self.notes:
                # Of statements that were final, also those that no rows were searched for.
                left |= self.notes.left | (self.notes.awaited if self.is_final else set())
            ending = ending._replace(doomed=ending.doomed - left)
            self._released |= ending.doomed
        if self.notes:
            self.leased += self.notes.leased
        self._take(ending, is_end=True)

    def lease(self, connection: Connection) -> set[str]:
        """Use the ledger's entries to decide what a commit left unreferenced, and lease them.

        Returns what was noted. Of statements that are final already, only rows are searched for.
        """
        if not self.notes:
            return set()
        released, new = self.frames.releasing()
        if self.is_final:
            self.notes.leave_named(connection, released)
            return set()
        if self.notes.keeping:
            _, moved = self.frames.keeping()
            self.notes.forget_kept(connection, moved & released)
        return self.notes.lease(connection, released, new)

    def settle_kept(self, connection: Connection) -> None:
        """Remove the ledger's entries of keeping fields that do not hold at the commit.

        A new object that other SQL has taken from such a field was never committed: it is deleted.
        """
        if self.is_final or not self.notes or not self.notes.keeping:
            return
        taken = self.notes.taken(connection, self.frames.entrusted())
        if taken:
            self.frames.change(Effects(archived=sorted(taken)))
        self.notes.settle_kept(connection, *self.frames.keeping())

    def roll_back(self) -> None:
        """Record the rollback: objects that the transaction stored are to be deleted."""
        self._take(self.frames.roll_back(), is_end=True)

    def lose_track(self) -> None:
        """Record that nobody knows how the transaction ended: nothing is deleted."""
        self._take(self.frames.forget(), is_end=True)

    def end(self, *, is_lost: bool) -> None:
        """End a transaction to which no answer came.

        The server rolls it back when it loses the connection (``is_lost``). The outcome is unknown
        if the connection went back to its pool as it was.
        """
        is_open = self.phase in (Phase.OPEN, Phase.ROLLING_BACK) or self.is_two_phase
        if self.is_final:
            self.commit()
        elif is_lost and is_open and not self.is_prepared:
            self.roll_back()
        else:
            self.lose_track()

    def settle(self) -> set[str]:
        """Delete the unreferenced objects after the end of the transaction.

        Returns those that a commit released, which a ledger may list, and that are gone.
        """
        return discard(*self._take_doomed()) if self._doomed else set()

    def settle_later(self) -> None:
        """Do the same from a finalizer, which must not wait."""
        doomed, released = self._take_doomed()
        if doomed:
            run_in_background(partial(discard, doomed, released))

    def _take_doomed(self) -> tuple[set[str], set[str]]:
        doomed, self._doomed = self._doomed, set()
        released, self._released = self._released, set()
        return (doomed, released) if self._process == os.getpid() else (set(), set())

    @property
    def progress(self) -> int | None:
        """How many statements have been begun; None while one, or a flush, is under way."""
        return None if self.running or self.decisions is not None else self._statements

    def _take(self, ending: Ending, *, is_end: bool = False) -> None:
        if is_end:
            self.phase = Phase.OPEN
            self.has_begun = self.is_final = self.is_at_stake = False
            self.is_prepared = self.is_two_phase = False
            self.token = self._outermost = self.notes = None
            self.graces.clear()
        if self.running:
            self._cut_off(ending.doomed)
            self.running.clear()
        self.decisions = None
        self._doomed |= ending.doomed
        if self._process != os.getpid():
            return  # a forked child leaves the files to its parent
        for file in ending.reverted:
            revert(file)
        for file in ending.settled:
            settle(file)


_units: dict[weakref.ref[Connection], Unit] = {}
"""The units of all connections that are alive."""


def _abandon(connection: weakref.ref[Connection]) -> None:
    """Follow the end of a connection that was garbage-collected."""
    unit = _units.pop(connection, None) if _units else None  # none when the interpreter ends
    if unit is None:
        return
    if unit.is_detached:  # else its pool is about to take it back
        unit.end(is_lost=True)
    unit.settle_later()


@atexit.register
def _settle_all() -> None:
    """Delete unreferenced objects of connections that nobody has closed."""
    units = list(_units.values())
    _units.clear()
    for unit in units:
        unit.settle()


def _mark_of(statement: Any) -> Any:
    return getattr(statement, "_execution_options", {}).get(_MARK)


_MARK = "sqlalchemy_file_statement"
_LENDING_TO_SEVERAL = (SingletonThreadPool, StaticPool)
