"""Share an event loop: take turns, and limit the time that a storage may take for one answer.

Two hundred downloads that are ready would each do a little, and the other tasks of the loop would
wait for all. Not every storage has timeouts of its own: one that hangs must not keep what others
wait for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from sqlalchemy_file.exceptions import StorageError

T = TypeVar("T")

MOST = 8
"""Pieces of work between two rounds of the loop; each takes less than half a millisecond."""


class Turns:
    """Lets a few tasks work in each round of one event loop; the others queue."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = MOST
        self._queue: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return when it is this task's turn; that is at once while few have work to do."""
        if self._left == MOST:
            self._loop.call_soon(self._next_round)
        if self._left > 0:
            self._left -= 1
            return
        waiting = self._loop.create_future()
        self._queue.append(waiting)
        await waiting

    def _next_round(self) -> None:
        self._left = MOST
        while self._queue and self._left > 0:
            waiting = self._queue.popleft()
            if not waiting.done():  # it may have been cancelled
                waiting.set_result(None)
                self._left -= 1
        if self._left < MOST:
            self._loop.call_soon(self._next_round)


class OfLoop(Generic[T]):
    """One object for each event loop, made at its first use."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._known: dict[asyncio.AbstractEventLoop, T] = {}

    def __call__(self) -> T:
        """Return the object of the running event loop."""
        loop = asyncio.get_running_loop()
        found = self._known.get(loop)
        if found is None:
            for known in list(self._known):
                if known.is_closed():
                    self._known.pop(known, None)
            found = self._known[loop] = self._make()
        return found


turns: OfLoop[Turns] = OfLoop(Turns)
"""Returns the turns of the running event loop."""

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
        try:
            return task.result()
        finally:
            del task  # else an error would keep itself, through its traceback
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
