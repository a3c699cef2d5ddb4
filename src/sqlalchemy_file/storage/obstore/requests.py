"""The requests of each storage method, for threads and coroutines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from obstore import exceptions

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.attributes import attributes_from, from_headers
from sqlalchemy_file.storage.common.keys import is_listed, is_valid
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import Range
from sqlalchemy_file.storage.obstore.client import Requests
from sqlalchemy_file.storage.obstore.errors import knows_no_ranges

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta

_MANY = 1_000  # objects in one request to delete, and in one page of a listing
HEADERS = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Type",
    "Storage-Class",
)


async def look(requests: Requests, key: str) -> GetResult:
    """Return the answer to HEAD. `FileNotFoundError` says whether object or bucket is missing."""
    try:
        found: GetResult = await requests.request("get", key, options={"head": True})
    except FileNotFoundError:
        found = await requests.request("get", key)  # the answer to HEAD does not say that
    return found


async def describe(requests: Requests, key: str) -> ObjectInfo:
    found = await look(requests, key)
    kept = {name: value for name, value in found.attributes.items() if name not in HEADERS}
    declared = str(found.attributes.get("Content-Type", ""))
    return _info(found.meta, received(kept, declared), key)


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer, and the range of its body to read."""

    answer: GetResult
    range: Range


class Version:
    """The version of an object that the first answer was of, by its entity tag, and its size."""

    def __init__(self, etag: str | None, size: int | None = None) -> None:
        self._etag = etag
        self._size = size

    def require(self, etag: str | None, size: int | None, key: str) -> None:
        """Raise `StorageError` if an answer with this tag and size is of another version."""
        etag = etag_of(etag)
        if None not in (size, self._size) and size != self._size:
            message = f"the object has {size} bytes, and not {self._size}: it was replaced"
            raise StorageError(message, key=key)
        if self._etag is not None and etag != self._etag:
            raise StorageError("the object was replaced while it was read", key=key)
        self._etag = etag


async def open_range(requests: Requests, key: str, start: int, end: int | None) -> Opened | None:
    """Begin to read, or return None for an empty range."""
    if end is not None and end <= start:
        return None
    if not start and end is None:
        return Opened(await requests.request("get", key), Range())
    span = {"offset": start} if end is None else (start, end)
    try:
        return Opened(await requests.request("get", key, options={"range": span}), Range())
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise
    except exceptions.BaseError as error:
        # Stores report a range after the end differently; in an empty object each range is one.
        found = await look(requests, key)
        if found.meta["size"] <= start:
            return None
        if not knows_no_ranges(error):
            raise
        return Opened(await requests.request("get", key), Range(start, end))


async def delete(
    requests: Requests,
    keys: Sequence[str],
    failures: dict[str, Exception],
    is_hopeless: Callable[[Exception], bool],
    many: int = _MANY,
) -> bool:
    """Delete objects, ``many`` by one request; return False if all others would fail."""
    for begin in range(0, len(keys), many):
        batch = keys[begin : begin + many]
        try:
            await requests.request("delete", batch)
        except Exception as error:  # noqa: BLE001  one failure must not spare the others
            if is_hopeless(error):
                failures.update(dict.fromkeys(keys[begin:], error))
                return False
            if many > 1:  # a store reports one key at most
                if not await delete(requests, batch, failures, is_hopeless, 1):
                    failures.update(dict.fromkeys(keys[begin + many :], error))
                    return False
            elif not isinstance(error, FileNotFoundError):
                failures.update(dict.fromkeys(batch, error))
    return True


class Listing:
    """The objects to list; obstore's own prefixes match whole names only."""

    def __init__(self, prefix: str, start_after: str | None, *, is_sorted: bool) -> None:
        self._prefix = prefix
        self._start_after = start_after or ""
        self._is_sorted = is_sorted
        self._asked = self._last = self._start_after
        above, slash, _ = prefix.rpartition("/")
        self._folder = above or None
        self.is_over: bool = bool(slash) and not is_valid(above)

    def begin(self) -> dict[str, Any]:
        """Return the arguments to list all entries after the last one."""
        self._asked = self._last
        offset = self._asked or None if self._is_sorted else None
        return {"prefix": self._folder, "offset": offset, "chunk_size": _MANY}

    @property
    def has_more(self) -> bool:
        """Whether there may be more entries."""
        return self._last > self._asked

    def of(self, page: Iterable[ObjectMeta]) -> Iterator[ObjectInfo]:
        """Yield the wanted objects of a page, in order."""
        entries = page if self._is_sorted else sorted(page, key=lambda entry: entry["path"])
        for entry in entries:
            key = self._last = entry["path"]
            if self._is_sorted and key <= self._asked:
                raise OrderError(f"the store listed {key!r}, which is not behind {self._asked!r}")
            if key.startswith(self._prefix):
                if key > self._start_after and is_listed(key, self._prefix):
                    yield _info(entry)
            elif key > self._prefix:
                self.is_over = True
                return


class OrderError(Exception):
    """A server has listed a key that is not after the requested one."""


def received(meta_data: Mapping[str, Any], content_type: str) -> Attributes:
    declared = from_headers({"type": content_type})["type"]
    return attributes_from(from_headers(meta_data), declared or None)


def _info(meta: ObjectMeta, attributes: Attributes | None = None, key: str = "") -> ObjectInfo:
    return ObjectInfo(
        key=key or meta["path"],
        size=meta["size"],
        last_modified=meta["last_modified"],
        etag=etag_of(meta["e_tag"]),
        attributes=attributes or Attributes(),
    )


def etag_of(value: str | None) -> str | None:
    return value.strip('"') or None if value else None
