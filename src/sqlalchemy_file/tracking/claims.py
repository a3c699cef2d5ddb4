"""What a connection knows of its ledger: its epoch and its grace period.

It stores and deletes files in the epoch, and has to commit within the grace period.

The epoch is read once for each connection of a pool, and signed once in each storage. Without a
ledger nothing is asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Select, Table, Text, cast, inspect, select, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.exceptions import (
    CommitRefusedError,
    StorageError,
    UnknownStorageError,
    escaped,
)
from sqlalchemy_file.ledger import Ledger, ledger_of
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.ledger.connections import is_unreadable
from sqlalchemy_file.ledger.identity import Identity, changes, identity
from sqlalchemy_file.ledger.installing import DATABASES, database_of
from sqlalchemy_file.ledger.rights import has_rights
from sqlalchemy_file.ledger.state import DEFAULT_GRACE, grace_in, grace_query
from sqlalchemy_file.storage import HasPath, Storage, StorageManager
from sqlalchemy_file.storage.common.protocol import named
from sqlalchemy_file.storage.owners import Owner, is_signed, sign
from sqlalchemy_file.tracking.reading import Database, unharmed
from sqlalchemy_file.transfer import run_blocking

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

SHARE = 0.7
"""How much of the grace period may have passed since the oldest upload began."""

LedgerInSchema = tuple[Ledger, str | None]
"""A ledger, and its schema after translation."""

_MOST_SECONDS_KNOWN = 60.0
_MOST_SECONDS_WAITED = 2
_graces: WeakKeyDictionary[Dialect, dict[LedgerInSchema, tuple[float, float]]] = WeakKeyDictionary()
"""By dialect: an engine shares it with the engines that `execution_options` makes of it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one ledger's database to store objects, and to delete its own."""

    database: Database
    ledger: Ledger
    identity: Identity

    @property
    def epoch(self) -> int:
        return self.identity.epoch

    def sign(self, storage_names: Iterable[str]) -> None:
        """Let storages know of this ledger, before anything is stored there.

        Raises `StorageError` for an empty folder where rows name objects: it is not mounted.
        """
        for name in storage_names:
            registered = StorageManager._found(name)
            if self.epoch not in registered.signed_by:
                self._sign(registered.storage, name)
                registered.signed_by.add(self.epoch)

    def covers(self, storage_name: str) -> bool:
        """Return True if a storage is there and knows of this ledger, as far as is known."""
        try:
            self.sign([storage_name])
        except (UnknownStorageError, StorageError):
            return False
        return True

    def _sign(self, storage: Storage, name: str) -> None:
        owner = owner_of(self.identity)
        with named(name):
            if not run_blocking(partial(is_signed, storage, owner)):
                refuse_unmounted(storage, name, self._is_named)
                run_blocking(partial(sign, storage, owner))

    def _is_named(self, storage_name: str) -> bool:
        """Return True if a row refers to an object of a storage; False if a table is missing."""
        connection = self.database.connection
        is_nested = connection.dialect.name == "postgresql"  # an error would end the transaction
        try:
            with connection.begin_nested() if is_nested else nullcontext():
                return any(
                    self.database.execute(query).first() for query in self._namings(storage_name)
                )
        except DBAPIError as error:
            if not is_unreadable(error):
                raise
            return False

    def _namings(self, storage_name: str) -> Iterator[Select[Any]]:
        for table, columns in all_file_columns(self.ledger.metadata):
            for column in columns:
                here = cast(column, Text).contains(f'"{storage_name}/', autoescape=True)
                yield select(text("1")).select_from(table).where(here).limit(1)


@dataclass(slots=True)
class Rights:
    """What the database of a connection may delete."""

    _identities: set[Identity] = field(default_factory=set)
    _absent: set[str] = field(default_factory=set)
    """Storages that are not there, such as folders whose disk is not mounted."""

    def learn(self, claim: Claim, released: Iterable[str]) -> None:
        self._identities.add(claim.identity)
        storages = {StorageManager.resolve(path)[0] for path in released}
        self._absent |= {name for name in storages if not claim.covers(name)}

    def lacking(self, paths: Iterable[str]) -> set[str]:
        """Return the objects that another database has stored, or whose storage is not there."""
        return {path for path in paths if not self._include(*StorageManager.resolve(path))}

    def _include(self, name: str, key: str) -> bool:
        return name not in self._absent and all(each.may_delete(key) for each in self._identities)


