"""The consequences of the database's answers to commits and rollbacks.

SQLAlchemy has no event after COMMIT and ROLLBACK, and between its event before them and the
database a listener may raise, or a signal or a time limit arrive. So the dialect's public methods
that end transactions are wrapped, from the first file on one of its connections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect

from sqlalchemy_file.tracking.deleting.clearing import clear_later
from sqlalchemy_file.tracking.unit.registry import (
    UNIT,
    borrowers,
    is_unknown,
    known_unit,
    new_unit,
    session_of,
    unit_of_lent,
)
from sqlalchemy_file.tracking.unit.rereading import resolve_doubts
from sqlalchemy_file.tracking.unit.standing import Standing, asked_if_stale, standing, standing_of
from sqlalchemy_file.tracking.unit.units import Phase, Unit


def unit_of(connection: Connection) -> Unit:
    """Return the unit of a connection; there is one from its first file or savepoint on."""
    unit: Unit | None = vars(connection).get(UNIT)
    if unit is None:
        unit = new_unit(connection)
        _follow(connection.dialect)
    if (unit.is_unended or unit.has_begun) and not connection.in_transaction():
        # What comes now belongs to the next transaction, which has yet to begin.
        end_unanswered(connection, unit)
    elif unit.is_at_stake and not unit.verbs:
        unit.observe(asked_if_stale(connection))
    return unit


def settle_unless_in_session(unit: Unit, connection: Connection) -> None:
    """Delete the unreferenced objects, unless a session will do it later."""
    if session_of(connection) is None:
        gone = unit.settle()
        if leased := unit.take_leased():
            clear_later(connection, leased, gone)


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


def _follow(dialect: Dialect) -> None:
    if dialect not in _dialects:
        _dialects.add(dialect)
        for verb in _CONCLUSIONS:
            setattr(dialect, verb, _followed(verb, getattr(dialect, verb)))


def _followed(verb: str, send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def sent(target: Any, *arguments: Any, **options: Any) -> Any:
        unit = known_unit(target) if isinstance(target, Connection) else unit_of_lent(target)
        if unit is None or (unit.verbs and unit.verbs[0] in _ENDS and is_unknown(target)):
            # The latter is another borrower's: it comes after the end, and so ends nothing.
            return send(target, *arguments, **options)
        _sending(verb, unit, target)
        try:
            result = send(target, *arguments, **options)
        except BaseException:
            _failed(verb, unit)
            raise
        _answered(verb, unit, arguments)
        return result

    return sent


def _sending(verb: str, unit: Unit, target: Any) -> None:
    if not unit.verbs and verb in _ENDS:
        if unit.is_at_stake:
            _look_again(unit, target)
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
    if unit.phase is Phase.OPEN and unit.is_at_stake:
        others.append(unit)  # the committing connection has no unit of its own
    for other in others:
        connection = other.connection
        now = standing_of(unit.dialect, getattr(target, "driver_connection", None))
        if now is Standing.OPEN and connection is not None and connection.in_transaction():
            try:
                resolve_doubts(connection, other)
            except Exception:  # noqa: BLE001  the commit is somebody else's
                other.lose_track()
            else:
                other.phase = Phase.COMMITTING


def _concerned(unit: Unit) -> tuple[tuple[Unit, int | None], ...]:
    """Return the other units that end with a driver's connection, and their progress."""
    if unit.sharing is None:
        return ()
    others = [each for each in borrowers(unit) if each is not unit]
    return tuple([(each, each.progress) for each in others if each.is_at_stake or each.is_running])


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
        if (connection := other.connection) is not None:
            settle_unless_in_session(other, connection)


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
    connection = unit.connection
    if is_meant and connection is not None:
        settle_unless_in_session(unit, connection)


def _prepared_first(unit: Unit, *_arguments: Any) -> None:
    unit.phase, unit.is_prepared = Phase.PREPARED, True


def _rolled_back_second(unit: Unit, *arguments: Any) -> None:
    unit.is_prepared = False
    rolled_back(unit)


def _set_savepoint(unit: Unit, name: str) -> None:
    unit.savepoint(name)


def _released_savepoint(unit: Unit, name: str) -> None:
    is_end = unit.ends_with(name)
    unit.release(name)
    connection = unit.connection
    if is_end and connection is not None and standing(connection) is Standing.CLOSED:
        unit.commit()


def _rolled_back_to_savepoint(unit: Unit, name: str) -> None:
    unit.roll_back_to(name)
    unit.settle()


_dialects: WeakSet[Dialect] = WeakSet()
_ENDS = ("do_commit", "do_rollback")
_CONCLUSIONS = {
    "do_commit": _committed,
    "do_rollback": rolled_back,
    "do_prepare_twophase": _prepared_first,
    "do_commit_twophase": _committed,
    "do_rollback_twophase": _rolled_back_second,
    "do_savepoint": _set_savepoint,
    "do_release_savepoint": _released_savepoint,
    "do_rollback_to_savepoint": _rolled_back_to_savepoint,
}
