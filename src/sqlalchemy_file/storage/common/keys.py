"""Keys of objects: valid and reserved ones, their order, and locations (``<storage>/<key>``)."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import Any, Self, TypeVar

from sqlalchemy_file.exceptions import InvalidKeyError

MAX_KEY_BYTES = 1024
"""The longest key that S3, GCS and Azure all take."""

RESERVED = ".sqlalchemy-file/"
"""The prefix of reserved keys. `list` shows them only if it is asked for this prefix."""

TEMPORARY = ".sqlalchemy-file-"
"""The prefix of hidden names: files that are being written, and locks."""

SIDECAR = ".metadata.json"
"""The suffix of files that hold the attributes of an object in a local folder."""

T = TypeVar("T")

RUN_SIZE = 100_000
"""How many items are sorted in memory."""

_SIMPLE = re.compile(r"[0-9A-Za-z-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_OUTSIDE = re.compile(r"/\.{0,2}/")


class Location(str):
    """The path of an object that knows which part of it is the name of the storage.

    A plain path is split by the storages that have been added; a `Location` does not depend on
    them.
    """

    __slots__ = ("_end",)
    _end: int

    def __new__(cls, storage: str, key: str) -> Self:
        self = str.__new__(cls, f"{storage}/{key}")
        self._end = len(storage)
        return self

    @classmethod
    def of(cls, path: str, storage: object) -> str:
        """Return the path as one in a storage; unchanged if it is in another one."""
        if not isinstance(storage, str) or not storage or not path.startswith(f"{storage}/"):
            return path
        self = str.__new__(cls, path)
        self._end = len(storage)
        return self

    def parts(self) -> tuple[str, str]:
        """Return the name of the storage, and the key."""
        return self[: self._end], self[self._end + 1 :]

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.parts()


def overlap(name: str, other: str) -> bool:
    """Return True if a path might mean an object of either of two storages."""
    return f"{name}/".startswith(f"{other}/") or f"{other}/".startswith(f"{name}/")


def is_simple(key: str) -> bool:
    """Return True for letters, digits and hyphens only, as in the keys that we generate."""
    return isinstance(key, str) and _SIMPLE.fullmatch(key) is not None


def check_key(key: str) -> str:
    """Return ``key`` if every storage accepts it, else raise `InvalidKeyError`."""
    reason = None if is_simple(key) else _key_fault(key)
    if reason is not None:
        raise InvalidKeyError(reason, key=key if isinstance(key, str) else repr(key))
    return key


def _key_fault(key: str) -> str | None:
    if not isinstance(key, str) or not key:
        return f"a key is a non-empty string, not {key!r}"
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        return f"a key has at most {MAX_KEY_BYTES} bytes"
    if not key.isprintable() and _CONTROL.search(key):
        return "a key holds no control characters and no lone surrogates"
    if "\\" in key:
        return "a key holds no backslash; its parts are separated by '/'"
    if _OUTSIDE.search(f"/{key}/"):
        return "a key is relative and stays in its container: no leading '/', '//', '.' or '..'"
    return None


def is_valid(key: str, check: Callable[[str], str] = check_key) -> bool:
    try:
        check(key)
    except InvalidKeyError:
        return False
    return True


def is_hidden(key: str) -> bool:
    """Return True if a part of ``key`` is the hidden name of a file that is being written."""
    return TEMPORARY in key and any(part.startswith(TEMPORARY) for part in key.split("/"))


def is_reserved(key: str) -> bool:
    return key.startswith(RESERVED) or f"/{RESERVED}" in key


def is_listed(key: str, prefix: str) -> bool:
    """Return True if a listing of ``prefix`` shows a key."""
    return not key.startswith(RESERVED) or prefix.startswith(RESERVED)


def refuse_reserved(key: str) -> str:
    """Return a key that an object may have, else raise `InvalidKeyError`."""
    if is_reserved(key):
        raise InvalidKeyError(
            f"{RESERVED!r} is reserved: it says which ledgers write to the storage", key=key
        )
    return key


def in_order(
    items: Iterable[T], key: Callable[[T], str] = str, *, run_size: int = RUN_SIZE
) -> Iterator[T]:
    """Return the items in the order of their keys; all are read before it returns.

    More than ``run_size`` are pickled into a temporary file.
    """
    rest = iter(items)
    held = list(islice(rest, run_size))
    if len(held) < run_size:
        return iter(sorted(held, key=key))
    return _read(_written(chain(held, rest), key))


def _written(items: Iterable[Any], key: Callable[[Any], str]) -> Any:
    import sqlite3  # noqa: PLC0415  few programs need it here

    database = sqlite3.connect("", check_same_thread=False)  # the empty name: a temporary file
    try:
        database.execute("CREATE TABLE item (key BLOB, content BLOB)")
        # UTF-8 sorts like the characters.
        rows = ((key(each).encode("utf-8", "surrogatepass"), pickle.dumps(each)) for each in items)
        database.executemany("INSERT INTO item VALUES (?, ?)", rows)
    except BaseException:
        database.close()
        raise
    return database


def _read(database: Any) -> Iterator[Any]:
    with closing(database):
        for (content,) in database.execute("SELECT content FROM item ORDER BY key"):
            yield pickle.loads(content)  # noqa: S301  written above
