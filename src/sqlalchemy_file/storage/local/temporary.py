"""Temporary files, hidden until they are complete, and a lock on a folder."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from sqlalchemy_file.storage.common.keys import TEMPORARY
from sqlalchemy_file.storage.local.directories import Folder, apply_mode

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class TemporaryFile:
    """A file without a name if the system can (``O_TMPFILE``), else with a hidden name.

    Leaving the block without `publish` deletes it. A process killed inside the block leaves
    nothing, or a hidden file.
    """

    __slots__ = ("_folder", "_name", "descriptor")

    def __init__(self, folder: Folder, *, unnamed: bool, mode: int | None = None) -> None:
        self._folder = folder
        self._name: str | None = None
        if unnamed:
            self.descriptor: int = folder.open_unnamed(mode)
        else:
            name = _hidden_name()
            self.descriptor = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            self._name = name
        apply_mode(mode, self.descriptor, "")

    def write(self, data: bytes) -> None:
        written = os.write(self.descriptor, data)
        while written < len(data):
            written += os.write(self.descriptor, memoryview(data)[written:])

    def require_size(self, size: int) -> None:
        """Raise `OSError` if the file system has fewer or more bytes."""
        kept = os.fstat(self.descriptor).st_size
        if kept != size:
            raise OSError(errno.EIO, f"{size} bytes were written and {kept} are there")

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def publish(self, folder: Folder, name: str, *, exclusive: bool) -> None:
        """Give the file its name, and replace an older one unless ``exclusive``.

        Raises `FileExistsError`, or `FileNotFoundError` if the folder has been removed. A file that
        never had a name can then be published in another folder.
        """
        if self._name is None:
            try:
                folder.name_descriptor(self.descriptor, name)
            except FileExistsError:
                if exclusive:
                    raise
            else:
                return
            # Only renaming can replace a file.
            hidden = _hidden_name()
            folder.name_descriptor(self.descriptor, hidden)
            self._name, self._folder = hidden, folder
        self._close()  # Windows cannot rename an open file
        if exclusive:
            _rename_new(folder, self._name, name)
        else:
            folder.replace(self._name, name)
        self._name = None

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if self._name is not None:
            self._folder.discard(self._name)


def can_be_unnamed(folder: Folder) -> bool:
    """Try whether a file without a name can be created and named here."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    name = _hidden_name()
    try:
        with TemporaryFile(folder, unnamed=True) as temporary:
            temporary.publish(folder, name, exclusive=True)
    except OSError:
        return False
    folder.discard(name)
    return True


def temporary_files_below(root: str) -> Iterator[Path]:
    """Yield the hidden files in a folder and in those below it."""
    folders = [root]
    while folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.startswith(TEMPORARY):
                    yield Path(entry.path)


def _hidden_name() -> str:
    return f"{TEMPORARY}{secrets.token_hex(8)}"


def _rename_new(folder: Folder, name: str, new_name: str) -> None:
    try:
        folder.link(name, new_name)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # FAT and some network file systems: two writers at the same moment may both succeed.
        if folder.exists(new_name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name) from error
        folder.replace(name, new_name)
    else:
        folder.unlink(name)


_NAME = f"{TEMPORARY}lock"

_ABANDONED = 5.0
"""Seconds after which a lock is removed; its holder needs far less than one."""

_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.02


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Lock a folder for threads and processes, by a file.

    A lock of a killed process is removed after some seconds. Raises `FileNotFoundError` if the
    folder was removed.
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
    """Return an identity of this lock, or 0 if there is none."""
    try:
        found = folder.stat(name)
    except FileNotFoundError:
        return 0
    return hash((found.st_ino, found.st_mtime_ns))


def _break(folder: Folder, holder: int) -> None:
    """Remove an abandoned lock, but not one that another process has just taken."""
    aside = f"{_NAME}-{secrets.token_hex(8)}"
    try:
        folder.replace(_NAME, aside)
    except FileNotFoundError:
        return
    if _holder(folder, aside) != holder:
        with suppress(OSError):
            folder.link(aside, _NAME)
    folder.discard(aside)
