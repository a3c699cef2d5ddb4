"""A whole file system synced by one call, where Linux does that safely and little else waits.

Hundreds of small files reach the disk by one ``syncfs`` in a fraction of the time that as many
``fsync`` take. But it writes out what other programs left to be written, too, and not every
kernel and file system reports by it what could not be written.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path

_OLDEST_KERNEL = (5, 17)
"""From 5.8 on ``syncfs`` reports failed writes of files, from 5.17 on those of journals."""

_KINDS = frozenset({"ext4", "xfs"})
"""Those that are known to do so: a network's or FUSE's may let the server keep it in memory."""

_MOUNTS = "/proc/self/mountinfo"

_WORTH = 256 * 1024
"""How many bytes a disk takes in the time of one ``fsync``, at the least."""


class Disk:
    """The file system that a folder lies on, from the first file of a batch to its end."""

    def __init__(self, root: str) -> None:
        self._root = root
        # Opened at the first file: of what fails from then on, syncing it tells.
        self._descriptor = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        self.device: int = os.fstat(self._descriptor).st_dev

    def sync(self, files: int, own: int) -> bool:
        """Have all of it on disk; return False where that is not safe, would take longer or fails.

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
        """Tell whether the folder is still what goes by its name."""
        with suppress(OSError):
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._root))  # noqa: PTH116
        return False


def can_sync(descriptor: int) -> bool:
    """Tell whether the file system of an open folder is synced, by one call, as by ``fsync``."""
    return _kernel() >= _OLDEST_KERNEL and _kind(os.fstat(descriptor).st_dev) in _KINDS


def syncfs(descriptor: int) -> None:
    """Sync the file system of an open file, as ``syncfs(2)`` of Linux does."""
    import ctypes  # noqa: PLC0415  many programs never need it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def waiting() -> int:
    """Return how many bytes wait to be written to disks, all of them, whoever wrote them.

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
    """Return the kind of the file system that is mounted from a device, if that is told."""
    number = f" {os.major(device)}:{os.minor(device)} "
    for line in _lines(_MOUNTS):
        if number in line:
            return line.partition(" - ")[2].partition(" ")[0]
    return None


def _lines(path: str) -> list[str]:
    with suppress(OSError):
        return Path(path).read_text().splitlines()
    return []
