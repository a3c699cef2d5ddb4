"""One implementation for threads and for coroutines.

It is a coroutine that awaits only the methods of `InThread` or `InLoop`. With those of `InThread`
it never suspends, and `run` calls it like a function.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar

from sqlalchemy_file.exceptions import ObjectNotFoundError, StorageError
from sqlalchemy_file.storage.common.protocol import AsyncStorage, ObjectInfo, Storage
from sqlalchemy_file.support.limits import CONCURRENCY
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
        """Call one of the methods of `Storage`."""
        return getattr(storage, method)(*arguments, **options)

    def iterate(self, items: Iterator[T]) -> AsyncIterator[T]:
        """Return an iterator that may block as an asynchronous one."""
        return Steps(items)


class InLoop:
    """Calls storages from coroutines: their native coroutines, or in worker threads."""

    async def run(self, function: Callable[[], T]) -> T:
        return await in_thread(function)

    async def call(self, storage: Any, method: str, *arguments: Any, **options: Any) -> Any:
        if is_native(storage):
            return await getattr(storage, f"a{method}")(*arguments, **options)
        return await in_thread(partial(getattr(storage, method), *arguments, **options))

    def items(self, storage: Any, method: str, *arguments: Any) -> AsyncIterator[Any]:
        items: AsyncIterator[Any] = (
            getattr(storage, f"a{method}")(*arguments)
            if is_native(storage)
            else self.iterate(getattr(storage, method)(*arguments))
        )
        return items

    async def iterate(self, items: Iterator[T]) -> AsyncGenerator[T]:
        try:
            while (item := await in_thread(partial(next, items, None))) is not None:
                yield item
                del item  # not kept in memory while the next one is read
        except BaseException:  # a reader that stops early: close the generator's resources
            if close := getattr(items, "close", None):
                await in_thread(close)
            raise


Calling: TypeAlias = InThread | InLoop
IN_THREAD = InThread()
IN_LOOP = InLoop()


class Steps(AsyncIterator[T]):
    """An iterator as an asynchronous one that never suspends."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    async def __anext__(self) -> T:
        for item in self._items:
            return item
        raise StopAsyncIteration


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
        while True:
            try:
                item = run(anext(items))
            except StopAsyncIteration:
                return
            yield item
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
