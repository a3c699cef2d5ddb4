"""Whether a folder is still the one that was added: a disk may be unmounted, or mounted over it."""

from __future__ import annotations

import os

from sqlalchemy_file.exceptions import StorageError


class KnownRoot:
    """A folder, remembered by its device and inode."""

    __slots__ = ("_known", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: tuple[int, int] | None = None

    def remember(self) -> None:
        """Take the folder that is there now for the one that is meant."""
        found = os.stat(self._path)  # noqa: PTH116
        self._known = found.st_dev, found.st_ino

    def check(self, key: str | None = None) -> None:
        """Raise `StorageError` where another folder is there; a missing one is not judged here."""
        try:
            found = os.stat(self._path)  # noqa: PTH116
        except OSError:
            return
        if (found.st_dev, found.st_ino) != self._known:
            raise StorageError(
                f"{self._path!r} is not the folder that was added: a disk has been mounted or "
                "unmounted there, or the folder was replaced; put it right, or start anew",
                key=key,
            )
