"""The folder of a storage: the keys and modes that it accepts, and the meaning of errors."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    InvalidStorageError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.common.calling import Translator
from sqlalchemy_file.storage.common.keys import SIDECAR, TEMPORARY, check_key, is_hidden, is_simple
from sqlalchemy_file.storage.local.directories import Folder, Route, apply_mode

IS_WINDOWS = os.name == "nt"

_UNFIT_FOR_WINDOWS = re.compile(r'[<>:"|?*]|[. ](/|$)')
# Devices, with any suffix: writing to NUL.txt stores nothing.
_DEVICES_OF_WINDOWS = re.compile(
    r"(?:^|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.[^/]*)?(?:/|$)",
    re.IGNORECASE,
)


def check_local_key(key: str, *, sidecars: bool) -> str:
    """Return a valid key, else raise `InvalidKeyError`."""
    if is_simple(key):
        return _check_for_windows(key) if IS_WINDOWS else key  # as nearly all are
    check_key(key)
    if is_hidden(key):
        raise InvalidKeyError(f"names with {TEMPORARY!r} in front are for drafts", key=key)
    if sidecars and f"{SIDECAR}/" in f"{key}/":
        raise InvalidKeyError(f"names that end with {SIDECAR!r} are for attributes", key=key)
    return _check_for_windows(key) if IS_WINDOWS else key


def _check_for_windows(key: str) -> str:
    if _UNFIT_FOR_WINDOWS.search(key):
        raise InvalidKeyError("Windows has no such file names", key=key)
    if _DEVICES_OF_WINDOWS.search(key):
        raise InvalidKeyError("Windows reserves this file name for a device", key=key)
    return key


def checked_mode(name: str, mode: Any, least: int) -> int | None:
    """Return a mode that includes ``least``, or None, or raise `InvalidStorageError`."""
    if mode is None:
        return None
    is_number = isinstance(mode, int) and not isinstance(mode, bool)
    if not is_number or not 0 <= mode <= 0o777 or mode & least != least:
        shown = f"0o{mode:o}" if is_number and mode >= 0 else repr(mode)
        raise InvalidStorageError(
            f"{name!r} is an octal number between 0o{least:o} and 0o777 with which the owner can "
            f"read and write, such as 0o{least:o}, not {shown}"
        )
    if not hasattr(os, "fchmod"):
        raise InvalidStorageError(f"{name!r} has no meaning on this platform: leave it out")
    return int(mode)


class Root:
    """The folder of a storage, known by its device and inode.

    Each method that ends with ``_error`` is a `Translation`.
    """

    def __init__(
        self, path: str, *, create: bool, hold: bool, file_mode: Any, folder_mode: Any
    ) -> None:
        self.path = path
        self.hold = hold
        self.file_mode: int | None = checked_mode("file_mode", file_mode, 0o600)
        self.folder_mode: int | None = checked_mode("folder_mode", folder_mode, 0o700)
        self._create = create
        self._known: tuple[int, int] | None = None
        with Translator(self.root_error):
            if create:
                self.make()
            Folder.root(path, hold=hold).close()
            self.here: Route = Route(path, (), hold=False).walk()
            self._remember()

    def make(self) -> None:
        """Create a missing folder; one that may not be created is a `FileNotFoundError`."""
        if Path(self.path).is_dir():
            return
        if not self._create:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        mode = self.folder_mode
        Path(self.path).mkdir(0o777 if mode is None else mode, parents=True, exist_ok=True)
        apply_mode(mode, None, self.path)
        self._remember()

    def _remember(self) -> None:
        found = os.stat(self.path)  # noqa: PTH116
        self._known = found.st_dev, found.st_ino

    def check(self, key: str | None = None) -> None:
        """Raise `StorageError` if another folder is there; a missing one is not judged here."""
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return
        if (found.st_dev, found.st_ino) != self._known:
            raise StorageError(
                f"{self.path!r} is not the folder that was added: a disk has been mounted or "
                "unmounted there, or the folder was replaced; correct that, or restart the program",
                key=key,
            )

    def is_lost(self) -> bool:
        # A missing folder that may be created is empty; another one may be an unmounted disk.
        return not self._create and not Path(self.path).is_dir()

    def route(self, folders: Sequence[str]) -> Route:
        """Return a route whose folders are open, the root too."""
        return Route(self.path, folders, hold=self.hold).walk()

    def root_error(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return StorageError(f"there is no folder {self.path!r}: create it, or pass create=True")
        return _disk_error(error, key)

    def reading_error(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return self.root_error(error, key) if self.is_lost() else ObjectNotFoundError(key=key)
        return _disk_error(error, key)

    def writing_error(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError):
            return StorageError(f"there is no folder {self.path!r} to write to", key=key)
        if isinstance(error, FileExistsError):
            return ObjectExistsError(key=key)
        if isinstance(error, NotADirectoryError):
            return StorageError(
                "an object, or a symbolic link, is where the key needs a folder", key=key
            )
        if isinstance(error, IsADirectoryError):
            return StorageError("other objects lie below this key, as in a folder", key=key)
        return _disk_error(error, key)


def _disk_error(error: Exception, key: str | None) -> StorageError | None:
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENAMETOOLONG:
        return InvalidKeyError("a part of the key is longer than this file system takes", key=key)
    if error.errno == errno.ELOOP:
        return StorageError("a symbolic link lies there, and is not followed", key=key)
    code = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return StorageError(f"{error.strerror or error} ({code})", key=key)
