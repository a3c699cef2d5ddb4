"""Delete unreferenced objects, then their ledger entries. Failures are logged, never raised.

The entries are leased, so they may stay for some time: those of several transactions are removed at
once, when the pool has a free connection. What is left is for the drain.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.pool import Pool, QueuePool

from sqlalchemy_file.exceptions import InvalidKeyError, StorageError, escaped
from sqlalchemy_file.ledger import Ledger, notes
from sqlalchemy_file.observing import Task, failures_of, is_watched, released
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling, run
from sqlalchemy_file.storage.common.keys import RESERVED
from sqlalchemy_file.tracking.leases import Leased, is_chosen
from sqlalchemy_file.transfer import Operation, carry_out

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

BATCH_SIZE = 1000
"""The most keys that S3 takes in one request."""

MOST_TRANSACTIONS = 20
"""After how many transactions their entries are removed, however fast they come."""

MOST_SECONDS = 1.0
"""After how long they are, however few."""


def discard(doomed: set[str], unreferenced: Collection[str] = ()) -> set[str]:
    """Delete objects by path, each storage's in batches, several at a time.

    Observers are told of those that a committed transaction left unreferenced; returns which of
    these are gone.
    """
    if unreferenced and is_watched():
        for storage_name, keys in _by_storage(unreferenced).items():
            released(storage_name, keys)
    return (doomed - delete_objects(doomed).keys()).intersection(unreferenced)


def delete_objects(paths: Iterable[str]) -> dict[str, BaseException]:
    """Delete objects by path, as `discard` does, and return what failed."""
    wanted = set(paths)
    failed: dict[str, BaseException] = {
        path: _RESERVED for path in wanted if f"/{RESERVED}" in path
    }
    batches = [
        (storage_name, keys[start : start + BATCH_SIZE])
        for storage_name, keys in _by_storage(wanted - failed.keys()).items()
        for start in range(0, len(keys), BATCH_SIZE)
    ]
    operations = [_deleting(name, keys) for name, keys in batches]
    for (storage_name, keys), outcome in zip(
        batches, carry_out(operations, go_on=True), strict=True
    ):
        if not outcome.is_done:
            causes = failures_of(keys, outcome.error or _INTERRUPTED)
            failed.update({f"{storage_name}/{key}": cause for key, cause in causes.items()})
    return failed


def _by_storage(paths: Iterable[str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        storage_name, key = StorageManager.resolve(path)
        keys[storage_name].append(key)
    return keys


def _deleting(storage_name: str, keys: list[str]) -> Operation[None]:
    async def delete(calling: Calling) -> None:
        with Task("delete", storage_name, keys):
            await calling.call(StorageManager.storage(storage_name), "delete", keys)

    return Operation(lambda: run(delete(IN_THREAD)), partial(delete, IN_LOOP))


_RESERVED = InvalidKeyError(f"{RESERVED!r} is no place for objects")
_INTERRUPTED = StorageError("not deleted: an earlier deletion of the same batch was interrupted")


_Schemas = frozenset[tuple[str | None, str | None]]
_LedgerInSchemas = tuple[Ledger, _Schemas]
"""A ledger as a connection addresses it."""


@dataclass(slots=True)
class _Waiting:
    """The ledger entries of one database whose objects are gone."""

    ids: dict[_LedgerInSchemas, list[Any]] = field(default_factory=lambda: defaultdict(list))
    transactions: int = 0
    cleared_at: float = float("-inf")
    is_awaited: bool = False
    """Whether an upload may want one of the keys again."""

    def add(self, leased: Iterable[Leased], gone: Collection[str], schemas: _Schemas) -> None:
        """Add the entries of one transaction."""
        self.transactions += 1
        for each in leased:
            if ids := [note.id for note in each.notes if note.path in gone]:
                self.ids[each.ledger, schemas] += ids
                self.is_awaited |= any(is_chosen(note.path) for note in each.notes)

    @property
    def is_due(self) -> bool:
        is_late = time.monotonic() - self.cleared_at >= MOST_SECONDS
        return bool(self.ids) and (
            is_late or self.is_awaited or self.transactions >= MOST_TRANSACTIONS
        )


def clear(
    connection: Connection, leased: Iterable[Leased], gone: Collection[str], *, is_now: bool
) -> None:
    """Remove the entries of deleted objects with those of later transactions, or now if due."""
    pool = connection.engine.pool
    schemas = connection.get_execution_options().get("schema_translate_map") or {}
    due: Mapping[_LedgerInSchemas, list[Any]] = {}
    with _lock:
        waiting = _waiting.setdefault(pool, _Waiting())
        waiting.add(leased, gone, frozenset(schemas.items()))
        if is_now and waiting.is_due and has_room(pool):
            due, _waiting[pool] = waiting.ids, _Waiting(cleared_at=time.monotonic())
    for where, ids in due.items():
        _clear(connection, where, ids)


def _clear(connection: Connection, where: _LedgerInSchemas, ids: Collection[Any]) -> None:
    ledger, schemas = where
    options: dict[str, Any] = {"schema_translate_map": dict(schemas) or None}
    if connection.dialect.name in ("mysql", "mariadb"):
        options["isolation_level"] = "READ COMMITTED"  # else gaps next to the rows are locked
    try:
        with connection.engine.connect() as fresh:
            fresh.execution_options(**options)
            notes.clear(fresh, ledger, ids)
            fresh.commit()
    except Exception as error:  # noqa: BLE001  the commit has already happened
        logger.warning(
            "%d deleted objects stay in %s until the next drain: %s",
            len(ids),
            ledger.releases,
            escaped(error),
        )


def has_room(pool: Pool) -> bool:
    """Return True if a connection is available without waiting."""
    return not isinstance(pool, QueuePool) or pool.checkedin() > 0 or pool.overflow() < 0


_lock = threading.Lock()
_waiting: WeakKeyDictionary[Pool, _Waiting] = WeakKeyDictionary()
