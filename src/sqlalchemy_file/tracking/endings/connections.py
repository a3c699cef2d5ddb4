"""The units of connections: how they are found, and what the database's answers mean for them.

A unit is found by its connection, or by what a pool lends and keeps.

SQLAlchemy has no event after COMMIT and ROLLBACK, and between its event before them and the
database a listener may raise, or a signal or a time limit arrive. So the dialect's public methods
that end transactions are wrapped, from the first file on one of its connections.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect

from sqlalchemy_file.tracking.deletion import clear
from sqlalchemy_file.tracking.unit.doubts import resolve_doubts
from sqlalchemy_file.tracking.unit.standing import (
    Phase,
    Standing,
    asked_if_stale,
    standing,
    standing_of,
)
from sqlalchemy_file.tracking.unit.units import Unit


def known_unit(connection: Connection) -> Unit | None:
    """Return the unit of a connection, or None if it has had nothing to do with files."""
    return vars(connection).get(UNIT)


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
    """Note that two units have one driver's connection, and so one transaction.

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
        connection = each.connection()
        if each.phase is Phase.OPEN or connection is None or connection.closed:
            continue
        if connection.connection is lent:
            return each
    return unit


UNIT = "_sqlalchemy_file_unit"
"""The attribute of a connection with its unit: each statement asks for it several times."""
SESSION = "_sqlalchemy_file_session"
"""The attribute of a connection with a reference to its session, the first one of several.

The session deletes what the transactions of the connection release."""
IN_INFO = "sqlalchemy_file.unit"
"""The key of a pool's record with the unit of the connection that it lends."""
_lent: weakref.WeakKeyDictionary[Any, Unit] = weakref.WeakKeyDictionary()


def unit_of(connection: Connection) -> Unit:
    """Return the unit of a connection; there is one from its first file or savepoint on."""
    unit: Unit | None = vars(connection).get(UNIT)
    if unit is None:
        unit = vars(connection)[UNIT] = Unit(connection)
        enter_in_pool(connection, unit)
        if not hasattr(connection.dialect, _FOLLOWED):
            follow(connection.dialect, _FOLLOWED, _CONCLUSIONS, _followed)
    if (unit.is_unended or unit.has_begun) and not connection.in_transaction():
        # What comes now belongs to the next transaction, which has yet to begin.
        end_unanswered(connection, unit)
    elif unit.is_at_stake and not unit.verbs:
        unit.observe(asked_if_stale(connection))
    return unit


def begin(conn: Connection, xid: Any = None) -> None:
    if (unit := vars(conn).get(UNIT)) is None:
        return
    # Files stored by the statement that makes the transaction begin are in its frame already.
    if unit.is_unended or unit.has_begun:
        end_unanswered(conn, unit)
    enter_in_pool(conn, unit)  # it may be another one, after the first was lost
    if unit.is_final:  # of a driver's own autocommit, and not ended by anybody
        unit.commit()
    settle_unless_in_session(unit)


def settle_unless_in_session(unit: Unit) -> None:
    """Delete the unreferenced objects, unless a session will do it later."""
    connection = unit.connection()
    if connection is not None:
        session = vars(connection).get(SESSION)
        if session is None or session() is None:
            settle(unit, connection, is_now=False)


def settle(unit: Unit, connection: Connection, *, is_now: bool) -> None:
    """Delete the unreferenced objects, then their ledger entries."""
    gone = unit.settle()
    if unit.leased:
        leased, unit.leased = unit.leased, []
        clear(connection, leased, gone, is_now=is_now)


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


def follow(
    dialect: Dialect,
    mark: str,
    verbs: Iterable[str],
    followed: Callable[[str, Callable[..., Any]], Any],
) -> None:
    """Wrap methods of a dialect, unless the attribute ``mark`` says that they are."""
    own = object()
    if vars(dialect).setdefault(mark, own) is own:  # else another thread was first
        for verb in verbs:
            setattr(dialect, verb, followed(verb, getattr(dialect, verb)))


