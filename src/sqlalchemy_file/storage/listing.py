"""The objects below a folder, in the order of their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy_file.storage.base import ObjectInfo
from sqlalchemy_file.storage.files import info_of
from sqlalchemy_file.storage.folders import Folder, LinkedFolderError
from sqlalchemy_file.storage.reserved import is_listed


@dataclass(frozen=True, slots=True)
class Listing:
    """Which objects to list: by their prefix, beyond a key, and by what makes a key one."""

    prefix: str
    start_after: str
    is_object: Callable[[str], bool]

    def below(self, folder: Folder, path: str) -> Iterator[ObjectInfo]:
        """Yield the objects in ``folder``, whose own ``path`` ends with a slash or is empty."""
        for name in folder.names():
            key = f"{path}{name}"
            if name.endswith("/"):
                if self._may_hold(key):
                    yield from self._inside(folder, name[:-1], key)
            elif self._wants(key):
                with suppress(FileNotFoundError):  # deleted since
                    yield info_of(key, folder.stat(name))

    def _inside(self, folder: Folder, name: str, path: str) -> Iterator[ObjectInfo]:
        try:
            child = folder.child(name, create=False)
        except (FileNotFoundError, NotADirectoryError, LinkedFolderError):
            return  # removed since, or swapped for a link
        try:
            yield from self.below(child, path)
        finally:
            child.close()

    def _wants(self, key: str) -> bool:
        return (
            key.startswith(self.prefix)
            and key > self.start_after
            and is_listed(key, self.prefix)
            and self.is_object(key)
        )

    def _may_hold(self, path: str) -> bool:
        if not (path.startswith(self.prefix) or self.prefix.startswith(path)):
            return False
        return self.start_after < path or self.start_after.startswith(path)