def claim_of(database: Database, table: Table) -> Claim | None:
    """Return in whose name a statement on a table stores, or None if there is no ledger."""
    ledger = ledger_of(table.metadata)
    if ledger is None:
        return None
    found = _identity_of(database, ledger)
    return None if found is None else Claim(database, ledger, found)


def owner_of(found: Identity) -> Owner:
    return Owner(found.id, found.epoch, found.site.server, found.site.name)


def _identity_of(database: Database, ledger: Ledger) -> Identity | None:
    connection = database.connection
    schema = schema_of(database, ledger)
    key = _IN_INFO, schema
    known: tuple[int, Identity | None] | None = connection.info.get(key)
    if known is not None and known[0] == changes():
        return known[1]
    may_read = _may_read(database, ledger, schema)
    found = identity(connection, ledger, schema) if may_read else None
    connection.info[key] = changes(), found
    return found


def schema_of(database: Database, ledger: Ledger) -> str | None:
    schemas = database.schemas
    if schemas:
        return schemas.get(ledger.state.schema, ledger.state.schema)
    return database.connection.schema_for_object(ledger.state)


def _may_read(database: Database, ledger: Ledger, schema: str | None) -> bool:
    """Ask beforehand: a query that fails would end the transaction on PostgreSQL."""
    connection, name = database.connection, ledger.state.name
    if connection.dialect.name not in DATABASES:
        return inspect(connection).has_table(name, schema)
    where = database_of(connection).place(connection, name, schema)
    return where is not None and has_rights(connection, where, "SELECT")


def refuse_unmounted(storage: Storage, name: str, is_used: Callable[[str], bool]) -> None:
    """Raise `StorageError` for an empty folder in which rows name objects: it is not mounted."""
    if not isinstance(storage, HasPath) or not run_blocking(partial(_is_empty, storage)):
        return
    if is_used(name):
        raise StorageError(
            "rows refer to objects in this folder, but it is empty and has no signature: is its "
            "disk mounted? If the files are gone for good, run `sweep --delete --adopt` once",
            storage=name,
        )


def _is_empty(storage: Storage) -> bool:
    return next(iter(storage.list()), None) is None


_IN_INFO = "sqlalchemy_file.identity"


def refuse_if_late(
    connection: Connection, graces: Mapping[LedgerInSchema, float], age: float
) -> None:
    """Refuse a commit so late that a sweep may have deleted its files.

    ``age`` is how many seconds ago the oldest upload began.
    """
    for where, known in graces.items():
        if age < SHARE * known:
            continue
        seconds = grace_within(connection, where, is_fresh=True)
        if age >= SHARE * seconds:
            raise CommitRefusedError(
                f"refused to commit, and rolled back: the first file of this transaction was "
                f"stored {age:.0f} seconds ago, and what is older than the grace period of "
                f"{seconds:g} seconds may be swept away; commit within {SHARE:g} of it, store "
                "files later in the transaction, or lengthen it with ledger.set_grace()"
            )


def grace_within(connection: Connection, where: LedgerInSchema, *, is_fresh: bool = False) -> float:
    """Return a ledger's grace period, read at most once a minute, in the running transaction.

    The transaction survives if that fails; the last value that was read then counts.
    """
    known = _graces.setdefault(connection.dialect, {})
    seconds, read_at = known.get(where, (DEFAULT_GRACE, float("-inf")))
    if not is_fresh and time.monotonic() - read_at < min(_MOST_SECONDS_KNOWN, seconds / 10):
        return seconds
    try:
        seconds = grace_in(_read_grace(connection, where))
    except (connection.dialect.loaded_dbapi.Error, ValueError) as error:
        logger.warning(
            "the grace period cannot be read from %s, so %g seconds are assumed: %s",
            where[0].state,
            seconds,
            escaped(error),
        )
    known[where] = seconds, time.monotonic()
    return seconds


def _read_grace(connection: Connection, where: LedgerInSchema) -> str | None:
    ledger, schema = where
    with unharmed(connection, _MOST_SECONDS_WAITED) as cursor:
        query = grace_query(connection.dialect, ledger, schema)
        if getattr(connection.dialect, "is_mariadb", False):
            query = f"SET STATEMENT lock_wait_timeout = {_MOST_SECONDS_WAITED} FOR {query}"
        cursor.execute(query)
        row = cursor.fetchone()
    return None if row is None else row[0]
