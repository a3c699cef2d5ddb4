"""The units of connections, found by a connection, or by what a pool lends and keeps."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from sqlalchemy_file.tracking.unit.units import Phase, Unit


def new_unit(connection: Connection) -> Unit:
    unit = vars(connection)[UNIT] = Unit(connection)
    _units.add(unit)
    enter_in_pool(connection, unit)
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


def is_unknown(target: Any) -> bool:
    """Return True for a pool's connection of a borrower that has no unit."""
    return not isinstance(target, Connection) and target not in _lent


def _ending(unit: Unit, lent: Any) -> Unit:
    """Return the unit that is about to end, of those whose connections share what a pool lends."""
    for each in borrowers(unit):
        connection = each.connection
        if each.phase is Phase.OPEN or connection is None or connection.closed:
            continue
        if connection.connection is lent:
            return each
    return unit


@atexit.register
def _settle_all() -> None:
    """Delete unreferenced objects of connections that nobody has closed."""
    for unit in list(_units):
        unit.settle()


UNIT = "_sqlalchemy_file_unit"
"""The attribute of a connection with its unit: each statement asks for it several times."""
SESSION = "_sqlalchemy_file_session"
"""The attribute of a connection with a reference to its session, the first one of several."""
IN_INFO = "sqlalchemy_file.unit"
"""The key of a pool's record with the unit of the connection that it lends."""
_units: weakref.WeakSet[Unit] = weakref.WeakSet()
_lent: weakref.WeakKeyDictionary[Any, Unit] = weakref.WeakKeyDictionary()
