"""Begin and end of a connection's transactions and savepoints.

SQLAlchemy's events fire before the database has done anything: they only prepare. Conclusions
follow the database's answers.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_file.tracking.endings.conclusions import (
    end_unanswered,
    settle_unless_in_session,
    unit_of,
)
from sqlalchemy_file.tracking.endings.raw_sql import is_opaque, undoes_a_part
from sqlalchemy_file.tracking.unit.guard import refuse_if_late
from sqlalchemy_file.tracking.unit.registry import UNIT, enter_in_pool, known_unit
from sqlalchemy_file.tracking.unit.rereading import resolve_doubts
from sqlalchemy_file.tracking.unit.standing import (
    Standing,
    asked,
    asked_if_stale,
    is_outside_transaction,
    set_token,
)
from sqlalchemy_file.tracking.unit.units import Phase, Unit

# --- what SQLAlchemy is about to do


def begin(conn: Connection, xid: Any = None) -> None:
    if (unit := vars(conn).get(UNIT)) is None:
        return
    # Files stored by the statement that makes the transaction begin are in its frame already.
    if unit.is_unended or unit.has_begun:
        end_unanswered(conn, unit)
    enter_in_pool(conn, unit)  # it may be another one, after the first was lost
    if unit.is_final:  # of a driver's own autocommit, and not ended by anybody
        unit.commit()
    settle_unless_in_session(unit, conn)


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
            _give_up(conn, unit)
            raise


def roll_back(conn: Connection, xid: Any = None, is_prepared: Any = None) -> None:
    if (unit := vars(conn).get(UNIT)) is None:
        return
    if conn.invalidated:  # with the line to the database went the transaction
        unit.end(is_lost=True)
        settle_unless_in_session(unit, conn)
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
        now = _asked_before_end(conn)
        unit.observe(now)
        if now is Standing.ABORTED:
            return Phase.ROLLING_BACK  # what PostgreSQL answers its COMMIT with
    resolve_doubts(conn, unit)
    if unit.graces and not unit.is_final:
        refuse_if_late(conn, unit.graces, unit.frames.began)
    return phase


def _asked_before_end(conn: Connection) -> Standing:
    """Return the state of the transaction; asyncpg does not show that it is aborted."""
    if conn.dialect.name == "postgresql":
        return asked(conn)
    return asked_if_stale(conn)


def _give_up(conn: Connection, unit: Unit) -> None:
    """Have the server undo a transaction that cannot be prepared, by closing its connection.

    SQLAlchemy takes it for open. It refuses to go on without a connection, but a rollback, which
    the program or the session sends next, would fail if it were the second one.
    """
    conn.invalidate()
    unit.end(is_lost=True)
    settle_unless_in_session(unit, conn)


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
        settle_unless_in_session(unit, conn)


def _resolve_or_lose_track(conn: Connection, unit: Unit) -> None:
    try:
        resolve_doubts(conn, unit)
    except BaseException:
        unit.lose_track()
        raise


# --- statements that SQLAlchemy does not know to end a transaction


def may_end(conn: Connection, unit: Unit, sql: str, *, is_ddl: bool) -> bool:
    """Follow what has ended since the last statement, and mark what this one may end.

    Returns whether it may end the transaction, so that `after_statement` has to look.
    """
    unit.observe(asked_if_stale(conn))
    if unit.has_begun and not is_ddl and is_opaque(conn, sql):
        unit.token = None if undoes_a_part(conn, sql) else set_token(conn)
        if unit.token is None:
            unit.lose_track()
    return unit.token is not None


def after_statement(conn: Connection, unit: Unit) -> None:
    token, unit.token = unit.token, None
    if token is not None and not token.is_there(conn):
        unit.lose_track()
