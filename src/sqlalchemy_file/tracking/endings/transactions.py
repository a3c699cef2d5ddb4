"""Begin and end of a connection's transactions and savepoints.

SQLAlchemy's events fire before the database has done anything: they only prepare. Conclusions
follow the database's answers.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sqlalchemy_file.exceptions import CommitRefusedError
from sqlalchemy_file.tracking.endings.conclusions import settle_unless_in_session
from sqlalchemy_file.tracking.endings.raw_sql import is_opaque, undoes_a_part
from sqlalchemy_file.tracking.unit.guard import refuse_if_late
from sqlalchemy_file.tracking.unit.looking import make_sure
from sqlalchemy_file.tracking.unit.registry import (
    UNIT,
    end_unanswered,
    enter_in_pool,
    known_unit,
    unit_of,
)
from sqlalchemy_file.tracking.unit.standing import (
    Standing,
    asked,
    asked_if_stale,
    is_outside_transaction,
    place,
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
    with _RollingBack(conn, unit, xid):
        unit.phase = _prepared(conn, unit, Phase.COMMITTING)
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
        with suppress(SQLAlchemyError), _Losing(unit):
            make_sure(conn, unit)
    unit.phase, unit.is_unended = Phase.ROLLING_BACK, True


def savepoint(conn: Connection, name: str | None) -> None:
    unit = unit_of(conn)
    if unit.is_final:
        with _Losing(unit):
            make_sure(conn, unit)
        unit.commit()
    unit.is_outside = is_outside_transaction(conn)


def release_savepoint(conn: Connection, name: str, context: Any) -> None:
    unit = known_unit(conn)
    if unit is not None and unit.ends_with(name):
        with _RollingBack(conn, unit, None):
            _prepared(conn, unit, Phase.OPEN)


def _prepared(conn: Connection, unit: Unit, phase: Phase) -> Phase:
    """Do all checks that need the open transaction; return the expected end."""
    if unit.is_idle:
        return phase
    if unit.is_at_stake:
        now = _asked_before_end(conn)
        unit.observe(now)
        if now is Standing.ABORTED:
            return Phase.ROLLING_BACK  # what PostgreSQL answers its COMMIT with
    make_sure(conn, unit)
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


class _Losing:
    """A block that reads rows again: if it fails, their paths are unknown."""

    __slots__ = ("_unit",)

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, CommitRefusedError):
            self._unit.lose_track()


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


# --- statements that SQLAlchemy does not know to end a transaction


def may_end(conn: Connection, unit: Unit, sql: str, *, is_ddl: bool) -> bool:
    """Follow what has ended since the last statement, and mark what this one may end.

    Returns whether it may end the transaction, so that `after_statement` has to look.
    """
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
