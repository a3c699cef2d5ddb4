"""The location of an object: the name of its storage and its key, joined by a slash."""

from __future__ import annotations

from typing import Self


class Location(str):
    """The path of an object that knows which part of it is the name of the storage.

    It is the string that rows hold, and can be used wherever a path is expected. A plain path is
    split by the storages that have been added; a `Location` never changes its meaning with them.
    """

    __slots__ = ("_end",)
    _end: int

    def __new__(cls, storage: str, key: str) -> Self:
        self = str.__new__(cls, f"{storage}/{key}")
        self._end = len(storage)
        return self

    @classmethod
    def of(cls, path: str, storage: object) -> str:
        """Return the path as an object of a storage; unchanged where it is not one of that."""
        if not isinstance(storage, str) or not storage or not path.startswith(f"{storage}/"):
            return path
        self = str.__new__(cls, path)
        self._end = len(storage)
        return self

    @property
    def storage(self) -> str:
        """The name of the storage."""
        return self[: self._end]

    @property
    def key(self) -> str:
        """The key of the object in its storage."""
        return self[self._end + 1 :]

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.storage, self.key


def overlap(name: str, other: str) -> bool:
    """Return True if a path might mean an object of either of two storages."""
    return f"{name}/".startswith(f"{other}/") or f"{other}/".startswith(f"{name}/")
