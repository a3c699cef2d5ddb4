"""Compare the clocks of this machine, the database and a storage."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.storage import Attributes, Storage
from sqlalchemy_file.transfer import run_blocking
from sqlalchemy_file.values.objects import fresh_key

MOST_APART = 300_000
"""By how many milliseconds they may differ."""


def now_here() -> int:
    """Return the time of this machine, in milliseconds since the epoch."""
    return int(datetime.now(UTC).timestamp() * 1000)


def agreed_now(context: PassContext) -> int:
    """Return the earlier time of this machine's and the database's.

    Raises `LedgerError` where they differ by more than five minutes.
    """
    before = now_here()
    there = context.now()
    _refuse_apart("the database", there, before, now_here())
    return min(before, there)


def refuse_other_time(name: str, storage: Storage) -> None:
    """Raise `LedgerError` where a storage's clock differs from this machine's by more than that.

    For this a small object is stored, looked at and deleted. If that is cut short, it is one of
    those that a sweep deletes.
    """
    before = now_here()
    key = fresh_key()
    run_blocking(lambda: storage.put(key, BytesIO(b"what time is it?"), Attributes()))
    try:
        date = run_blocking(lambda: storage.stat(key)).last_modified
        after = now_here()
    finally:
        with suppress(Exception):
            run_blocking(lambda: storage.delete([key]))
    if date is not None:
        _refuse_apart(f"the storage {name!r}", int(date.timestamp() * 1000), before, after)


def _refuse_apart(who: str, there: int, before: int, after: int) -> None:
    apart = max(before - there, there - after)
    if apart <= MOST_APART:
        return
    direction = "behind" if there < before else "ahead of"
    raise LedgerError(
        f"the clock of {who} is {apart / 1000:,.0f} seconds {direction} the clock of this machine, "
        "so the age of objects is unknown: correct the clocks first"
    )
