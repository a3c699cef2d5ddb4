"""Sync the small new files of a batch at its end, together.

One after the other, each waits for the disk by itself. Together they wait about as long as two or
three of them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeAlias

from sqlalchemy_file.transfer import Operation, carry_out, results

_THREADS = 4

Sync: TypeAlias = Callable[[Sequence[str]], None]
"""Syncs the objects of one storage with these keys, and their names, to disk."""

_unsynced: ContextVar[dict[Sync, list[str]] | None] = ContextVar("_unsynced", default=None)


@contextmanager
def synced_together() -> Iterator[None]:
    """Sync everything that storages store in this block at its end.

    Raises what the syncing raises; then nobody knows which of the objects are on disk.
    """
    unsynced: dict[Sync, list[str]] = {}
    token = _unsynced.set(unsynced)
    try:
        yield
    finally:
        _unsynced.reset(token)
    parts = [
        Operation(partial(sync, keys[start::_THREADS]))
        for sync, keys in unsynced.items()
        for start in range(min(_THREADS, len(keys)))
    ]
    results(carry_out(parts, limit=_THREADS))


def is_together() -> bool:
    """Return True inside a `synced_together` block."""
    return _unsynced.get() is not None


def sync_later(sync: Sync, key: str) -> None:
    """Leave an object to the end of the block."""
    unsynced = _unsynced.get()
    if unsynced is None:
        sync([key])
    else:
        unsynced.setdefault(sync, []).append(key)
