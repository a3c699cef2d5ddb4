"""The units of connections, and the answers of the database that they hear of.

A unit is found by its connection, or by what a pool lends and keeps. SQLAlchemy has no event after
COMMIT and ROLLBACK, and between its event before them and the database a listener may raise, or a
signal or a time limit arrive. So the dialect's public methods that end transactions are wrapped,
from the first file on one of its connections.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from sqlalchemy_file.tracking.unit.standing import Standing, asked_if_stale, standing
from sqlalchemy_file.tracking.unit.units import Phase, Unit


def unit_of(connection: Connection) -> Unit:
    """Return the unit of a connection; there is one from its first file or savepoint on."""
    unit: Unit | None = vars(connection).get(UNIT)
    if unit is None:
        unit = vars(connection)[UNIT] = Unit(connection)
        _units.add(unit)
        enter_in_pool(connection, unit)
        follow(connection.dialect)
    if (unit.is_unended or unit.has_begun) and not connection.in_transaction():
        # What comes now belongs to the next transaction, which has yet to begin.
        end_unanswered(connection, unit)
    elif unit.is_at_stake and not unit.verbs:
        unit.observe(asked_if_stale(connection))
    return unit


def known_unit(connection: Connection | None) -> Unit | None:
    """Return the unit of a connection, or None if it has had nothing to do with files."""
    return None if connection is None else vars(connection).get(UNIT)


def session_of(connection: Connection) -> Session | None:
    """Return the session that deletes what the transactions of a connection release."""
    reference: Callable[[], Session | None] | None = vars(connection).get(SESSION)
    return None if reference is None else reference()


def enter_in_pool(connection: Connection, unit: Unit) -> None:
    """Register the unit under the pool's record and the connections that it hands out."""
    lent = connection.connection
    before: Unit | None = lent.info.get(IN_INFO)  # none if another borrower has given it back
    if before is not unit or _lent.get(lent) is not unit:
        if before is not None and before is not unit:
            _share(before, unit)
        _lent[lent] = unit
        lent.info[IN_INFO] = unit


def borrowers(unit: Unit) -> list[Unit]:
    """Return the units that end with the same driver's connection, this one included."""
    if unit.sharing is None:
        return [unit]
    # Not by iteration: another thread may add one meanwhile.
    return [known for each in unit.sharing.keyrefs() if (known := each()) is not None]


def _share(first: Unit, second: Unit) -> None:
    """Take note of two units with one driver's connection, and so with one transaction.

    SQLAlchemy's pools for SQLite's databases in memory lend one connection to several borrowers.
    """
    sharing = first.sharing or weakref.WeakKeyDictionary({first: None})
    sharing[second] = None
    first.sharing = second.sharing = sharing


def unit_of_lent(lent: Any) -> Unit | None:
    """Return the unit of a pool's connection."""
    try:
        unit = _lent.get(lent)  # first: several connections of a StaticPool share one record
    except TypeError:  # a driver's own connection, to which there is no weak reference
        return None
    if unit is not None:
        return unit if unit.sharing is None else _ending(unit, lent)
    info = getattr(lent, "info", None)
    return info.get(IN_INFO) if isinstance(info, dict) else None


def _ending(unit: Unit, lent: Any) -> Unit:
    """Return the unit that is about to end, of those whose connections share what a pool lends."""
    for each in borrowers(unit):
        connection = each.connection
        if each.phase is Phase.OPEN or connection is None or connection.closed:
            continue
        if connection.connection is lent:
            return each
    return unit


def end_unanswered(connection: Connection, unit: Unit) -> None:
    """Roll back a transaction that SQLAlchemy takes for ended although no answer said so.

    Otherwise the next COMMIT of the connection would make it last.
    """
    unit.is_unended = False
    now = standing(connection)
    if unit.is_prepared or (now is Standing.CLOSED and unit.has_begun):
        unit.lose_track()
    elif unit.is_two_phase:  # drivers refuse their rollback(), and may not know the transaction
        connection.invalidate()
        unit.end(is_lost=True)
    elif now is not Standing.CLOSED:
        connection.dialect.do_rollback(connection.connection)


@atexit.register
def _settle_all() -> None:
    """Delete what committed transactions have released, of connections that nobody has closed."""
    for unit in list(_units):
        unit.settle()


# --- the database's answers


class Follower(Protocol):
    """Hears of each verb that is about to be sent, and of what came of it."""

    def sending(self, verb: str, target: Any) -> Any:
        """Return whom it concerns, or None if nobody."""
        ...

    def answered(self, verb: str, concerned: Any, arguments: tuple[Any, ...]) -> None: ...

    def failed(self, verb: str, concerned: Any) -> None: ...


def tell(follower: Follower) -> None:
    """Let somebody hear of the verbs of all dialects that are followed."""
    _followers[:] = [follower]


def follow(dialect: Dialect) -> None:
    """Follow a dialect's verbs from now on; once is enough."""
    if dialect not in _followed:
        _followed.add(dialect)
        for verb in VERBS:
            setattr(dialect, verb, _followed_verb(verb, getattr(dialect, verb)))


def _followed_verb(verb: str, send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def sent(target: Any, *arguments: Any, **options: Any) -> Any:
        (follower,) = _followers
        concerned = follower.sending(verb, target)
        if concerned is None:
            return send(target, *arguments, **options)
        try:
            result = send(target, *arguments, **options)
        except BaseException:
            follower.failed(verb, concerned)
            raise
        follower.answered(verb, concerned, arguments)
        return result

    return sent


UNIT = "_sqlalchemy_file_unit"
"""The attribute of a connection with its unit: each statement asks for it several times."""
SESSION = "_sqlalchemy_file_session"
"""The attribute of a connection with a reference to its session, the first one of several."""
IN_INFO = "sqlalchemy_file.unit"
"""The key of a pool's record with the unit of the connection that it lends."""
_units: weakref.WeakSet[Unit] = weakref.WeakSet()
_lent: weakref.WeakKeyDictionary[Any, Unit] = weakref.WeakKeyDictionary()
VERBS = (
    "do_commit",
    "do_rollback",
    "do_prepare_twophase",
    "do_commit_twophase",
    "do_rollback_twophase",
    "do_savepoint",
    "do_release_savepoint",
    "do_rollback_to_savepoint",
)
_followed: weakref.WeakSet[Dialect] = weakref.WeakSet()
_followers: list[Follower] = []
