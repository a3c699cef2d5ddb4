"""The units of connections, found by the connection, or by what a pool lends and keeps."""

from __future__ import annotations

import atexit
import weakref
from typing import Any

from sqlalchemy import Connection

from sqlalchemy_file.tracking.unit import answers
from sqlalchemy_file.tracking.unit.standing import Standing, asked_if_stale, standing
from sqlalchemy_file.tracking.unit.units import Unit


def unit_of(connection: Connection) -> Unit:
    """Return the unit of a connection; there is one from its first file or savepoint on."""
    unit: Unit | None = vars(connection).get(UNIT)
    if unit is None:
        unit = vars(connection)[UNIT] = Unit(connection)
        _units.add(unit)
        enter_in_pool(connection, unit)
        answers.follow(connection.dialect)
    if (unit.is_unended or unit.has_begun) and not connection.in_transaction():
        # What comes now belongs to the next transaction, which has yet to begin.
        end_unanswered(connection, unit)
    elif unit.is_at_stake and not unit.verbs:
        unit.observe(asked_if_stale(connection))
    return unit


def known_unit(connection: Connection | None) -> Unit | None:
    """Return the unit of a connection, or None if it has had nothing to do with files."""
    return None if connection is None else vars(connection).get(UNIT)


def enter_in_pool(connection: Connection, unit: Unit) -> None:
    """Register the unit under the pool's record and the connections that it hands out."""
    lent = connection.connection
    if _lent.get(lent) is not unit:
        _lent[lent] = unit
        lent.info[_IN_INFO] = unit


def unit_of_lent(lent: Any) -> Unit | None:
    """Return the unit of a pool's connection."""
    try:
        unit = _lent.get(lent)  # first: several connections of a StaticPool share one record
    except TypeError:  # a driver's own connection, to which there is no weak reference
        return None
    return unit_in(getattr(lent, "info", None)) if unit is None else unit


def unit_in(info: Any) -> Unit | None:
    """Return the unit that a pool's record knows of."""
    return info.get(_IN_INFO) if isinstance(info, dict) else None


def unit_returning(record_info: dict[Any, Any]) -> Unit | None:
    """Return, and forget, the unit of a connection that goes back to its pool."""
    unit: Unit | None = record_info.pop(_IN_INFO, None)
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


UNIT = "_sqlalchemy_file_unit"
"""The attribute of a connection with its unit: each statement asks for it several times."""
_IN_INFO = "sqlalchemy_file.unit"
_units: weakref.WeakSet[Unit] = weakref.WeakSet()
_lent: weakref.WeakKeyDictionary[Any, Unit] = weakref.WeakKeyDictionary()
