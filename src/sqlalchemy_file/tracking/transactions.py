"""How a transaction, or a savepoint, of a connection begins and ends.

SQLAlchemy's events come before the database has done anything: they prepare, and note what is
meant. Only what the database has answered is concluded from.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from sqlalchemy_file.tracking.clearing import clear_later
from sqlalchemy_file.tracking.databases import is_outside_transaction
from sqlalchemy_file.tracking.guard import refuse_if_late
from sqlalchemy_file.tracking.looking import make_sure
from sqlalchemy_file.tracking.raw_sql import is_opaque, undoes_a_part
from sqlalchemy_file.tracking.standing import Standing, asked, asked_if_stale, standing, standing_of
from sqlalchemy_file.tracking.tokens import place
from sqlalchemy_file.tracking.units import (
    Phase,
    Unit,
    end_unanswered,
    enter_in_pool,
    known_unit,
    unit_in,
    unit_of,
    unit_of_lent,
    unit_returning,
)

sessions: WeakKeyDictionary[Connection, ref[Session]] = WeakKeyDictionary()
"""Whose connection it is."""


def settle_unless_in_session(unit: Unit, connection: Connection) -> None:
    """Delete what is doomed, unless a session will, after it has given its connection back."""
    session = sessions.get(connection)
    if session is None or session() is None:
        gone = unit.settle()
        if leased := unit.take_leased():
            clear_later(connection, leased, gone)


# --- what SQLAlchemy is about to do


def begin(conn: Connection, xid: Any = None) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    # Files stored by the statement that makes the transaction begin are in its frame already.
    if unit.is_unended or unit.has_begun:
        end_unanswered(conn, unit)
    enter_in_pool(conn, unit)  # it may be another one, after the first was lost
    if unit.is_final:  # of a driver's own autocommit, and not ended by anybody
        unit.commit()
    settle_unless_in_session(unit, conn)


def commit(conn: Connection, xid: Any = None, is_prepared: Any = None) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    if unit.phase is Phase.PREPARED:
        unit.phase, unit.is_unended = Phase.COMMITTING, True
        return
    with _RollingBack(conn, unit, xid):
        unit.phase = _prepared(conn, unit, Phase.COMMITTING)
    unit.is_unended = True


def prepare(conn: Connection, xid: Any) -> None:
    unit = known_unit(conn)
    if unit is not None:
        _prepared(conn, unit, Phase.PREPARED)  # if it fails, SQLAlchemy takes nothing for ended


def roll_back(conn: Connection, xid: Any = None, is_prepared: Any = None) -> None:
    unit = known_unit(conn)
    if unit is None:
        return
    if conn.invalidated:  # with the line to the database went the transaction
        unit.end(is_lost=True)
        settle_unless_in_session(unit, conn)
        return
    if unit.is_at_stake:
        unit.observe(asked_if_stale(conn))
    if unit.is_final:
        make_sure(conn, unit)
    unit.phase, unit.is_unended = Phase.ROLLING_BACK, True


def savepoint(conn: Connection, name: str | None) -> None:
    unit = unit_of(conn)
    if unit.is_final:
        make_sure(conn, unit)
        unit.commit()
    unit.is_outside = is_outside_transaction(conn)


def release_savepoint(conn: Connection, name: str, context: Any) -> None:
    unit = known_unit(conn)
    if unit is not None and unit.ends_with(name):
        with _RollingBack(conn, unit, None):
            _prepared(conn, unit, Phase.OPEN)


def _prepared(conn: Connection, unit: Unit, phase: Phase) -> Phase:
    """Make sure of everything that only an open transaction can tell; return what is to come."""
    if unit.is_idle:
        return phase
    if unit.is_at_stake:
        now = _asked_before_end(conn)
        unit.observe(now)
        if now is Standing.ABORTED:
            return Phase.ROLLING_BACK  # what PostgreSQL answers its COMMIT with
    make_sure(conn, unit)
    if not unit.is_final:
        unit.lease()
        refuse_if_late(conn, unit.graces, unit.frames.began)
    return phase


def _asked_before_end(conn: Connection) -> Standing:
    """Return where the transaction stands; asyncpg and the like do not show that it is aborted."""
    if conn.dialect.name == "postgresql":
        return asked(conn)
    return asked_if_stale(conn)


class _RollingBack:
    """A block before a COMMIT: if it fails, the transaction is rolled back first.

    SQLAlchemy takes it for ended then, sends nothing, and the connection's next user would commit
    it.
    """

    __slots__ = ("_connection", "_unit", "_xid")

    def __init__(self, connection: Connection, unit: Unit, xid: Any) -> None:
        self._connection, self._unit, self._xid = connection, unit, xid

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        connection, unit = self._connection, self._unit
        unit.phase = Phase.ROLLING_BACK
        try:
            if self._xid is None:
                connection.dialect.do_rollback(connection.connection)
            else:
                connection.dialect.do_rollback_twophase(connection, self._xid, is_prepared=False)
        except Exception:  # noqa: BLE001  its error came second
            connection.invalidate()
            unit.end(is_lost=True)
        finally:
            settle_unless_in_session(unit, connection)


# --- what the database has answered


class Answers:
    """Concludes from what the database has answered to SQLAlchemy's verbs."""

    def sending(self, verb: str, target: Any) -> Unit | None:
        unit = _unit_at(target)
        if unit is not None:
            if not unit.verbs and unit.is_at_stake and verb in ("do_commit", "do_rollback"):
                _look_again(unit, target)
            unit.verbs.append(verb)
        return unit

    def failed(self, verb: str, unit: Unit) -> None:
        unit.verbs.pop()
        unit.failed_verb = verb

    def answered(self, verb: str, unit: Unit, arguments: tuple[Any, ...]) -> None:
        unit.verbs.pop()
        if not unit.verbs:  # else it is a part of another one
            _CONCLUSIONS[verb](unit, *arguments)


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


