"""Ledger entries that one worker has leased, so that no other worker deletes their objects.

A lease expires by the database's clock. Its worker stops long before, by its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, func, insert, select, update

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.notes import LEASE, Note, clear, leased
from sqlalchemy_file.ledger.tables import now, now_ms
from sqlalchemy_file.storage.common.keys import Location

FIRST_WAIT, _LONGEST_WAIT = 15_000, 6 * 3_600_000
_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Lease:
    """Entries that this worker holds."""

    token: str
    notes: Sequence[Note]
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        """Whether there is time for another request: less than half of the lease has passed."""
        return time.monotonic() - self.taken_at < LEASE / 2000


def count_due(connection: Connection, ledger: Ledger, until: int) -> int:
    query = select(func.count()).where(ledger.releases.c.due_at <= until)
    return connection.scalar(query) or 0


def take(connection: Connection, ledger: Ledger, limit: int, until: int) -> Lease:
    """Lease entries that were due at a time in milliseconds, the oldest first."""
    table, token = ledger.releases, uuid4().hex
    row = table.c
    due = select(row.id).where(row.due_at <= until).order_by(row.due_at).limit(limit)
    taking = update(table).values(leased(ledger, token))
    if connection.dialect.name == "sqlite":
        chosen = taking.where(row.id.in_(due)).returning(row.id, row.path, row.storage, row.tries)
        return Lease(token, _notes(connection.execute(chosen), tries=0))
    locked = due.add_columns(row.path, row.storage, row.tries).with_for_update(skip_locked=True)
    notes = _notes(connection.execute(locked), tries=1)
    if notes:
        connection.execute(taking.where(row.id.in_([note.id for note in notes])))
    return Lease(token, notes)


def add(connection: Connection, ledger: Ledger, storage: str, paths: Sequence[str]) -> Lease:
    """Write entries of objects, leased by this worker from the start."""
    table, token, begun = ledger.releases, uuid4().hex, now(connection)
    values = {"storage": storage, "at": begun, "due_at": begun + LEASE, "tries": 1, "lease": token}
    connection.execute(insert(table), [{"path": path, **values} for path in paths])
    row = table.c
    mine = select(row.id, row.path, row.storage, row.tries).where(row.lease == token)
    return Lease(token, _notes(connection.execute(mine.where(row.path.in_(paths))), tries=0))


def finish(
    connection: Connection, ledger: Ledger, lease: Lease, reasons: Mapping[str, str | None]
) -> None:
    """Delete the entries; those of paths with a reason stay, each time longer, with the error."""
    ids = [note.id for note in lease.notes if note.path not in reasons]
    clear(connection, ledger, ids, lease=lease.token)
    for note in lease.notes:
        if note.path in reasons:
            wait = min(FIRST_WAIT * 2 ** min(note.tries - 1, 20), _LONGEST_WAIT)
            error = (reasons[note.path] or "")[:_ERROR_LENGTH] or None
            _unlease(connection, ledger, lease, [note], due_at=now_ms() + wait, last_error=error)


def give_back(connection: Connection, ledger: Ledger, lease: Lease, wait: int = 0) -> None:
    """Leave all entries for others, or for later, as if they had not been tried."""
    tries = ledger.releases.c.tries - 1
    _unlease(connection, ledger, lease, lease.notes, due_at=now_ms() + wait, tries=tries)


def _unlease(
    connection: Connection, ledger: Ledger, lease: Lease, notes: Sequence[Note], **values: Any
) -> None:
    row = ledger.releases.c
    held = row.id.in_([note.id for note in notes]), row.lease == lease.token
    connection.execute(update(ledger.releases).where(*held).values(lease=None, **values))


def _notes(rows: Iterable[Row[Any]], *, tries: int) -> list[Note]:
    return [
        Note(row.id, Location.of(row.path, row.storage), row.storage, tries=row.tries + tries)
        for row in rows
    ]
