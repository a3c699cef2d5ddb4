"""The requests of each storage method, for threads and coroutines.

An upload is one request, or a multipart upload. Large uploads wait for their turn before the
content is read. Content of unknown size is read up to the limit of one request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from obstore import exceptions
from uuid_utils import uuid7

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.storage.common.attributes import (
    Names,
    attributes_from,
    checked_headers,
    from_headers,
    header_value,
    meta_data_of,
    refuse_extra,
    to_headers,
)
from sqlalchemy_file.storage.common.calling import Translator
from sqlalchemy_file.storage.common.keys import is_listed, is_valid
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import PART_SIZE, Range, is_in_memory, size_left
from sqlalchemy_file.storage.obstore.client import READ_SIZE, Requests, Source
from sqlalchemy_file.storage.obstore.errors import (
    has_unreadable_headers,
    is_unknown_there,
    knows_no_ranges,
)
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE, current_limits

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta

_log = logging.getLogger("sqlalchemy_file.storage")

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


async def open_range(
    requests: Requests, key: str, start: int, end: int | None
) -> tuple[GetResult, Range] | None:
    """Return an answer, and the range of its body to read; None for an empty range."""
    if end is not None and end <= start:
        return None
    if not start and end is None:
        return await requests.request("get", key), Range()
    span = {"offset": start} if end is None else (start, end)
    try:
        return await requests.request("get", key, options={"range": span}), Range()
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise
    except exceptions.BaseError as error:
        # Stores report a range after the end differently; in an empty object each range is one.
        found = await look(requests, key)
        if found.meta["size"] <= start:
            return None
        if not knows_no_ranges(error):
            raise
        return await requests.request("get", key), Range(start, end)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One content and its key. ``refuse_taken`` raises `ObjectExistsError`."""

    requests: Requests
    key: str
    content: BinaryIO
    attributes: Attributes
    translator: Translator
    exclusive: bool
    refuse_taken: Callable[[str], object]
    names: Names | None
    """The names of metadata that the store takes; None if it keeps no attributes."""
    has_conditions: bool
    """Whether all servers of this kind can create and rename under the condition of a free key.

    Some S3 servers ignore such conditions or do not know them, and none renames.
    """

    async def put(self) -> ObjectInfo:
        refuse_extra(self.attributes, self.key)
        options = self._options()
        size, begun = size_left(self.content), []
        if size is None or size <= PART_SIZE:
            first = READ_SIZE if size is None else PART_SIZE + 1
            begun = [await self._read(first)]
            if len(begun[0]) < first:
                return await self._small(begun, options)
        async with self.requests.turn():
            if size is None:
                begun.append(await self._read(PART_SIZE + 1 - READ_SIZE))
                if sum(map(len, begun)) <= PART_SIZE:
                    return await self._small(begun, options)
            return await self._large(begun, options)

    async def _read(self, size: int) -> bytes:
        read = partial(self.translator.read_full, self.content, size)
        return await self.requests.read(read, is_in_memory=is_in_memory(self.content))

    def _options(self) -> dict[str, Any]:
        if self.names is None:
            return {}
        return {"attributes": _sent(self.attributes, self.key, self.names)}

    @property
    def _looks(self) -> bool:
        """Whether the key is looked up, because there is no condition."""
        return self.exclusive and not self.has_conditions

    async def _look(self) -> None:
        if not self._looks:
            return
        try:
            await self.requests.request("get", self.key, options={"head": True})
        except FileNotFoundError:
            return
        except exceptions.BaseError as error:
            if not has_unreadable_headers(error):
                raise
        raise ObjectExistsError(key=self.key)

    async def _small(self, begun: list[bytes], options: dict[str, Any]) -> ObjectInfo:
        await self._look()
        data = b"".join(begun)
        put = partial(self.requests.request, "put", self.key, data, **options)
        if not self.exclusive:  # nothing is deleted: the object may be another writer's
            return self._info(await put(mode="overwrite"), len(data))
        try:
            answer = await put(mode="create", undo=self._deletion)
        except Exception as error:
            if self.has_conditions or not is_unknown_there(error):
                raise
            answer = await put(mode="overwrite")
        return self._info(answer, len(data))

    async def _large(self, begun: list[bytes], options: dict[str, Any]) -> ObjectInfo:
        await self._look()
        at_end = partial(self.refuse_taken, self.key) if self._looks else None
        source = Source(begun, self.content, self.translator, at_end)
        begun.clear()  # sent chunks are not kept in memory
        options = {**options, **_parts(), "source": source}
        if self.exclusive and self.has_conditions:
            await self._create_by_renaming(options)
            return self._info(None, source.size)  # not all stores keep the etag when they rename
        undo = self._deletion if self._looks else None
        answer = await self.requests.request("put", self.key, undo=undo, **options)
        return self._info(answer, source.size)

    async def _create_by_renaming(self, options: dict[str, Any]) -> None:
        # obstore knows no condition for multipart uploads. After a crash the sweep deletes the
        # draft: its name is one that this library generates.
        folder, slash, _ = self.key.rpartition("/")
        draft = f"{folder}{slash}{uuid7()}"
        try:
            await self.requests.request("put", draft, **options)
            await self.requests.request(
                "rename", draft, self.key, overwrite=False, undo=self._deletion
            )
        except GeneratorExit:
            raise
        except BaseException:
            await self._take_back(draft)
            raise

    async def _take_back(self, draft: str) -> None:
        # The caller is to see the first error.
        try:
            await self.requests.request("delete", [draft])
        except FileNotFoundError:
            pass
        except Exception:  # noqa: BLE001
            _log.warning("the incomplete object %r stays in its storage", draft, exc_info=True)

    @property
    def _deletion(self) -> tuple[str, list[str]]:
        return "delete", [self.key]

    def _info(self, answer: Any, size: int) -> ObjectInfo:
        etag = None if answer is None else etag_of(answer["e_tag"])
        kept = Attributes() if self.names is None else self.attributes
        return ObjectInfo(key=self.key, size=size, etag=etag, attributes=kept)


def _parts() -> dict[str, Any]:
    limits = current_limits()
    at_once = min(limits.parts, limits.requests or limits.parts)
    return {"use_multipart": True, "chunk_size": PART_SIZE, "max_concurrency": at_once}


def _sent(attributes: Attributes, key: str, names: Names) -> dict[str, str]:
    own = {name.title(): value for name, value in checked_headers(attributes.headers, key).items()}
    unknown = sorted(own.keys() - set(HEADERS))
    if unknown:
        raise StorageError(
            f"obstore sends no header {unknown[0]!r}; it knows {', '.join(HEADERS)}", key=key
        )
    content_type = attributes.content_type or own.get("Content-Type") or UNKNOWN_TYPE
    return {
        **to_headers(meta_data_of(attributes), names),
        **own,
        "Content-Type": header_value(content_type),
    }