def _followed(verb: str, send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def sent(target: Any, *arguments: Any, **options: Any) -> Any:
        is_lent = not isinstance(target, Connection)  # by a pool
        unit = unit_of_lent(target) if is_lent else known_unit(target)
        if unit is None or (verb in _ENDS and unit.sharing is None and unit.is_idle):
            return send(target, *arguments, **options)
        deliver = send
        if unit.may_share and is_lent and target not in _lent:  # a borrower without a unit
            if unit.verbs and unit.verbs[0] in _ENDS:
                return send(target, *arguments, **options)  # after the end, it ends nothing
            deliver = partial(_sent_by_another, unit, send)
        _sending(verb, unit, target)
        try:
            result = deliver(target, *arguments, **options)
        except BaseException:
            _failed(verb, unit)
            raise
        _answered(verb, unit, arguments)
        return result

    return sent


def _sent_by_another(unit: Unit, send: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """End the transaction of a unit whose connection has not asked for it."""
    progress = unit.progress
    result = send(*arguments, **options)
    if progress is None or progress != unit.progress:
        unit.lose_track()  # nobody knows which of its statements came before the end
    return result


def _sending(verb: str, unit: Unit, target: Any) -> None:
    if not unit.verbs and verb in _ENDS:
        if unit.is_at_stake:
            _look_again(unit, target)
        if unit.sharing is not None:
            unit.concerned = _concerned(unit)
        if verb == "do_commit" and (unit.sharing or unit.phase is Phase.OPEN):
            _include_others(unit, target)
    unit.verbs.append(verb)
    if verb in ("do_prepare_twophase", "do_commit_twophase"):
        unit.is_two_phase = False
    unit.failed_verb = None


def _failed(verb: str, unit: Unit) -> None:
    unit.verbs.pop()
    unit.failed_verb = verb
    if verb in _ENDS:
        for other, _ in unit.concerned:
            other.phase = Phase.OPEN
        unit.concerned = ()


def _answered(verb: str, unit: Unit, arguments: tuple[Any, ...]) -> None:
    unit.verbs.pop()
    if not unit.verbs:  # else it is a part of another one
        _CONCLUSIONS[verb](unit, *arguments)
        if unit.sharing is not None and verb in _ENDS:
            _conclude_others(verb, unit)


def _look_again(unit: Unit, target: Any) -> None:
    """Follow what has happened since the event, or without one, if it is a pool that sends this."""
    now = standing_of(unit.dialect, getattr(target, "driver_connection", None))
    if unit.phase is Phase.OPEN:
        unit.observe(now)
    elif unit.phase is Phase.COMMITTING and not unit.is_final:
        if now is Standing.ABORTED:
            unit.phase = Phase.ROLLING_BACK
        elif now is Standing.CLOSED:
            unit.lose_track()


def _include_others(unit: Unit, target: Any) -> None:
    """Prepare the commit of other connections that have the same connection of the driver."""
    others = [other for other, progress in unit.concerned if progress is not None]
    if unit.phase is Phase.OPEN and unit.is_at_stake and unit.progress is not None:
        others.append(unit)  # the committing connection has no unit of its own
    for other in others:
        connection = other.connection()
        now = standing_of(unit.dialect, getattr(target, "driver_connection", None))
        if now is Standing.OPEN and connection is not None and connection.in_transaction():
            _include(other, connection)


def _include(other: Unit, connection: Connection) -> None:
    try:
        resolve_doubts(connection, other)
    except Exception:  # noqa: BLE001  the commit is somebody else's
        other.lose_track()
    else:
        other.phase = Phase.COMMITTING


def _concerned(unit: Unit) -> tuple[tuple[Unit, int | None], ...]:
    """Return the other units that end with a driver's connection, and their progress."""
    others = [each for each in borrowers(unit) if each is not unit]
    return tuple([(each, each.progress) for each in others if each.is_at_stake or each.running])


def _conclude_others(verb: str, unit: Unit) -> None:
    """Conclude what the end means for the others; other tasks may have gone on meanwhile."""
    concerned, unit.concerned = unit.concerned, ()
    for other, progress in concerned:
        if progress is None or progress != other.progress:
            other.lose_track()  # nobody knows which of its statements came before the end
        elif verb == "do_commit" and other.phase is Phase.ROLLING_BACK:
            other.commit()  # its ROLLBACK came later, or would have been answered first
        else:
            _CONCLUSIONS[verb](other)
        settle_unless_in_session(other)


def _committed(unit: Unit, *_arguments: Any) -> None:
    is_meant = unit.phase is Phase.COMMITTING
    is_rolled_back = unit.phase is Phase.ROLLING_BACK and not unit.is_final
    unit.is_unended = False
    if is_rolled_back:
        unit.roll_back()
    elif is_meant or unit.is_final:
        unit.commit()
    elif unit.is_at_stake:
        unit.lose_track()  # a pool that commits when a connection comes back to it


def rolled_back(unit: Unit, *_arguments: Any) -> None:
    is_meant = unit.phase is Phase.ROLLING_BACK
    unit.is_unended = False
    if unit.is_final:
        unit.commit()
    elif unit.is_prepared:
        unit.lose_track()
    else:
        unit.roll_back()
    if is_meant:
        settle_unless_in_session(unit)


def _prepared_first(unit: Unit, *_arguments: Any) -> None:
    unit.phase, unit.is_prepared = Phase.PREPARED, True


def _rolled_back_second(unit: Unit, *arguments: Any) -> None:
    unit.is_prepared = False
    rolled_back(unit)


def _released_savepoint(unit: Unit, name: str) -> None:
    is_end = unit.ends_with(name)
    unit.release(name)
    connection = unit.connection()
    if is_end and connection is not None and standing(connection) is Standing.CLOSED:
        unit.commit()


def _rolled_back_to_savepoint(unit: Unit, name: str) -> None:
    unit.roll_back_to(name)
    unit.settle()


_FOLLOWED = "_sqlalchemy_file_ends_followed"
_ENDS = ("do_commit", "do_rollback")
_CONCLUSIONS: dict[str, Callable[..., None]] = {
    "do_commit": _committed,
    "do_rollback": rolled_back,
    "do_prepare_twophase": _prepared_first,
    "do_commit_twophase": _committed,
    "do_rollback_twophase": _rolled_back_second,
    "do_savepoint": Unit.savepoint,
    "do_release_savepoint": _released_savepoint,
    "do_rollback_to_savepoint": _rolled_back_to_savepoint,
}
