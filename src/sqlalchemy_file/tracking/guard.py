"""Refuses a commit so late that the sweep may have taken its files for left over."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, inspect

from sqlalchemy_file.exceptions import CommitRefusedError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.state import DEFAULT_GRACE, grace

SHARE = 0.7
"""How much of the grace period may have passed since the oldest upload began."""

_MOST_SECONDS_KNOWN = 60.0
_known: WeakKeyDictionary[Engine, tuple[float, float]] = WeakKeyDictionary()


def refuse_if_late(connection: Connection, ledgers: Iterable[Ledger], began: float | None) -> None:
    """Raise `CommitRefusedError` if the oldest upload ``began``, by the monotonic clock, long ago.

    The grace period is read from the database at most once a minute, in the very transaction.
    """
    if began is None:
        return
    age = monotonic() - began
    for ledger in ledgers:
        seconds = _grace(connection, ledger)
        if age >= SHARE * seconds:
            raise CommitRefusedError(
                f"refused to commit, and rolled back: the first file of this transaction was "
                f"stored {age:.0f} seconds ago, and what is older than the grace period of "
                f"{seconds:g} seconds may be swept away; commit within {SHARE:g} of it, store "
                "files later in the transaction, or lengthen it with sqlalchemy_file.ledger.state."
                "set_grace()"
            )


def _grace(connection: Connection, ledger: Ledger) -> float:
    now = monotonic()
    seconds, read_at = _known.get(connection.engine, (0.0, 0.0))
    if now - read_at >= min(_MOST_SECONDS_KNOWN, seconds / 10):
        seconds = DEFAULT_GRACE
        # A SELECT from a table that is not there would end PostgreSQL's transaction.
        if inspect(connection).has_table(ledger.state.name, ledger.state.schema):
            seconds = grace(connection, ledger)
        _known[connection.engine] = seconds, now
    return seconds
