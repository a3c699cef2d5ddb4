"""A limit to the time that a storage may take for one answer or chunk.

Not every storage has timeouts of its own. One that hangs must not keep what others wait for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy_file.exceptions import StorageError

T = TypeVar("T")

Ranges = Callable[[int, int], AsyncGenerator[bytes, None]]
"""Yields the bytes of an object from one position to another."""

TIMEOUT = 60.0
"""Seconds."""

MOST_HANGING = 8
"""Calls of one storage that may hang before requests are refused. Each may keep a thread."""

_hanging: defaultdict[str, set[asyncio.Future[Any]]] = defaultdict(set)
"""Calls that were given up and have not ended yet, by the names of storages."""


async def in_time(storage_name: str, key: str, call: Awaitable[T]) -> T:
    """Return what a storage returns, or raise `StorageError` after `TIMEOUT` seconds.

    The call is then cancelled and left alone, because a thread cannot be stopped.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait((task,), timeout=TIMEOUT)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,))
        raise
    if task.done():
        return task.result()
    task.cancel()
    _hanging[storage_name].add(task)
    task.add_done_callback(lambda task: _ended(storage_name, task))
    raise _late(storage_name, key)


def refuse_if_hanging(storage_name: str, key: str) -> None:
    """Raise `StorageError` for a storage with many calls that hang."""
    if len(_hanging[storage_name]) >= MOST_HANGING:
        raise _late(storage_name, key)


async def _in_time_or_cancelled(storage_name: str, key: str, call: Awaitable[T]) -> T:
    """Do what `in_time` does, without a task, for a call that ends when it is cancelled."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await call
    except TimeoutError:
        late = _late(storage_name, key)
    raise late


async def chunks_in_time(
    storage_name: str, key: str, ranges: Ranges, start: int, end: int, *, can_be_cancelled: bool
) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of a range, each `in_time`, and close the generator."""
    chunks = ranges(start, end)
    waiting = _in_time_or_cancelled if can_be_cancelled else in_time
    while chunk := await waiting(storage_name, key, _next(chunks)):
        start += len(chunk)
        try:
            yield chunk
        except BaseException:  # a reader that leaves early
            await chunks.aclose()
            raise
        del chunk  # it is not kept while the next one is waited for
        if start >= end:
            break
    await chunks.aclose()


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(chunks, b"")


def _late(storage_name: str, key: str) -> StorageError:
    error = StorageError(
        f"the storage did not answer within {TIMEOUT:.0f} seconds", storage=storage_name, key=key
    )
    error.__cause__ = TimeoutError()  # which makes it a 504
    return error


def _ended(storage_name: str, task: asyncio.Future[Any]) -> None:
    _hanging[storage_name].discard(task)
    if not task.cancelled():
        task.exception()  # looked at, else asyncio complains
