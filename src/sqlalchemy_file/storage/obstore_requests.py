"""What each verb asks of an obstore store, decided once for threads and coroutines.

A verb is a generator: it yields what is to be done, is sent the answer or thrown the error, and
returns the verb's result. Whoever drives it calls or awaits; nothing is decided there.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar

from obstore import exceptions

from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    ObjectExistsError,
    StorageError,
)
from sqlalchemy_file.storage.attributes import (
    attributes_from,
    checked_headers,
    from_headers,
    header_value,
    meta_data_of,
    to_headers,
)
from sqlalchemy_file.storage.base import Attributes, ObjectInfo, check_key
from sqlalchemy_file.storage.border import Border
from sqlalchemy_file.storage.obstore_errors import is_hopeless
from sqlalchemy_file.transfer import in_thread

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta

T = TypeVar("T")

READ_SIZE = 1024 * 1024
"""How many bytes are read at a time, in either direction; smaller ones cost speed."""

PART_SIZE = 5 * 1024 * 1024
"""Smaller contents are stored in one request; larger ones in parts of this size, S3's least."""

PARTS_AT_ONCE = 4  # a dozen is a tenth faster and takes 40 MB more

_MANY = 1_000  # objects in one request to delete
_UNKNOWN_TYPE = "application/octet-stream"
_HEADERS = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Type",
    "Storage-Class",
)
_IN_PARTS = {"use_multipart": True, "chunk_size": PART_SIZE, "max_concurrency": PARTS_AT_ONCE}
_HEAD = {"options": {"head": True}}


class Source:
    """A large content, which obstore asks for in chunks.

    Its runtime is at work in the thread that asks. The content is read in another one, for it may
    be an object of obstore itself, which cannot be read inside that runtime.
    """

    def __init__(self, begun: Sequence[bytes], content: BinaryIO, border: Border) -> None:
        self._begun = list(begun)
        self._content = content
        self._border = border
        self._stopped = False
        self.size: int = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, for a thread that waits."""
        context = copy_context()
        with ThreadPoolExecutor(1, "sqlalchemy-file-source") as reader:
            while chunk := reader.submit(context.run, self._read).result():
                yield chunk

    async def achunks(self) -> AsyncIterator[bytes]:
        """Yield the content, for an event loop that goes on meanwhile."""
        while chunk := await in_thread(self._read):
            yield chunk

    def _read(self) -> bytes:
        if self._stopped:
            raise StoppedError
        chunk = self._begun.pop(0) if self._begun else self._border.read(self._content, READ_SIZE)
        self.size += len(chunk)
        return chunk

    def stop(self) -> None:
        """Fail at the next chunk, upon which obstore takes back the parts it has sent."""
        self._stopped = True


class StoppedError(Exception):
    """The upload was cancelled."""


@dataclass(frozen=True, slots=True)
class Request:
    """A method of the store to call, or its coroutine to await; a source is the last argument."""

    verb: str
    arguments: Sequence[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None
    undo: Request | None = None
    """What takes it back when it was cancelled, and had succeeded all the same."""

    @property
    def changes(self) -> bool:
        """Whether something may be left half done when nobody waits for the end."""
        return self.verb != "get"


@dataclass(frozen=True, slots=True)
class Reading:
    """A function that reads the content, which may take its time."""

    read: Callable[[], list[bytes]]


Steps: TypeAlias = Generator[Request | Reading, Any, T]


def putting(
    key: str,
    content: BinaryIO,
    attributes: Attributes,
    border: Border,
    *,
    exclusive: bool,
    keeps_attributes: bool,
) -> Steps[ObjectInfo]:
    options: dict[str, Any] = {}
    # Only what is exclusive is known to be nobody else's.
    undo = Request("delete", ([key],)) if exclusive else None
    if keeps_attributes:
        options["attributes"] = _sent(attributes, key)
    begun = yield Reading(lambda: _beginning(content, border))
    if len(begun) < 2:
        data = b"".join(begun)
        mode = "create" if exclusive else "overwrite"
        answer = yield Request("put", (key, data), {**options, "mode": mode}, undo=undo)
        size = len(data)
    else:
        if exclusive:
            yield from _refuse_taken(key)
        source = Source(begun, content, border)
        del begun  # each chunk is let go once it is sent
        answer = yield Request("put", (key,), {**options, **_IN_PARTS}, source, undo)
        size = source.size
    kept = attributes if keeps_attributes else Attributes()
    return ObjectInfo(key=key, size=size, etag=_etag(answer["e_tag"]), attributes=kept)


def describing(key: str) -> Steps[ObjectInfo]:
    found = yield from _looking(key)
    meta = found.meta
    return ObjectInfo(
        key=key,
        size=meta["size"],
        last_modified=meta["last_modified"],
        etag=_etag(meta["e_tag"]),
        attributes=_received(found.attributes),
    )


def opening(key: str, start: int, end: int | None) -> Steps[GetResult | None]:
    """Begin to read; None where the range holds no bytes."""
    if end is not None and end <= start:
        return None
    if not start and end is None:
        whole: GetResult = yield Request("get", (key,))
        return whole
    span = {"offset": start} if end is None else (start, end)
    try:
        part: GetResult = yield Request("get", (key,), {"options": {"range": span}})
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise
    except exceptions.BaseError:
        # Stores have no common word for a range beyond the end, as any is in an empty object.
        found = yield from _looking(key)
        if found.meta["size"] <= start:
            return None
        raise
    return part


def deleting(keys: Sequence[str], failures: dict[str, Exception], *, is_local: bool) -> Steps[None]:
    for begin in range(0, len(keys), _MANY):
        batch = keys[begin : begin + _MANY]
        try:
            yield Request("delete", (batch,))
        except Exception as error:  # noqa: BLE001  a store names one culprit at most
            if is_hopeless(error, is_local=is_local):
                failures.update(dict.fromkeys(keys[begin:], error))
                return
            yield from _deleting_each(batch, failures, is_local=is_local)


def _deleting_each(
    keys: Sequence[str], failures: dict[str, Exception], *, is_local: bool
) -> Steps[None]:
    for index, key in enumerate(keys):
        try:
            yield Request("delete", ([key],))
        except FileNotFoundError:
            pass
        except Exception as error:  # noqa: BLE001  one failure must not spare the others
            if is_hopeless(error, is_local=is_local):
                failures.update(dict.fromkeys(keys[index:], error))
                return
            failures[key] = error


def copying(key: str, new_key: str) -> Steps[ObjectInfo]:
    if new_key != key:
        yield Request("copy", (key, new_key))
    return (yield from describing(new_key))


class Listing:
    """Which objects to list; obstore's own prefixes match whole names only."""

    def __init__(self, prefix: str, start_after: str | None, *, is_sorted: bool) -> None:
        self._prefix = prefix
        self._start_after = start_after or ""
        self.is_sorted = is_sorted
        self.is_over: bool = False
        above, slash, _ = prefix.rpartition("/")
        self._folder = above or None
        self.is_empty: bool = bool(slash) and not _is_key(above)

    @property
    def arguments(self) -> dict[str, Any]:
        offset = self._start_after or None if self.is_sorted else None
        return {"prefix": self._folder, "offset": offset, "chunk_size": _MANY}

    def of(self, page: Iterable[ObjectMeta]) -> Iterator[ObjectInfo]:
        """Yield what is wanted of a page, in order."""
        entries = page if self.is_sorted else sorted(page, key=lambda entry: entry["path"])
        for entry in entries:
            key = entry["path"]
            if key.startswith(self._prefix):
                if key > self._start_after:
                    yield _listed(entry)
            elif key > self._prefix:
                self.is_over = True
                return


