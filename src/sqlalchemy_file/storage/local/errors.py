"""Translate the system's errors for files in a folder."""

from __future__ import annotations

import errno
from pathlib import Path

from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)


class FolderErrors:
    """Makes ours of the system's errors, by what was done: each method is a `Translation`.

    ``is_made``: whether the folder is made where it is missing.
    """

    def __init__(self, root: str, *, is_made: bool) -> None:
        self._root = root
        self._is_made = is_made

    def root_is_lost(self) -> bool:
        # A folder that we may make is merely empty; one that we may not is, say, not mounted.
        return not self._is_made and not Path(self._root).is_dir()

    def root(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return StorageError(
                f"there is no folder {self._root!r}: create it, or pass create=True"
            )
        return _disk(error, key)

    def reading(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return self.root(error, key) if self.root_is_lost() else ObjectNotFoundError(key=key)
        return _disk(error, key)

    def writing(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError):
            return StorageError(f"there is no folder {self._root!r} to write to", key=key)
        if isinstance(error, FileExistsError):
            return ObjectExistsError(key=key)
        if isinstance(error, NotADirectoryError):
            return StorageError(
                "an object, or a symbolic link, is where the key needs a folder", key=key
            )
        if isinstance(error, IsADirectoryError):
            return StorageError("other objects lie below this key, as in a folder", key=key)
        return _disk(error, key)


def _disk(error: Exception, key: str | None) -> StorageError | None:
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENAMETOOLONG:
        return InvalidKeyError("a part of the key is longer than this file system takes", key=key)
    if error.errno == errno.ELOOP:
        return StorageError("a symbolic link lies there, and is not followed", key=key)
    code = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return StorageError(f"{error.strerror or error} ({code})", key=key)