def _unit_at(target: Any) -> Unit | None:
    if isinstance(target, Connection):
        return known_unit(target)
    return unit_of_lent(target)


def _committed(unit: Unit, *_arguments: Any) -> None:
    is_meant = unit.phase is Phase.COMMITTING
    is_rolled_back = unit.phase is Phase.ROLLING_BACK and not unit.is_final
    unit.is_unended = False
    if is_rolled_back:
        unit.roll_back()
    elif is_meant or unit.is_final:
        unit.commit()
    elif unit.is_at_stake:
        unit.lose_track()  # a pool that commits whatever comes back to it


def _rolled_back(unit: Unit, *_arguments: Any) -> None:
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


def _committed_second(unit: Unit, *arguments: Any) -> None:
    _committed(unit)


def _rolled_back_second(unit: Unit, *arguments: Any) -> None:
    unit.is_prepared = False
    _rolled_back(unit)


def _set_savepoint(unit: Unit, name: str) -> None:
    unit.savepoint(name, is_transaction=unit.is_outside)


def _released_savepoint(unit: Unit, name: str) -> None:
    is_end = unit.ends_with(name)
    unit.release(name)
    connection = unit.connection
    if is_end and connection is not None and standing(connection) is Standing.CLOSED:
        unit.commit()


def _rolled_back_to_savepoint(unit: Unit, name: str) -> None:
    unit.roll_back_to(name)
    unit.settle()


_CONCLUSIONS = {
    "do_commit": _committed,
    "do_rollback": _rolled_back,
    "do_prepare_twophase": _prepared_first,
    "do_commit_twophase": _committed_second,
    "do_rollback_twophase": _rolled_back_second,
    "do_savepoint": _set_savepoint,
    "do_release_savepoint": _released_savepoint,
    "do_rollback_to_savepoint": _rolled_back_to_savepoint,
}


# --- statements that SQLAlchemy does not know to end a transaction


def before_statement(conn: Connection, unit: Unit, sql: str, *, is_ddl: bool) -> bool:
    """Follow what has ended since the last statement, and mark what this one may end.

    Returns whether `after_statement` has to look.
    """
    if unit.verbs or not unit.is_at_stake:
        return False
    unit.observe(asked_if_stale(conn))
    if unit.has_begun and not is_ddl and is_opaque(conn, sql):
        unit.token = None if undoes_a_part(conn, sql) else place(conn)
        if unit.token is None:
            unit.lose_track()
    return unit.token is not None


def after_statement(conn: Connection, unit: Unit) -> None:
    """Lose track of a transaction that the statement has ended."""
    token, unit.token = unit.token, None
    if token is not None and not token.is_there(conn):
        unit.lose_track()


# --- a connection that goes back to its pool


def reset(dbapi_connection: Any, record: Any, state: Any) -> None:
    """Roll back what SQLAlchemy takes for ended and is not, before somebody else gets it."""
    unit = None if record is None else unit_in(record.info)
    if unit is None or unit.is_prepared or not state.asyncio_safe:
        return
    # A listener that was called before ours may have raised.
    is_unended = unit.is_unended or (unit.has_begun and state.transaction_was_reset)
    if not is_unended or standing_of(unit.dialect, record.driver_connection) is Standing.CLOSED:
        return
    dbapi_connection.rollback()
    unit.is_unended = False
    _rolled_back(unit)


def detach(dbapi_connection: Any, record: Any) -> None:
    """Leave a connection that leaves its pool to itself: its record gets another one."""
    unit = unit_returning(record.info)
    if unit is None:
        return
    unit.is_detached = True
    if unit.connection is None:  # garbage, of a driver that cannot be awaited any more
        unit.end(is_lost=True)
        unit.settle_later()


def checkin(dbapi_connection: Any, record: Any) -> None:
    unit = unit_returning(record.info)
    if unit is None:
        return
    unit.is_unended = False
    if unit.frames or unit.phase is not Phase.OPEN:
        unit.end(is_lost=dbapi_connection is None)
    connection = unit.connection
    if connection is None:
        unit.settle_later()
    else:
        settle_unless_in_session(unit, connection)
