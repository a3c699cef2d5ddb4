"""Calls of storages and of their libraries: options, retries, errors, threads and coroutines.

There is one implementation for threads and for coroutines: a coroutine that awaits only the methods
of `InThread` or `InLoop`. With those of `InThread` it never suspends, and `run` calls it like a
function.
"""

from __future__ import annotations

import random
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from functools import cache, partial
from time import monotonic, sleep
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias, TypeVar, cast

from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidKeyError,
    InvalidStorageError,
    ObjectNotFoundError,
    SQLAlchemyFileError,
    StorageError,
)
from sqlalchemy_file.storage.common.protocol import AsyncStorage, ObjectInfo, Storage
from sqlalchemy_file.storage.common.streams import as_bytes
from sqlalchemy_file.support.defaults import CONCURRENCY
from sqlalchemy_file.transfer import in_thread

T = TypeVar("T")


def concurrency_of(storage: Storage) -> int:
    """Return how many requests to send to a storage at the same time."""
    chosen: int = getattr(storage, "concurrency", CONCURRENCY)
    return chosen


def is_native(storage: Storage) -> bool:
    """Return True if a storage has native coroutines; others are called in worker threads."""
    return _has_coroutines(type(storage))


@cache
def _has_coroutines(kind: type) -> bool:
    return issubclass(kind, AsyncStorage)


class InThread:
    """Calls storages from a thread."""

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function that may block."""
        return function()

    async def call(self, storage: Any, method: str, *arguments: Any, **options: Any) -> Any:
        return getattr(storage, method)(*arguments, **options)

    def items(self, storage: Any, method: str, *arguments: Any) -> AsyncGenerator[Any]:
        return self.iterate(getattr(storage, method)(*arguments))

    def iterate(self, items: Iterator[T]) -> AsyncGenerator[T]:
        """Return an iterator that may block as an asynchronous one, which closes it."""
        return cast("AsyncGenerator[T]", _Steps(items))

    async def begin(self, items: AsyncGenerator[T]) -> Iterator[T]:
        """Wait for the first item; return an iterator of the others, which closes ``items``."""
        begun = iterate(items)
        next(begun, None)
        return begun


class _Steps(AsyncIterator[T]):
    """An iterator as an asynchronous one that never suspends.

    It is no generator: an event loop that runs in this thread would close those that are dropped,
    and later.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    async def __anext__(self) -> T:
        for item in self._items:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if close := getattr(self._items, "close", None):
            close()


