"""SQLAlchemy's events around transactions, savepoints and pools.

They fire before the database has done anything, so they only prepare. Conclusions follow the
database's answers.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_file.tracking.claims import refuse_if_late
from sqlalchemy_file.tracking.endings.connections import (
    IN_INFO,
    UNIT,
    borrowers,
    known_unit,
    rolled_back,
    settle_unless_in_session,
    unit_of,
)
from sqlalchemy_file.tracking.unit.doubts import resolve_doubts
from sqlalchemy_file.tracking.unit.standing import (
    Phase,
    Standing,
    asked,
    asked_if_stale,
    is_outside_transaction,
    standing_of,
)
from sqlalchemy_file.tracking.unit.units import Unit

# --- what SQLAlchemy is about to do


def commit(conn: Connection, xid: Any = None, is_prepared: Any = None) -> None:
    if (unit := vars(conn).get(UNIT)) is None:
        return
    if unit.phase is Phase.PREPARED:
        unit.phase, unit.is_unended = Phase.COMMITTING, True
        return
    try:
        unit.phase = _prepared(conn, unit, Phase.COMMITTING)
    except BaseException:
        _undo(conn, unit, xid)
        raise
    unit.is_unended, unit.is_two_phase = True, xid is not None


def prepare(conn: Connection, xid: Any) -> None:
    unit = known_unit(conn)
    if unit is not None:
        try:
            _prepared(conn, unit, Phase.PREPARED)
        except BaseException:
            # The server undoes it when its connection is closed. SQLAlchemy takes it for open. It
            # refuses to go on without a connection, but a rollback, which the program or the
            # session sends next, would fail if it were the second one.
            conn.invalidate()
            _lost(unit)
            raise


def roll_back(conn: Connection, xid: Any = None, is_prepared: Any = None) -> None:
    if (unit := vars(conn).get(UNIT)) is None:
        return
    if unit.is_idle and unit.sharing is None:  # else others end with it
        settle_unless_in_session(unit)  # the release of a savepoint may have ended it
        return
    if conn.invalidated:  # with the line to the database went the transaction
        _lost(unit)
        return
    if unit.is_at_stake:
        unit.observe(asked_if_stale(conn))
    if unit.is_final:
        with suppress(SQLAlchemyError):
            _resolve_or_lose_track(conn, unit)
    unit.phase, unit.is_unended = Phase.ROLLING_BACK, True


def savepoint(conn: Connection, name: str | None) -> None:
    unit = unit_of(conn)
    if unit.is_final:
        _resolve_or_lose_track(conn, unit)
        unit.commit()
    unit.is_outside = is_outside_transaction(conn)


def release_savepoint(conn: Connection, name: str, context: Any) -> None:
    unit = known_unit(conn)
    if unit is not None and unit.ends_with(name):
        try:
            _prepared(conn, unit, Phase.OPEN)
        except BaseException:
            _undo(conn, unit)
            raise


def _prepared(conn: Connection, unit: Unit, phase: Phase) -> Phase:
    """Do all checks that need the open transaction; return the expected end."""
    if unit.is_idle:
        return phase
    if unit.is_at_stake:
        # asyncpg does not show that a transaction is aborted.
        now = asked(conn) if conn.dialect.name == "postgresql" else asked_if_stale(conn)
        unit.observe(now)
        if now is Standing.ABORTED:
            return Phase.ROLLING_BACK  # what PostgreSQL answers its COMMIT with
    resolve_doubts(conn, unit)
    if unit.graces and not unit.is_final:
        refuse_if_late(conn, unit.graces, unit.frames.age or 0.0)
    return phase


def _lost(unit: Unit) -> None:
    unit.end(is_lost=True)
    settle_unless_in_session(unit)


def _undo(conn: Connection, unit: Unit, xid: Any = None) -> None:
    """Roll back a transaction whose COMMIT will not be sent.

    SQLAlchemy takes it for ended, sends nothing, and the connection's next user would commit it.
    """
    unit.phase = Phase.ROLLING_BACK
    try:
        if xid is None:
            conn.dialect.do_rollback(conn.connection)
        else:
            conn.dialect.do_rollback_twophase(conn, xid, is_prepared=False)
    except Exception:  # noqa: BLE001  its error came second
        conn.invalidate()
        unit.end(is_lost=True)
    finally:
        settle_unless_in_session(unit)


def _resolve_or_lose_track(conn: Connection, unit: Unit) -> None:
    try:
        resolve_doubts(conn, unit)
    except BaseException:
        unit.lose_track()
        raise


# --- connections that leave their pool or return to it


def reset(dbapi_connection: Any, record: Any, state: Any) -> None:
    """Roll back a transaction that only SQLAlchemy takes for ended."""
    if record is None or IN_INFO not in record.info:
        return
    unit: Unit = record.info[IN_INFO]
    if not state.asyncio_safe:
        return
    if unit.is_prepared:
        if state.transaction_was_reset:
            # It was not: a listener raised before the second phase. Nobody could use it.
            record.invalidate()
        return
    # A listener that was called before ours may have raised.
    is_unended = unit.is_unended or (unit.has_begun and state.transaction_was_reset)
    if not is_unended or standing_of(unit.dialect, record.driver_connection) is Standing.CLOSED:
        return
    dbapi_connection.rollback()
    rolled_back(unit)


def detach(dbapi_connection: Any, record: Any) -> None:
    """Separate a connection that leaves its pool from its record, which gets another one."""
    unit: Unit | None = record.info.pop(IN_INFO, None)
    if unit is None:
        return
    unit.is_detached = True
    if unit.connection() is None:  # garbage, of a driver that cannot be awaited any more
        unit.end(is_lost=True)
        unit.settle_later()


def checkin(dbapi_connection: Any, record: Any) -> None:
    unit: Unit | None = record.info.pop(IN_INFO, None)
    if unit is None or (unit.may_share and _is_still_lent(unit, record)):
        return
    unit.is_unended = False
    if unit.frames or unit.phase is not Phase.OPEN:
        unit.end(is_lost=dbapi_connection is None)
    if unit.connection() is None:
        unit.settle_later()
    else:
        settle_unless_in_session(unit)


def _is_still_lent(unit: Unit, record: Any) -> bool:
    """Return True if another borrower of the driver's connection has given it back.

    The record gets a unit in any case, so that the next one is known to share its connection.
    """
    for other in borrowers(unit):
        connection = other.connection()
        if connection is not None and not connection.closed and connection.in_transaction():
            record.info[IN_INFO] = other
            if other is unit:
                return True
    if unit.connection() is not None:
        record.info.setdefault(IN_INFO, unit)
    return False
