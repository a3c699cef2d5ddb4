"""A lock on a folder that only accounts with write permission can hold.

``flock`` on the folder itself would be simpler, but every reader of a folder could hold it forever.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy_file.storage.common.reserved import TEMPORARY
from sqlalchemy_file.storage.local.directories import Folder

_NAME = f"{TEMPORARY}lock"

_ABANDONED = 5.0
"""Seconds after which a lock is taken from its holder, who needs it for far less than one."""

_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.02


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Keep other threads and processes out of the block, by a file that exists meanwhile.

    One that a killed process left is removed after some seconds. Raises `FileNotFoundError` where
    the folder was removed.
    """
    _acquire(folder)
    try:
        yield
    finally:
        folder.discard(_NAME)


def _acquire(folder: Folder) -> None:
    pause, holder, since = _FIRST_PAUSE, 0, time.monotonic()
    while not _created(folder):
        present = _holder(folder, _NAME)
        if present != holder:
            holder, since = present, time.monotonic()
        elif holder and time.monotonic() - since > _ABANDONED:
            _break(folder, holder)
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _created(folder: Folder) -> bool:
    try:
        os.close(folder.open(_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def _holder(folder: Folder, name: str) -> int:
    """Return what tells one lock of a name from the next; 0 where nobody holds it."""
    try:
        found = folder.stat(name)
    except FileNotFoundError:
        return 0
    return hash((found.st_ino, found.st_mtime_ns))


def _break(folder: Folder, holder: int) -> None:
    """Remove an abandoned lock, but not one that somebody else took meanwhile."""
    aside = f"{_NAME}-{secrets.token_hex(8)}"
    try:
        folder.replace(_NAME, aside)
    except FileNotFoundError:
        return
    if _holder(folder, aside) != holder:
        with suppress(OSError):
            folder.link(aside, _NAME)
    folder.discard(aside)
