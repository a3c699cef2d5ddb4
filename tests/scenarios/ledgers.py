"""Scenarios with a ledger: triggers in the tables of the models, and a drain in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from sqlalchemy import func, select, update
from sqlalchemy.pool import NullPool

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import drain
from tests.stores import forget

from .databases import Database
from .models import Base

_prepared: WeakSet[Database] = WeakSet()


class DrainedLedger:
    """The ledger of the models in one database, and the worker that drains it."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._engine = database.engine(poolclass=NullPool)
        self._ledger = ledger

    def prepare(self, database: Database) -> None:
        """Install what is missing, and forget what earlier scenarios have left."""
        with self._engine.begin() as connection:
            if database not in _prepared:
                self._ledger.install(connection)
                _prepared.add(database)
            connection.execute(self._ledger.releases.delete())

    def drain(self) -> None:
        """Do what a worker does, later; afterwards nothing may be listed any more."""
        if not self._pending():
            return
        with self._engine.begin() as connection:
            connection.execute(update(self._ledger.releases).values(due_at=0))
        found = {each.kind for each in drain(self._engine, self._ledger.metadata)}
        assert found <= {"deleted", "named"}
        assert not self._pending()

    def _pending(self) -> int:
        with self._engine.connect() as connection:
            counting = select(func.count()).select_from(self._ledger.releases)
            return connection.scalar(counting) or 0


@contextmanager
def attached(database: Database) -> Iterator[DrainedLedger]:
    """Give the models a ledger while the block runs."""
    metadata = Base.metadata
    ledger = Ledger(metadata)
    try:
        drained = DrainedLedger(database, ledger)
        drained.prepare(database)
        yield drained
    finally:
        forget(ledger)
