"""Ledger entries that one worker has leased: nobody else deletes their objects meanwhile.

A lease expires by the database's clock. Its worker stops long before, by its own.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.notes import LEASE, clear
from sqlalchemy_file.ledger.tables import now_ms
from sqlalchemy_file.storage.common.location import Location

FIRST_WAIT, _LONGEST_WAIT = 15_000, 6 * 3_600_000
_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Leased:
    """One row of the ledger. ``tries`` counts this one."""

    id: Any
    path: str
    tries: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Notes that this worker holds."""

    token: str
    notes: Sequence[Leased]
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        """Whether there is time for another request: after half of it none is begun."""
        return time.monotonic() - self.taken_at < LEASE / 2000


def count_due(connection: Connection, ledger: Ledger, until: int) -> int:
    due = ledger.releases.c.due_at <= until
    return connection.scalar(select(func.count()).select_from(ledger.releases).where(due)) or 0


def take(connection: Connection, ledger: Ledger, limit: int, until: int) -> Lease:
    """Lease notes that were due at a time in milliseconds, the oldest first."""
    table, token = ledger.releases, uuid4().hex
    row = table.c
    taken = {"due_at": now_ms() + LEASE, "tries": row.tries + 1, "lease": token}
    due = select(row.id).where(row.due_at <= until).order_by(row.due_at).limit(limit)
    if connection.dialect.name == "sqlite":
        chosen = update(table).where(row.id.in_(due)).values(taken)
        found = connection.execute(chosen.returning(row.id, row.path, row.storage, row.tries))
        return Lease(token, _notes(found))
    locked = due.add_columns(row.path, row.storage, row.tries).with_for_update(skip_locked=True)
    notes = [replace(note, tries=note.tries + 1) for note in _notes(connection.execute(locked))]
    if notes:
        connection.execute(update(table).where(_among(ledger, notes)).values(taken))
    return Lease(token, notes)


def add(connection: Connection, ledger: Ledger, storage: str, paths: Sequence[str]) -> Lease:
    """Note objects as released, leased by this worker from the start."""
    table, token = ledger.releases, uuid4().hex
    now = connection.scalar(select(now_ms())) or 0
    values = {"storage": storage, "at": now, "due_at": now + LEASE, "tries": 1, "lease": token}
    connection.execute(insert(table), [{"path": path, **values} for path in paths])
    row = table.c
    mine = select(row.id, row.path, row.storage, row.tries)
    mine = mine.where(row.path.in_(paths), row.lease == token)
    return Lease(token, _notes(connection.execute(mine)))


def finish(connection: Connection, ledger: Ledger, lease: Lease, done: Collection[str]) -> None:
    """Remove the notes of paths that are settled."""
    ids = [note.id for note in lease.notes if note.path in done]
    clear(connection, ledger, ids, lease=lease.token)


def put_off(
    connection: Connection, ledger: Ledger, lease: Lease, reasons: Mapping[str, str | None]
) -> None:
    """Leave paths for later, ever longer, and note what went wrong, if anything."""
    for note in lease.notes:
        if note.path in reasons:
            wait = min(FIRST_WAIT * 2 ** min(note.tries - 1, 20), _LONGEST_WAIT)
            error = (reasons[note.path] or "")[:_ERROR_LENGTH] or None
            values = {"due_at": now_ms() + wait, "last_error": error, "lease": None}
            held = _held(ledger, lease, [note])
            connection.execute(update(ledger.releases).where(held).values(values))


def give_back(connection: Connection, ledger: Ledger, lease: Lease, wait: int = 0) -> None:
    """Leave all of it for others, or for later, as if it had not been tried."""
    table = ledger.releases
    values = {"due_at": now_ms() + wait, "tries": table.c.tries - 1, "lease": None}
    held = _held(ledger, lease, lease.notes)
    connection.execute(update(table).where(held).values(values))


def _notes(rows: Iterable[Any]) -> list[Leased]:
    return [Leased(id_, Location.of(path, storage), tries) for id_, path, storage, tries in rows]


def _held(ledger: Ledger, lease: Lease, notes: Sequence[Leased]) -> ColumnElement[bool]:
    return and_(_among(ledger, notes), ledger.releases.c.lease == lease.token)


def _among(ledger: Ledger, notes: Sequence[Leased]) -> ColumnElement[bool]:
    return ledger.releases.c.id.in_([note.id for note in notes])
