"""Ledger entries, as the session, the drain and the sweep use them.

An object is deleted by the holder of a lease on its entries, which is committed first: a leased
entry means that its object is being deleted. Rows are changed and deleted by id only, so that
nobody waits for gap locks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ColumnElement,
    Connection,
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
from sqlalchemy.types import BigInteger

from sqlalchemy_file.ledger.installing import DATABASES, database_of, fed_tables
from sqlalchemy_file.ledger.layout import is_of_earlier_release
from sqlalchemy_file.ledger.rights import has_rights, sees_triggers
from sqlalchemy_file.ledger.tables import (
    KEPT,
    NEVER,
    TX_VARIABLE,
    LedgerTables,
    now_ms,
    this_transaction,
)
from sqlalchemy_file.storage import StorageManager

LEASE = 600_000
"""Milliseconds for which a note is leased: then others may take it."""

BATCH_SIZE = 500
"""How many parameters a statement has; every database takes that many."""

_SECONDS_KNOWN = 60.0
_usable: WeakKeyDictionary[Any, dict[Any, tuple[float, bool]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Note:
    """A row of the ledger. ``storage`` is None where the record did not tell it."""

    id: Any
    path: str
    storage: str | None
    lease: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it says that the object stays."""
        return self.lease == KEPT


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells the notes of one transaction: for MariaDB a token, for SQLite the last id before.

    PostgreSQL knows its transactions itself.
    """

    token: str | None = None
    last: int | None = None


def begin(connection: Connection, ledger: LedgerTables) -> Mark:
    """Mark the entries that this transaction writes from now on.

    To be called directly before the first statement that may release something. On SQLite it
    takes the write lock, as that statement would.
    """
    name = connection.dialect.name
    if name == "postgresql" or name not in DATABASES:
        return Mark()
    if name != "sqlite":
        token = uuid4().hex
        # Not text(): SQLAlchemy would compile it again for each transaction.
        connection.exec_driver_sql(f"SET {TX_VARIABLE} = '{token}'")
        return Mark(token=token)
    driver: Any = connection.connection.driver_connection
    if not getattr(driver, "in_transaction", True):
        if getattr(driver, "isolation_level", "") is None:
            return Mark()  # every statement is a transaction of its own
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    table = ledger.releases
    schema = connection.schema_for_object(table) or "main"
    return Mark(last=int(connection.scalar(_last_id(schema), {"name": table.name}) or 0))


def lease_mine(
    connection: Connection, ledger: LedgerTables, mark: Mark, paths: Iterable[str], lease: str
) -> list[Note]:
    """Lease this transaction's notes of these paths, and return them.

    Not those of objects that are kept, though no field of this metadata may keep any more.
    ``lease`` is a token of the caller's that nobody else uses.
    """
    returns = connection.dialect.name in ("postgresql", "sqlite")
    if mark == Mark() and connection.dialect.name != "postgresql":
        return []
    own = {"own_token": mark.token, "own_last": mark.last, "new_lease": lease}
    leasing = _leasing(ledger, connection.dialect.name == "postgresql", mark.last is not None)
    found: list[Note] = []
    for batch in _batches(paths):
        rows = connection.execute(leasing[returns], {**own, "own_paths": batch})
        found += [Note(row.id, row.path, row.storage, lease) for row in rows]
    if not returns:
        _take(connection, ledger, found, lease)
    return found


def clear(
    connection: Connection, ledger: LedgerTables, ids: Iterable[Any], *, lease: str | None = None
) -> None:
    """Delete notes whose objects are gone; of another's lease by now, they stay.

    On MariaDB to be called in a transaction at READ COMMITTED.
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
    """Note that objects were released, and perhaps that they stay, where no trigger has."""
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
    """Return which of these objects stay, by notes that this transaction sees."""
    return {note.path for note in visible(connection, ledger, paths) if note.is_kept}


