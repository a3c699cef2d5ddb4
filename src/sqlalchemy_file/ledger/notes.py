"""Ledger entries, as the session, the drain and the sweep use them.

The holder of a committed lease on its entries deletes an object: a leased entry means that its
object is being deleted. A lease expires by the database's clock; its worker stops long before, by
its own. Entries are changed and deleted by id only, to avoid gap locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    cast,
    delete,
    extract,
    func,
    insert,
    not_,
    select,
    text,
    update,
)
from sqlalchemy.pool import Pool
from sqlalchemy.types import BigInteger

from sqlalchemy_file.ledger.installing import DATABASES, database_of, fed_tables, place_of
from sqlalchemy_file.ledger.layout import is_of_earlier_release
from sqlalchemy_file.ledger.rights import has_rights, sees_triggers
from sqlalchemy_file.ledger.tables import (
    KEPT,
    NEVER,
    TX_VARIABLE,
    LedgerTables,
    now,
    now_ms,
    this_transaction,
)
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.keys import Location

LEASE = 600_000
"""Milliseconds for which an entry is leased: then others may take it."""

BATCH_SIZE = 500
"""How many parameters a statement has; every database takes that many."""

_SECONDS_KNOWN = 60.0
_T = TypeVar("_T")


def known_for_a_minute(
    look: Callable[[Connection, Any], _T],
) -> Callable[[Connection, LedgerTables], _T]:
    """Call a function of a connection and its ledger at most once a minute for each pool."""
    known: WeakKeyDictionary[Pool, dict[Any, tuple[_T, float]]] = WeakKeyDictionary()

    @wraps(look)
    def found(connection: Connection, ledger: LedgerTables) -> _T:
        results = known.setdefault(connection.engine.pool, {})
        key = ledger, connection.schema_for_object(ledger.releases)
        if key not in results or time.monotonic() - results[key][1] > _SECONDS_KNOWN:
            results[key] = look(connection, ledger), time.monotonic()
        return results[key][0]

    return found


class Note(NamedTuple):
    """An entry. ``storage`` is None where the record does not tell it; ``tries`` includes this."""

    id: Any
    path: str
    storage: str | None
    lease: str | None = None
    tries: int = 1

    @property
    def is_kept(self) -> bool:
        """Whether it says that the object stays."""
        return self.lease == KEPT


Mark = str | int | None
"""Marks the entries of one transaction: a token on MariaDB, on SQLite the last id before it.

