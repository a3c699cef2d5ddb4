"""Temporary files: hidden until they are complete."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from sqlalchemy_file.storage.common.reserved import TEMPORARY
from sqlalchemy_file.storage.local.directories import Folder
from sqlalchemy_file.storage.local.modes import apply_mode

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class TemporaryFile:
    """A file without a name where the system has such (``O_TMPFILE``), else under a hidden one.

    Leaving the block without `publish` deletes it. A process killed inside the block leaves
    nothing behind, or a hidden file.
    """

    __slots__ = ("_descriptor", "_folder", "_name")

    def __init__(self, folder: Folder, *, unnamed: bool, mode: int | None = None) -> None:
        self._folder = folder
        self._name: str | None = None
        if unnamed:
            self._descriptor = folder.open_unnamed(mode)
        else:
            name = _hidden_name()
            self._descriptor = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            self._name = name
        apply_mode(mode, self._descriptor, "")

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def write(self, data: bytes) -> None:
        written = os.write(self._descriptor, data)
        while written < len(data):
            written += os.write(self._descriptor, memoryview(data)[written:])

    def require_size(self, size: int) -> None:
        """Raise `OSError` unless the file system has all that was written."""
        kept = os.fstat(self._descriptor).st_size
        if kept != size:
            raise OSError(errno.EIO, f"{size} bytes were written and {kept} are there")

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def publish(self, folder: Folder, name: str, *, exclusive: bool) -> None:
        """Let the file appear in ``folder``, over an older one of that name unless ``exclusive``.

        Raises `FileExistsError`, or `FileNotFoundError` where the folder was removed meanwhile:
        a file that never had a name can then be published in another one.
        """
        if self._name is None:
            try:
                folder.name_descriptor(self._descriptor, name)
            except FileExistsError:
                if exclusive:
                    raise
            else:
                return
            # Naming cannot replace, renaming can.
            hidden = _hidden_name()
            folder.name_descriptor(self._descriptor, hidden)
            self._name, self._folder = hidden, folder
        self._close()  # Windows renames no open file
        if exclusive:
            _rename_new(folder, self._name, name)
        else:
            folder.replace(self._name, name)
        self._name = None

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        name, self._name = self._name, None
        if name is not None:
            self._folder.discard(name)


def can_be_unnamed(folder: Folder) -> bool:
    """Return True if files without a name can be made and named here, by doing it once."""
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
    """Yield the hidden files in a folder and in all below it, however many others there are."""
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
        # FAT and some network file systems: two writers of one key at the same moment both win.
        if folder.exists(new_name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name) from error
        folder.replace(name, new_name)
    else:
        folder.unlink(name)