def visible(connection: Connection, ledger: LedgerTables, paths: Iterable[str]) -> list[Note]:
    """Return the notes of these paths that this transaction sees, its own included."""
    note = ledger.releases.c
    query: Any = select(note.id, note.path, note.storage, note.lease)
    return [
        Note(*row)
        for batch in _batches(paths)
        for row in connection.execute(query.where(note.path.in_(batch)))
    ]


def may_use(connection: Connection, ledger: LedgerTables) -> bool:
    """Return whether the ledger is there in today's layout, fed, with rights to lease and clear.

    Asks the catalog, so that it cannot fail and take the transaction along; what it says is
    believed for a minute.
    """
    known = _usable.setdefault(connection.engine.pool, {})
    key = (ledger.releases.name, connection.schema_for_object(ledger.releases))
    at, usable = known.get(key, (0.0, False))
    if not at or time.monotonic() - at > _SECONDS_KNOWN:
        usable = _may_use(connection, ledger)
        known[key] = (time.monotonic(), usable)
    return usable


def _may_use(connection: Connection, ledger: LedgerTables) -> bool:
    if connection.dialect.name not in DATABASES:
        return False
    database = database_of(connection)
    schema = connection.schema_for_object(ledger.releases)
    where = database.place(connection, ledger.releases.name, schema)
    if where is None or is_of_earlier_release(database.columns(connection, where)):
        return False
    if not fed_tables(connection, schema) and sees_triggers(connection, ledger):
        return False  # nothing is noted where there are no triggers, which `problems` tells
    return has_rights(connection, where, "SELECT", "UPDATE", "DELETE")


def _take(connection: Connection, ledger: LedgerTables, notes: Iterable[Note], lease: str) -> None:
    for ids in _batches(note.id for note in notes):
        connection.execute(_taking(ledger), {"own_ids": ids, "new_lease": lease})


def leased(ledger: LedgerTables, lease: Any) -> dict[str, Any]:
    """Return what a note holds from now on that is leased."""
    return {"due_at": now_ms() + LEASE, "tries": ledger.releases.c.tries + 1, "lease": lease}


@lru_cache(maxsize=64)
def _last_id(schema: str) -> Any:
    return text(f'SELECT seq FROM "{schema}".sqlite_sequence WHERE name = :name')


@lru_cache(maxsize=64)
def _taking(ledger: LedgerTables) -> Any:
    """Return the statement that leases notes by their ids; it is built once, like the one below."""
    table = ledger.releases
    which = table.c.id.in_(bindparam("own_ids", expanding=True))
    return update(table).where(which).values(leased(ledger, bindparam("new_lease")))


@lru_cache(maxsize=64)
def _leasing(ledger: LedgerTables, is_postgresql: bool, by_id: bool) -> tuple[Any, Any]:
    """Return the statements that find notes of one's own, and that lease them at once.

    Built once: a transaction that releases a file would else spend as long on that as on the rest.
    """
    table = ledger.releases
    note = table.c
    if is_postgresql:
        # Numbers of transactions are those of one cluster: a restored note may have this one.
        began = cast(func.floor(extract("epoch", func.now()) * 1000), BigInteger)
        mine = and_(note.tx == this_transaction(), note.at >= began)
    elif by_id:
        mine = note.id > bindparam("own_last")
    else:
        mine = note.tx == bindparam("own_token")
    other = table.alias()
    is_kept = and_(other.c.path == note.path, other.c.lease == KEPT)
    unkept = not_(select(other.c.id).where(is_kept).correlate(table).exists())
    asked = note.path.in_(bindparam("own_paths", expanding=True))
    which, returned = and_(mine, unkept, asked), (note.id, note.path, note.storage)
    taken = leased(ledger, bindparam("new_lease"))
    leasing = update(table).where(which).values(taken).returning(*returned)
    return select(*returned).where(which), leasing


def _batches(values: Iterable[Any]) -> Iterator[Collection[Any]]:
    every = sorted(set(values))
    for start in range(0, len(every), BATCH_SIZE):
        yield every[start : start + BATCH_SIZE]
