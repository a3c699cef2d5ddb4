"""What a batch stores reaches the disk at its end, all of it together.

One small file after the other, each waits for the disk by itself. Together they wait once, about as
long as two or three of them alone would have done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from sqlalchemy_file.transfer import Operation, carry_out, results

Sync = Callable[[Sequence[str]], None]
"""Has the objects of some keys on disk, with their names."""

_AT_ONCE = 4


@contextmanager
def synced_together() -> Iterator[None]:
    """Let storages leave the syncing of what is stored in this block to its end.

    Raises what the syncing raises; then nobody knows which of the objects are on disk.
    """
    left: list[tuple[Sync, str]] = []
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)
    by_storage: dict[Sync, list[str]] = defaultdict(list)
    for sync, key in left:
        by_storage[sync].append(key)
    results(carry_out(list(_operations(by_storage)), limit=_AT_ONCE))


def is_together() -> bool:
    """Tell whether the syncing can be left to the end of a block, by `sync_later`."""
    return _left.get() is not None


def sync_later(sync: Sync, key: str) -> None:
    """Leave an object to the end of the block."""
    left = _left.get()
    if left is None:
        sync([key])
    else:
        left.append((sync, key))


def _operations(by_storage: dict[Sync, list[str]]) -> Iterator[Operation[None]]:
    for sync, keys in by_storage.items():
        for start in range(min(_AT_ONCE, len(keys))):
            yield Operation(partial(sync, keys[start::_AT_ONCE]))


_left: ContextVar[list[tuple[Sync, str]] | None] = ContextVar("_left", default=None)
