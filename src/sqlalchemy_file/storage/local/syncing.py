"""What a batch stores reaches the disk at its end, all of it together.

One small file after the other, each waits for the disk by itself. Together they wait once, about as
long as two or three of them alone would have done. Hundreds of small files reach the disk by one
``syncfs`` in a fraction of the time that as many ``fsync`` take, where Linux does that safely. But
it writes out what other programs left to be written, too, and not every kernel and file system
reports by it what could not be written.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy_file.transfer import Operation, carry_out, results

_OLDEST_KERNEL = (5, 17)
"""From 5.8 on ``syncfs`` reports failed writes of files, from 5.17 on those of journals."""

_KINDS = frozenset({"ext4", "xfs"})
"""Those that are known to do so: a network's or FUSE's may let the server keep it in memory."""

_MOUNTS = "/proc/self/mountinfo"

_WORTH = 256 * 1024
"""How many bytes a disk takes in the time of one ``fsync``, at the least."""


class Disk:
    """The file system of a folder, from the first file of a batch to its end."""

    def __init__(self, root: str) -> None:
        self._root = root
        # Opened at the first file: of what fails from then on, syncing it tells.
        self._descriptor = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        self.device: int = os.fstat(self._descriptor).st_dev

    def sync(self, files: int, own: int) -> bool:
        """Sync the whole file system; return False if that is unsafe, slower, or failed.

        Longer than ``fsync`` of so many files, with ``own`` bytes in all, because of what others
        have left to be written. What fails may be theirs, too: ``fsync`` of each file tells.
        """
        foreign = waiting() - own
        if foreign <= files * _WORTH and self._is_root() and can_sync(self._descriptor):
            with suppress(OSError, AttributeError):  # AttributeError: a C library without it
                syncfs(self._descriptor)
                return True
        return False

    def close(self) -> None:
        os.close(self._descriptor)

    def _is_root(self) -> bool:
        """Return True if the name still refers to this folder."""
        with suppress(OSError):
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._root))  # noqa: PTH116
        return False


def can_sync(descriptor: int) -> bool:
    """Return True if the file system of an open folder is synced, by one call, as by ``fsync``."""
    return _kernel() >= _OLDEST_KERNEL and _kind(os.fstat(descriptor).st_dev) in _KINDS


def syncfs(descriptor: int) -> None:
    """Sync the file system of an open file, as ``syncfs(2)`` of Linux does."""
    import ctypes  # noqa: PLC0415  many programs never need it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def waiting() -> int:
    """Return the number of bytes that the whole system has still to write to disk.

    Where that is not told, they may be any number.
    """
    facts = (line.split() for line in _lines("/proc/meminfo"))
    counts = [int(fact[1]) * 1024 for fact in facts if fact[0] in ("Dirty:", "Writeback:")]
    return sum(counts) if counts else sys.maxsize


def _kernel() -> tuple[int, ...]:
    """Return the version of the Linux kernel; of any other system, and where it is unknown, 0."""
    if platform.system() != "Linux":
        return (0,)
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return tuple(map(int, found.groups())) if found else (0,)


def _kind(device: int) -> str | None:
    """Return the type of the file system of a device, if known."""
    number = f" {os.major(device)}:{os.minor(device)} "
    for line in _lines(_MOUNTS):
        if number in line:
            return line.partition(" - ")[2].partition(" ")[0]
    return None


def _lines(path: str) -> list[str]:
    with suppress(OSError):
        return Path(path).read_text().splitlines()
    return []


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
        if not self._left:
            return
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
    """Sync everything that storages store in this block at its end.

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
    """Return True if the syncing can be left to the end of a block, by `sync_later`."""
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