None on PostgreSQL, whose entries contain the transaction's id, and if there is no transaction.
"""


def begin(connection: Connection, ledger: LedgerTables) -> Mark:
    """Mark the entries that this transaction writes from now on.

    Call it directly before the first statement that may release something. On SQLite it takes the
    write lock, as that statement would.
    """
    name = connection.dialect.name
    if name == "postgresql" or name not in DATABASES:
        return None
    if name != "sqlite":
        token = uuid4().hex
        # Not text(): SQLAlchemy would compile it again for each transaction.
        connection.exec_driver_sql(f"SET {TX_VARIABLE} = '{token}'")
        return token
    driver: Any = connection.connection.driver_connection
    if not getattr(driver, "in_transaction", True):
        if getattr(driver, "isolation_level", "") is None:
            return None  # every statement is a transaction of its own
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    table = ledger.releases
    schema = connection.schema_for_object(table) or "main"
    return int(connection.scalar(_last_id(schema), {"name": table.name}) or 0)


def lease_mine(
    connection: Connection, ledger: LedgerTables, mark: Mark, paths: Iterable[str], lease: str
) -> list[Note]:
    """Lease this transaction's entries of these paths, except of kept objects, and return them.

    ``lease`` is a token that nobody else uses.
    """
    name = connection.dialect.name
    if mark is None and name != "postgresql":
        return []
    returns = name in ("postgresql", "sqlite")
    finding, leasing, taking = _leasing(ledger, name)
    found: list[Note] = []
    for batch in _batches(paths):
        asked = {"own_mark": mark, "own_paths": batch, "new_lease": lease}
        rows = connection.execute(leasing if returns else finding, asked)
        found += [Note(row.id, row.path, row.storage, lease) for row in rows]
    for ids in () if returns else _batches(note.id for note in found):
        connection.execute(taking, {"own_ids": ids, "new_lease": lease})
    return found


def clear(
    connection: Connection, ledger: LedgerTables, ids: Iterable[Any], *, lease: str | None = None
) -> None:
    """Delete entries whose objects are gone; with ``lease``, only if that still holds them.

    On MariaDB, call it at READ COMMITTED.
    """
    note = ledger.releases.c
    for batch in _batches(ids):
        which: list[ColumnElement[bool]] = [note.id.in_(batch)]
        if lease is not None:
            which.append(note.lease == lease)
        connection.execute(delete(ledger.releases).where(*which))


def add_missing(
    connection: Connection, ledger: LedgerTables, paths: Collection[str], *, is_kept: bool = False
) -> None:
    """Write the entries that no trigger has written."""
    lease = KEPT if is_kept else None
    noted = {note.path for note in visible(connection, ledger, paths) if note.lease == lease}
    values = {"lease": KEPT, "due_at": NEVER} if is_kept else {}
    missing = [
        {"path": str(path), "storage": StorageManager.resolve(path)[0], **values}
        for path in sorted(paths)
        if str(path) not in noted
    ]
    if missing:
        connection.execute(insert(ledger.releases), missing)


def kept(connection: Connection, ledger: LedgerTables, paths: Iterable[str]) -> set[str]:
    """Return which of these objects are kept, by entries that this transaction sees."""
    return {note.path for note in visible(connection, ledger, paths) if note.is_kept}


def visible(connection: Connection, ledger: LedgerTables, paths: Iterable[str]) -> list[Note]:
    """Return the entries of these paths that this transaction sees, its own included."""
    note = ledger.releases.c
    query: Any = select(note.id, note.path, note.storage, note.lease)
    return [
        Note(*row)
        for batch in _batches(paths)
        for row in connection.execute(query.where(note.path.in_(batch)))
    ]


@known_for_a_minute
def may_use(connection: Connection, ledger: LedgerTables) -> bool:
    """Return whether the ledger is current, has triggers, and this account may lease and clear.

    It asks the catalog: a query that fails would end the transaction.
    """
    if connection.dialect.name not in DATABASES:
        return False
    where = place_of(connection, ledger.releases)
    if where is None or is_of_earlier_release(database_of(connection).columns(connection, where)):
        return False
    schema = connection.schema_for_object(ledger.releases)
    if not fed_tables(connection, schema) and sees_triggers(connection, ledger):
        return False  # without triggers there are no entries, which is one of the `problems`
    return has_rights(connection, where, "SELECT", "UPDATE", "DELETE")


def leased(ledger: LedgerTables, lease: Any) -> dict[str, Any]:
    """Return the values of an entry that is leased now."""
    return {"due_at": now_ms() + LEASE, "tries": ledger.releases.c.tries + 1, "lease": lease}


@lru_cache(maxsize=64)
def _last_id(schema: str) -> Any:
    return text(f'SELECT seq FROM "{schema}".sqlite_sequence WHERE name = :name')


@lru_cache(maxsize=64)
def _leasing(ledger: LedgerTables, dialect: str) -> tuple[Any, Any, Any]:
    """Return the statements that find a transaction's entries, that lease them, and lease by id.

    They are built once: that takes as long as the rest of a transaction that releases a file.
    """
    table = ledger.releases
    note = table.c
    if dialect == "postgresql":
        # Another cluster, from which entries were restored, may have used this transaction id.
        began = cast(func.floor(extract("epoch", func.now()) * 1000), BigInteger)
        mine = and_(note.tx == this_transaction(), note.at >= began)
    elif dialect == "sqlite":
        mine = note.id > bindparam("own_mark")
    else:
        mine = note.tx == bindparam("own_mark")
    other = table.alias()
    is_kept = and_(other.c.path == note.path, other.c.lease == KEPT)
    unkept = not_(select(other.c.id).where(is_kept).correlate(table).exists())
    asked = note.path.in_(bindparam("own_paths", expanding=True))
    which, returned = and_(mine, unkept, asked), (note.id, note.path, note.storage)
    leasing = update(table).values(leased(ledger, bindparam("new_lease")))
    by_id = leasing.where(note.id.in_(bindparam("own_ids", expanding=True)))
    return select(*returned).where(which), leasing.where(which).returning(*returned), by_id


def _batches(values: Iterable[Any]) -> Iterator[Collection[Any]]:
    every = sorted(set(values))
    for start in range(0, len(every), BATCH_SIZE):
        yield every[start : start + BATCH_SIZE]


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


def count_due(connection: Connection, ledger: LedgerTables, until: int) -> int:
    query = select(func.count()).where(ledger.releases.c.due_at <= until)
    return connection.scalar(query) or 0


def take(connection: Connection, ledger: LedgerTables, limit: int, until: int) -> Lease:
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


def add(connection: Connection, ledger: LedgerTables, storage: str, paths: Sequence[str]) -> Lease:
    """Write entries of objects, leased by this worker from the start."""
    table, token, begun = ledger.releases, uuid4().hex, now(connection)
    values = {"storage": storage, "at": begun, "due_at": begun + LEASE, "tries": 1, "lease": token}
    connection.execute(insert(table), [{"path": path, **values} for path in paths])
    row = table.c
    mine = select(row.id, row.path, row.storage, row.tries).where(row.lease == token)
    return Lease(token, _notes(connection.execute(mine.where(row.path.in_(paths))), tries=0))


def finish(
    connection: Connection, ledger: LedgerTables, lease: Lease, reasons: Mapping[str, str | None]
) -> None:
    """Delete the entries; those of paths with a reason stay, each time longer, with the error."""
    ids = [note.id for note in lease.notes if note.path not in reasons]
    clear(connection, ledger, ids, lease=lease.token)
    for note in lease.notes:
        if note.path in reasons:
            wait = min(FIRST_WAIT * 2 ** min(note.tries - 1, 20), _LONGEST_WAIT)
            error = (reasons[note.path] or "")[:_ERROR_LENGTH] or None
            _unlease(connection, ledger, lease, [note], due_at=now_ms() + wait, last_error=error)


def give_back(connection: Connection, ledger: LedgerTables, lease: Lease, wait: int = 0) -> None:
    """Leave all entries for others, or for later, as if they had not been tried."""
    tries = ledger.releases.c.tries - 1
    _unlease(connection, ledger, lease, lease.notes, due_at=now_ms() + wait, tries=tries)


def _unlease(
    connection: Connection, ledger: LedgerTables, lease: Lease, notes: Sequence[Note], **values: Any
) -> None:
    row = ledger.releases.c
    held = row.id.in_([note.id for note in notes]), row.lease == lease.token
    connection.execute(update(ledger.releases).where(*held).values(lease=None, **values))


def _notes(rows: Iterable[Row[Any]], *, tries: int) -> list[Note]:
    return [
        Note(row.id, Location.of(row.path, row.storage), row.storage, tries=row.tries + tries)
        for row in rows
    ]
