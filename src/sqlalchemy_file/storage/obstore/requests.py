"""The requests of each storage method, decided once for threads and coroutines.

A method is a generator: it yields requests, receives their results or exceptions, and returns the
result of the method. Its driver only calls or awaits.
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

from sqlalchemy_file.exceptions import InvalidKeyError
from sqlalchemy_file.storage.common.attributes import attributes_from, from_headers
from sqlalchemy_file.storage.common.errors import Translator
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo, check_key
from sqlalchemy_file.storage.common.reserved import is_listed
from sqlalchemy_file.storage.common.streams import Range
from sqlalchemy_file.storage.obstore.errors import knows_no_ranges
from sqlalchemy_file.transfer import in_thread

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta

T = TypeVar("T")

READ_SIZE = 1024 * 1024
ASYNC_READ_SIZE = 256 * 1024  # hundreds of coroutines may each hold one or two of these
"""How many bytes are read at a time, in either direction; smaller ones cost speed."""

_MANY = 1_000  # objects in one request to delete
HEADERS = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Type",
    "Storage-Class",
)
HEAD = {"options": {"head": True}}


class Source:
    """A large content, which obstore asks for in chunks.

    Its runtime is at work in the thread that asks. The content is read in another one, for it may
    be an object of obstore itself, which cannot be read inside that runtime.
    """

    def __init__(
        self,
        begun: Sequence[bytes],
        content: BinaryIO,
        translator: Translator,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        self._begun = list(begun)
        self._content = content
        self._translator = translator
        self._at_end = at_end
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
        chunk = (
            self._begun.pop(0) if self._begun else self._translator.read(self._content, READ_SIZE)
        )
        self.size += len(chunk)
        if not chunk and self._at_end is not None:
            self._at_end()
        return chunk

    @property
    def looks(self) -> bool:
        """Whether a request follows when the content has been read."""
        return self._at_end is not None

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
    def in_turn(self) -> bool:
        """Whether only a few of its kind are to be in progress at the same time."""
        return self.source is not None

    @property
    def once(self) -> bool:
        """Whether it is a conditional create, which must not be retried."""
        return self.options.get("mode") == "create" or self.options.get("overwrite") is False

    @property
    def changes(self) -> bool:
        """Whether something may be left half done when nobody waits for the end."""
        return self.verb != "get"


@dataclass(frozen=True, slots=True)
class Reading:
    """A function that reads the content, which may take its time unless that ``is_at_hand``."""

    read: Callable[[], Any]
    in_turn: bool = False
    is_at_hand: bool = False


Steps: TypeAlias = Generator[Request | Reading, Any, T]


def describing(key: str) -> Steps[ObjectInfo]:
    found = yield from looking(key)
    meta = found.meta
    return ObjectInfo(
        key=key,
        size=meta["size"],
        last_modified=meta["last_modified"],
        etag=etag_of(meta["e_tag"]),
        attributes=_received(found.attributes),
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer whose body is still to be read, and the range of that body that is wanted."""

    answer: GetResult
    wanted: Range


def opening(key: str, start: int, end: int | None) -> Steps[Opened | None]:
    """Begin to read; None where the range holds no bytes."""
    if end is not None and end <= start:
        return None
    if not start and end is None:
        whole: GetResult = yield Request("get", (key,))
        return Opened(whole, Range())
    span = {"offset": start} if end is None else (start, end)
    try:
        part: GetResult = yield Request("get", (key,), {"options": {"range": span}})
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise
    except exceptions.BaseError as error:
        # Stores have no common word for a range beyond the end, as any is in an empty object.
        found = yield from looking(key)
        if found.meta["size"] <= start:
            return None
        if not knows_no_ranges(error):
            raise
        whole = yield Request("get", (key,))
        return Opened(whole, Range(start, end))
    return Opened(part, Range())


def deleting(
    keys: Sequence[str], failures: dict[str, Exception], hopeless: Callable[[Exception], bool]
) -> Steps[None]:
    """Delete objects; ``hopeless`` tells whether all further ones would fail, too."""
    for begin in range(0, len(keys), _MANY):
        batch = keys[begin : begin + _MANY]
        try:
            yield Request("delete", (batch,))
        except Exception as error:  # noqa: BLE001  a store names one culprit at most
            if hopeless(error):
                failures.update(dict.fromkeys(keys[begin:], error))
                return
            yield from _deleting_each(batch, failures, hopeless)


def _deleting_each(
    keys: Sequence[str], failures: dict[str, Exception], hopeless: Callable[[Exception], bool]
) -> Steps[None]:
    for index, key in enumerate(keys):
        try:
            yield Request("delete", ([key],))
        except FileNotFoundError:
            pass
        except Exception as error:  # noqa: BLE001  one failure must not spare the others
            if hopeless(error):
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
        """Yield the wanted objects of a page, in order."""
        entries = page if self.is_sorted else sorted(page, key=lambda entry: entry["path"])
        for entry in entries:
            key = entry["path"]
            if key.startswith(self._prefix):
                if key > self._start_after and is_listed(key, self._prefix):
                    yield _listed(entry)
            elif key > self._prefix:
                self.is_over = True
                return


def looking(key: str) -> Steps[GetResult]:
    try:
        found: GetResult = yield Request("get", (key,), HEAD)
    except FileNotFoundError:
        # The answer to HEAD cannot say what is missing: the object, or the whole bucket.
        found = yield Request("get", (key,))
    return found


def _received(attributes: Mapping[str, str]) -> Attributes:
    kept = {name: value for name, value in attributes.items() if name not in HEADERS}
    declared = from_headers({"type": attributes.get("Content-Type", "")})["type"]
    return attributes_from(from_headers(kept), declared or None)


def _listed(entry: ObjectMeta) -> ObjectInfo:
    return ObjectInfo(
        key=entry["path"],
        size=entry["size"],
        last_modified=entry["last_modified"],
        etag=etag_of(entry["e_tag"]),
    )


def _is_key(key: str) -> bool:
    try:
        check_key(key)
    except InvalidKeyError:
        return False
    return True


def etag_of(value: str | None) -> str | None:
    return value.strip('"') or None if value else None
