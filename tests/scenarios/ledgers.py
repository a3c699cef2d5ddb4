"""Scenarios with a ledger: triggers in every table, and a drain when the scenario is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event, text, update
from sqlalchemy.pool import NullPool
from sqlalchemy_file.reconcile import drain

from sqlalchemy_file.ledger import Ledger

from .databases import Database
from .models import METADATA


class Ledgers:
    """The ledgers of all metadata, in one database; they share its two tables."""

    def __init__(self, database: Database, ledgers: list[Ledger]) -> None:
        self._engine = database.engine(poolclass=NullPool)
        self._ledgers = ledgers

    def install(self) -> None:
        with self._engine.begin() as connection:
            for ledger in self._ledgers:
                ledger.install(connection)

    def empty(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._ledgers[0].releases.delete())

    def drain(self) -> None:
        """Do what a worker does, later; afterwards nothing may be listed any more."""
        with self._engine.begin() as connection:
            connection.execute(update(self._ledgers[0].releases).values(due_at=0))
        found = [each for ledger in self._ledgers for each in drain(self._engine, ledger.metadata)]
        assert {each.kind for each in found} <= {"deleted", "named"}
        with self._engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM sqlalchemy_file_release")) == 0


@contextmanager
def attached(database: Database) -> Iterator[Ledgers]:
    """Give every metadata a ledger while the block runs."""
    made = [Ledger(metadata) for metadata in METADATA]
    try:
        ledgers = Ledgers(database, made)
        if not getattr(database, "has_ledgers", False):
            ledgers.install()
            database.has_ledgers = True  # type: ignore[attr-defined]
        ledgers.empty()
        yield ledgers
    finally:
        for ledger in made:
            event.remove(ledger.metadata, "after_create", ledger._after_create)
            del ledger.metadata.info["sqlalchemy_file.ledger"]
            ledger.metadata.remove(ledger.releases)
            ledger.metadata.remove(ledger.state)
