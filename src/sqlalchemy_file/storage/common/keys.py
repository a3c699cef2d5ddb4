"""Keys of objects, and their locations: the name of a storage and a key, joined by a slash."""

from __future__ import annotations

import re
import unicodedata
from typing import Self

from sqlalchemy_file.exceptions import InvalidKeyError

MAX_KEY_BYTES = 1024
"""The longest key that S3, GCS and Azure all take."""

_SIMPLE = re.compile(r"[0-9A-Za-z-]{1,100}")


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


def is_simple(key: str) -> bool:
    """Return True if a key is made of letters, digits and hyphens only, as our own are."""
    return isinstance(key, str) and _SIMPLE.fullmatch(key) is not None


def check_key(key: str) -> str:
    """Return ``key`` if every storage accepts it, else raise `InvalidKeyError`."""
    reason = None if is_simple(key) or _is_plain(key) else _key_fault(key)
    if reason is not None:
        raise InvalidKeyError(reason, key=key if isinstance(key, str) else repr(key))
    return key


def _is_plain(key: str) -> bool:
    # Nearly every key is, and looking at each character would be ten times slower.
    return (
        isinstance(key, str)
        and 0 < len(key) <= MAX_KEY_BYTES
        and key.isascii()
        and key.isprintable()
        and "\\" not in key
        and "/." not in (path := f"/{key}/")
        and "//" not in path
    )


def _key_fault(key: str) -> str | None:
    if not isinstance(key, str) or not key:
        return f"a key is a non-empty string, not {key!r}"
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        return f"a key has at most {MAX_KEY_BYTES} bytes"
    if any(unicodedata.category(each) in ("Cc", "Cs") for each in key):
        return "a key holds no control characters and no lone surrogates"
    if "\\" in key:
        return "a key holds no backslash; its parts are separated by '/'"
    if any(part in ("", ".", "..") for part in key.split("/")):
        return "a key is relative and stays in its container: no leading '/', '//', '.' or '..'"
    return None
