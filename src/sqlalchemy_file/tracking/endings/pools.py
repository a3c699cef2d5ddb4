"""Connections that leave their pool or return to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.pool import SingletonThreadPool, StaticPool

from sqlalchemy_file.tracking.endings.conclusions import rolled_back, settle_unless_in_session
from sqlalchemy_file.tracking.unit.registry import IN_INFO, borrowers
from sqlalchemy_file.tracking.unit.standing import Standing, standing_of
from sqlalchemy_file.tracking.unit.units import Phase, Unit


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
    unit.is_unended = False
    rolled_back(unit)


def detach(dbapi_connection: Any, record: Any) -> None:
    """Separate a connection that leaves its pool from its record, which gets another one."""
    unit: Unit | None = record.info.pop(IN_INFO, None)
    if unit is None:
        return
    unit.is_detached = True
    if unit.connection is None:  # garbage, of a driver that cannot be awaited any more
        unit.end(is_lost=True)
        unit.settle_later()


def checkin(dbapi_connection: Any, record: Any) -> None:
    unit: Unit | None = record.info.pop(IN_INFO, None)
    if unit is None:
        return
    for other in borrowers(unit):
        if _is_still_lent(other):
            record.info[IN_INFO] = other
            if other is unit:
                return
    if IN_INFO not in record.info and _lends_to_several(unit):
        record.info[IN_INFO] = unit  # so that the next one is known to share its connection
    unit.is_unended = False
    if unit.frames or unit.phase is not Phase.OPEN:
        unit.end(is_lost=dbapi_connection is None)
    connection = unit.connection
    if connection is None:
        unit.settle_later()
    else:
        settle_unless_in_session(unit, connection)


def _is_still_lent(unit: Unit) -> bool:
    """Return True if another borrower of the driver's connection has given it back."""
    connection = unit.connection
    if connection is None or not _lends_to_several(unit):
        return False
    return not connection.closed and connection.in_transaction()


def _lends_to_several(unit: Unit) -> bool:
    connection = unit.connection
    return connection is not None and isinstance(connection.engine.pool, _LENDING_TO_SEVERAL)


_LENDING_TO_SEVERAL = (SingletonThreadPool, StaticPool)