class InLoop:
    """Calls storages from coroutines: their native coroutines, or in worker threads."""

    async def run(self, function: Callable[[], T]) -> T:
        return await in_thread(function)

    async def call(self, storage: Any, method: str, *arguments: Any, **options: Any) -> Any:
        if is_native(storage):
            return await getattr(storage, f"a{method}")(*arguments, **options)
        return await in_thread(partial(getattr(storage, method), *arguments, **options))

    def items(self, storage: Any, method: str, *arguments: Any) -> AsyncGenerator[Any]:
        if not is_native(storage):
            return self.iterate(getattr(storage, method)(*arguments))
        items: AsyncGenerator[Any] = getattr(storage, f"a{method}")(*arguments)
        return items if hasattr(items, "aclose") else _generated(items)

    async def iterate(self, items: Iterator[T]) -> AsyncGenerator[T]:
        try:
            while (item := await in_thread(partial(next, items, None))) is not None:
                yield item
                del item  # not kept in memory while the next one is read
        except BaseException:  # a reader that stops early: close the generator's resources
            if close := getattr(items, "close", None):
                await in_thread(close)
            raise

    async def begin(self, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        await anext(items, None)
        return items


async def _generated(items: AsyncIterator[T]) -> AsyncGenerator[T]:
    async for item in items:
        yield item
        del item


Calling: TypeAlias = InThread | InLoop
IN_THREAD = InThread()
IN_LOOP = InLoop()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine for threads has suspended")


def iterate(items: AsyncGenerator[T]) -> Iterator[T]:
    """Yield the items of an asynchronous generator that never suspends."""
    try:
        while (item := run(anext(items, None))) is not None:
            yield item
            del item
    finally:
        run(items.aclose())


async def verify(
    calling: Calling, storage: Storage, info: ObjectInfo, size: int | None
) -> ObjectInfo:
    """Return the facts about a new object; raise `StorageError` if it is incomplete.

    ``info`` was returned by `put`, which was given ``size`` bytes (None if unknown). A storage
    whose ``verify`` is true is asked again.
    """
    if getattr(storage, "verify", False):
        try:
            info = await calling.call(storage, "stat", info.key)
        except ObjectNotFoundError as error:
            raise StorageError(
                "the storage said that it had stored this object, and does not have it",
                key=info.key,
            ) from error
    if size is not None and info.size != size:
        raise StorageError(
            f"the storage was given {size} bytes and has {info.size} of them: try again, and look "
            "at its free space and its log",
            key=info.key,
        )
    return info


LEAST = {"concurrency": 1, "max_retries": 0}


def checked_number(name: str, value: Any) -> int:
    """Return an option of `LEAST`, or raise `InvalidStorageError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < LEAST[name]:
        raise InvalidStorageError(
            f"{name!r} is a whole number from {LEAST[name]} on, not {value!r}"
        )
    return value


def checked_verify(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidStorageError(f"'verify' is True or False, not {value!r}")
    return value


MAX_RETRIES = 4
WITHIN = 60.0
"""Seconds after the first request within which retries are sent."""

OVERLOADED = frozenset({429, 500, 502, 503, 504})
"""Statuses after which a request is retried."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def pauses(most: int, *, within: float = WITHIN) -> Iterator[float]:
    """Yield the seconds to wait before each retry: exponential backoff with jitter."""
    end = monotonic() + within
    for attempt in range(most):
        longest = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        pause = longest * random.uniform(0.5, 1)  # noqa: S311  nobody gains by guessing it
        if monotonic() + pause > end:
            return
        yield pause


def retrying(action: Callable[[], T], is_transient: Callable[[Exception], bool], most: int) -> T:
    """Retry an idempotent action after errors that are transient."""
    waits = pauses(most)
    while True:
        try:
            return action()
        except Exception as error:
            pause = next(waits, None) if is_transient(error) else None
            if pause is None:
                raise
        sleep(pause)


_QUERY = re.compile(r"\?[^\s,)\"']*")
_LOGIN = re.compile(r"://[^\s/@]*@")

Translation = Callable[[Exception, str | None], StorageError | None]
"""Returns our error for a foreign one about a key, or None to raise the foreign one."""


class Translator:
    """A context manager that translates a library's exceptions into `StorageError`.

    Errors of the content of a `put` belong to the caller. They pass through unchanged if it is read
    by `Translator.read`.
    """

    __slots__ = ("_from_content", "_key", "_translation")

    def __init__(self, translation: Translation, key: str | None = None) -> None:
        self._translation = translation
        self._key = key
        self._from_content: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or error is self._from_content:
            return
        ours = translated(error, self._translation, self._key)
        if ours is not error:
            raise ours from error

    def read(self, content: BinaryIO, size: int) -> bytes:
        """Return at most ``size`` bytes of ``content``, none at its end."""
        try:
            chunk = content.read(size)
            return chunk if type(chunk) is bytes else as_bytes(chunk)
        except BaseException as error:
            self._from_content = error
            raise

    def read_full(self, content: BinaryIO, size: int) -> bytes:
        """Return exactly ``size`` bytes of ``content``, fewer only at its end."""
        chunk = self.read(content, size)
        if len(chunk) == size or not chunk:
            return chunk
        chunks, missing = [chunk], size - len(chunk)
        while missing and (chunk := self.read(content, missing)):
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)


def translated(error: Exception, translation: Translation, key: str | None) -> Exception:
    """Return our error for a foreign one, with its cause; others are returned unchanged."""
    ours = None if isinstance(error, SQLAlchemyFileError) else translation(error, key)
    if ours is None:
        return error
    ours.__cause__ = error
    return ours


def redacted(text: str) -> str:
    """Return a text without the queries and logins of URLs, which may be secrets."""
    return _LOGIN.sub("://", _QUERY.sub("", text))


def sort_out(
    keys: Sequence[str], check: Callable[[str], str]
) -> tuple[list[str], dict[str, Exception]]:
    """Return the valid keys, and the errors of the others: one bad key does not stop a deletion."""
    valid: list[str] = []
    failures: dict[str, Exception] = {}
    for key in keys:
        try:
            valid.append(check(key))
        except InvalidKeyError as error:
            failures[str(key)] = error
    return valid, failures


def raise_failures(failures: Mapping[str, Exception], translation: Translation) -> None:
    if failures:
        raise DeletionError(
            {key: translated(error, translation, key) for key, error in failures.items()}
        )
