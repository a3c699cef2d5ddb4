"""Refuse a commit so late that a sweep may have deleted its files."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect

from sqlalchemy_file.exceptions import CommitRefusedError, escaped
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.state import DEFAULT_GRACE, grace_in, grace_query
from sqlalchemy_file.tracking.reading import unharmed
from sqlalchemy_file.tracking.unit.frames import Moment, now

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

SHARE = 0.7
"""How much of the grace period may have passed since the oldest upload began."""

LedgerInSchema = tuple[Ledger, str | None]
"""A ledger, and its schema after translation."""

_MOST_SECONDS_KNOWN = 60.0
_MOST_SECONDS_WAITED = 2
_known: WeakKeyDictionary[Dialect, dict[LedgerInSchema, tuple[float, float]]] = WeakKeyDictionary()
"""By dialect: an engine shares it with the engines that `execution_options` makes of it."""


def in_schema(ledger: Ledger, schemas: Mapping[str | None, str | None] | None) -> LedgerInSchema:
    """Return which ledger a statement's releases go to, given the schemas that it translates."""
    schema = ledger.state.schema
    return ledger, schemas.get(schema, schema) if schemas else schema


def refuse_if_late(
    connection: Connection, graces: Mapping[LedgerInSchema, float], began: Moment | None
) -> None:
    if began is None:
        return
    age = began.seconds_until(now())
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
    known = _known.setdefault(connection.dialect, {})
    seconds, read_at = known.get(where, (DEFAULT_GRACE, float("-inf")))
    if not is_fresh and time.monotonic() - read_at < min(_MOST_SECONDS_KNOWN, seconds / 10):
        return seconds
    try:
        seconds = grace_in(_read(connection, where))
    except (connection.dialect.loaded_dbapi.Error, ValueError) as error:
        logger.warning(
            "the grace period cannot be read from %s, so %g seconds are assumed: %s",
            where[0].state,
            seconds,
            escaped(error),
        )
    known[where] = seconds, time.monotonic()
    return seconds


def _read(connection: Connection, where: LedgerInSchema) -> str | None:
    ledger, schema = where
    with unharmed(connection, _MOST_SECONDS_WAITED) as cursor:
        query = grace_query(connection.dialect, ledger, schema)
        if getattr(connection.dialect, "is_mariadb", False):
            query = f"SET STATEMENT lock_wait_timeout = {_MOST_SECONDS_WAITED} FOR {query}"
        cursor.execute(query)
        row = cursor.fetchone()
    return None if row is None else row[0]
