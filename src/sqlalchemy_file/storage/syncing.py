"""What a batch stores reaches the disk at its end, all of it together.

One small file after the other, each waits for the disk by itself. Together they wait once, about as
long as two or three of them alone would have done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy_file.storage.disks import Disk
from sqlalchemy_file.transfer import Operation, carry_out, results

T = TypeVar("T")

_AT_ONCE = 4
_MANY = 32
"""From how many objects on one call for the whole disk takes less time than one for each."""


@dataclass(frozen=True, eq=False)
class Syncing:
    """How one storage has its objects on disk."""

    root: str
    sync: Callable[[Sequence[str]], None]
    """Has the objects of some keys on disk, with their names."""


class _Left:
    """What one storage has left to the end of a block."""

    def __init__(self, syncing: Syncing) -> None:
        self._syncing = syncing
        self._keys: list[str] = []
        self._elsewhere: list[str] = []
        self._size = 0
        self.disk = Disk(syncing.root)

    def add(self, key: str, size: int, device: int | None) -> None:
        if device is not None and device != self.disk.device:
            # Syncing the root's file system does nothing for one that is mounted below it.
            self._elsewhere.append(key)
            return
        self._keys.append(key)
        self._size += size

    def sync_disk(self) -> bool:
        files = len(self._keys)
        return files >= _MANY and self.disk.sync(files, self._size)

    def parts(self, *, disk_is_synced: bool) -> Iterator[Operation[None]]:
        """Return what is left to do, file by file."""
        keys = self._elsewhere if disk_is_synced else self._keys + self._elsewhere
        for start in range(min(_AT_ONCE, len(keys))):
            yield Operation(partial(self._syncing.sync, keys[start::_AT_ONCE]))


class _Block:
    """What all storages have left to its end."""

    def __init__(self) -> None:
        self._left: dict[Syncing, _Left] = {}
        self._lock = threading.Lock()

    def add(self, syncing: Syncing, key: str, size: int, device: int | None) -> None:
        with self._lock:
            if syncing not in self._left:
                self._left[syncing] = _Left(syncing)
            self._left[syncing].add(key, size, device)

    def sync(self) -> None:
        left = list(self._left.values())
        are_done = _results(Operation(each.sync_disk) for each in left)
        _results(
            part
            for each, is_done in zip(left, are_done, strict=True)
            for part in each.parts(disk_is_synced=is_done)
        )

    def close(self) -> None:
        for left in self._left.values():
            left.disk.close()


@contextmanager
def synced_together() -> Iterator[None]:
    """Let storages leave the syncing of what is stored in this block to its end.

    Raises what the syncing raises; then nobody knows which of the objects are on disk.
    """
    block = _Block()
    token = _block.set(block)
    try:
        try:
            yield
        finally:
            _block.reset(token)
        block.sync()
    finally:
        block.close()


def is_together() -> bool:
    """Tell whether the syncing can be left to the end of a block, by `sync_later`."""
    return _block.get() is not None


def sync_later(syncing: Syncing, key: str, size: int, device: int | None = None) -> None:
    """Leave an object of ``size`` bytes to the end of the block.

    ``device`` is the number of the file system that it lies on; None is that of the root.
    """
    block = _block.get()
    if block is None:
        syncing.sync([key])
    else:
        block.add(syncing, key, size, device)


def _results(operations: Iterable[Operation[T]]) -> list[T]:
    return results(carry_out(list(operations), limit=_AT_ONCE))


_block: ContextVar[_Block | None] = ContextVar("_block", default=None)