def _looking(key: str) -> Steps[GetResult]:
    try:
        found: GetResult = yield Request("get", (key,), _HEAD)
    except FileNotFoundError:
        # The answer to HEAD cannot say what is missing: the object, or the whole bucket.
        found = yield Request("get", (key,))
    return found


def _refuse_taken(key: str) -> Steps[None]:
    # Uploads in parts are not conditional in obstore: asked first, as well as can be.
    try:
        yield Request("get", (key,), _HEAD)
    except FileNotFoundError:
        return
    raise ObjectExistsError("an object is stored there already", key=key)


def _beginning(content: BinaryIO, border: Border) -> list[bytes]:
    """Return one chunk if that is all of the content, two if it is to be sent in parts."""
    first = border.read_full(content, PART_SIZE)
    second = border.read(content, READ_SIZE) if len(first) == PART_SIZE else b""
    return [first, second] if second else [first]


def _sent(attributes: Attributes, key: str) -> dict[str, str]:
    own = {name.title(): value for name, value in checked_headers(attributes.headers, key).items()}
    unknown = sorted(own.keys() - set(_HEADERS))
    if unknown:
        raise StorageError(
            f"obstore sends no header {unknown[0]!r}; it knows {', '.join(_HEADERS)}", key=key
        )
    content_type = attributes.content_type or own.get("Content-Type") or _UNKNOWN_TYPE
    return {
        **to_headers(meta_data_of(attributes)),
        **own,
        "Content-Type": header_value(content_type),
    }


def _received(attributes: Mapping[str, str]) -> Attributes:
    kept = {name: value for name, value in attributes.items() if name not in _HEADERS}
    return attributes_from(from_headers(kept), attributes.get("Content-Type"))


def _listed(entry: ObjectMeta) -> ObjectInfo:
    return ObjectInfo(
        key=entry["path"],
        size=entry["size"],
        last_modified=entry["last_modified"],
        etag=_etag(entry["e_tag"]),
    )


def _is_key(key: str) -> bool:
    try:
        check_key(key)
    except InvalidKeyError:
        return False
    return True


def _etag(value: str | None) -> str | None:
    return value.strip('"') or None if value else None
