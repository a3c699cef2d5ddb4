"""A budget of memory for the open streams of one storage.

An open stream of a bucket holds about a megabyte, which its HTTP client reads ahead. As long as the
budget is enough for all downloads, nothing happens. Then a download gives its stream back while its
client is slow, or after some megabytes, and goes on with a new one when it is its turn again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from sqlalchemy_file.serving.sending.turns import OfLoop

BUDGET = 64 * 1024 * 1024
"""Enough for 64 large downloads at once. With less, slow clients wait for one another."""

MOST = 1024 * 1024
_LEAST = 64 * 1024
"""What one stream takes of the budget: half of its bytes, within these limits."""

PATIENCE = 0.05
"""Seconds that a client may take for a chunk while others wait."""

_QUANTUM = 8 * 1024 * 1024
"""Bytes after which a download lets others go first."""

Opening = Callable[[int], AsyncGenerator[bytes, None]]
"""Opens a stream at a position."""


async def within_budget(
    storage_name: str, start: int, end: int, opening: Opening
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from ``start`` up to ``end``, or to where they end, within the budget."""
    budget = _budgets()[storage_name]
    while start < end:
        stream = await budget.opened(min(MOST, _LEAST + (end - start) // 2), opening, start)
        try:
            while chunk := await stream.read():
                start += len(chunk)
                yield chunk
                del chunk  # it is not kept while the next one is waited for
        finally:
            await stream.close()
        if stream.is_over:
            return


class _Stream:
    """An open stream, which the budget may take back while its client is slow."""

    def __init__(self, budget: _Budget, size: int, chunks: AsyncGenerator[bytes, None]) -> None:
        self.size = size
        self.is_over = False
        self.idle_since: float | None = None
        self._budget = budget
        self._chunks = chunks
        self._read = 0
        self._closing: asyncio.Task[None] | None = None

    async def read(self) -> bytes:
        """Return the next chunk; an empty one if the stream is over, or has to be given back."""
        self.idle_since = None
        is_turn_over = self._read >= _QUANTUM and self._budget.has_others_waiting
        if self._closing is not None or is_turn_over:
            return b""
        chunk = await anext(self._chunks, b"")
        self.is_over = not chunk
        self._read += len(chunk)
        self.idle_since = asyncio.get_running_loop().time()
        return chunk

    async def close(self) -> None:
        if self._closing is None:
            self.idle_since = None
            await self._close()

    async def take_back(self) -> None:
        """Close the stream, although its download is not over."""
        self.idle_since = None  # nobody takes it back twice
        self._closing = asyncio.create_task(self._close())
        await asyncio.wait([self._closing])  # it goes on if this task is cancelled

    async def _close(self) -> None:
        try:
            with suppress(Exception):  # nobody waits for the bytes of this stream any more
                await self._chunks.aclose()
        finally:
            self._budget.give_back(self)


class _Budget:
    def __init__(self) -> None:
        self._left = BUDGET
        self._streams: set[_Stream] = set()
        self._line = asyncio.Lock()
        self._given_back = asyncio.Event()

    @property
    def has_others_waiting(self) -> bool:
        return self._line.locked()

    async def opened(self, size: int, opening: Opening, start: int) -> _Stream:
        """Return a stream when there is memory for it; who came first is served first."""
        async with self._line:
            while self._left < size:
                await self._make_room()
            self._left -= size
        stream = _Stream(self, size, opening(start))
        self._streams.add(stream)
        return stream

    def give_back(self, stream: _Stream) -> None:
        self._left += stream.size
        self._streams.discard(stream)
        self._given_back.set()

    async def _make_room(self) -> None:
        """Take back the stream whose client has been slow for longest, or wait for one."""
        now = asyncio.get_running_loop().time()
        idle = [(each.idle_since, each) for each in self._streams if each.idle_since is not None]
        since, slowest = min(idle, key=lambda pair: pair[0], default=(now, None))
        if slowest is not None and now - since >= PATIENCE:
            await slowest.take_back()
            return
        self._given_back.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(since + PATIENCE - now):
                await self._given_back.wait()


_budgets: OfLoop[defaultdict[str, _Budget]] = OfLoop(lambda: defaultdict(_Budget))
"""The budgets of an event loop, by the names of storages."""
