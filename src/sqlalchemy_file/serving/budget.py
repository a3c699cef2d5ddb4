"""A budget of memory for downloads from one storage, and the pace of each client.

An open stream of a bucket holds about a megabyte, which its HTTP client reads ahead. A few
downloads have a stream each. While there are more, streams are for clients that are quick, for some
megabytes each. The others get slices: one request reads a slice as fast as the bucket sends it, and
nothing is open while the client takes it.

A client is sent at once what it takes in 40 ms, at the rate it had lately. The buffers of a
connection take a megabyte at once even if the client behind them is slow. So the rate is that of
the last megabyte or two, not that of the last piece.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving import event_loop
from sqlalchemy_file.serving.event_loop import OfLoop, Ranges, turns

STREAMS = 4
"""Streams that are open at once; each takes some two megabytes."""

SLICES = 16
"""Slices that are read at once."""

WHOLE = 128 * 1024
"""A range up to this size is read by one request, even if others wait. No slice is larger."""

HELD = 4 * 1024 * 1024
"""Bytes beyond the smallest pieces that all clients together may keep the server from sending."""

_SHARE = 8
"""One client is sent no more than this part of what is left of them."""

PATIENCE = 0.1
"""Seconds in which a client has to take a chunk of its stream while others wait for one."""

WAIT = 1.0
"""Seconds that a quick client waits for a stream, before it gets a large slice."""

QUANTUM = 16 * 1024 * 1024
"""Bytes after which a stream is given to those who wait."""


async def within_budget(
    storage_name: str, ranges: Ranges, start: int, end: int
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from ``start`` up to ``end``, or to where they end, within the budget."""
    budget, pace = _budgets()[storage_name], Pace()
    place = _Place()
    taking, clock = turns(), asyncio.get_running_loop().time
    while start < end:
        reading = await budget.begin(ranges, start, end, pace, place)
        async with aclosing(reading):
            while piece := await reading.read(budget.size_for(pace)):
                await taking.take()
                size, sent = len(piece), clock()
                start += size
                with budget.holding(size):
                    yield piece
                del piece  # it is not kept while the next one is waited for
                pace.note(size, clock() - sent)
        if reading.is_short:
            return


class _Place:
    """The place in line of one client. It is kept until the client gets a stream."""

    def __init__(self) -> None:
        self.number = 0
        self.comes_first = asyncio.Event()


class _Line:
    """The clients that wait for a stream, in the order in which they began to.

    A client that has waited for a second reads a slice and joins again. Behind clients that have
    had a stream in that second, it would never get one.
    """

    def __init__(self) -> None:
        self._waiting: list[_Place] = []
        self._last = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def joined(self, place: _Place) -> Iterator[None]:
        """Wait in line, where this client was before if it had a place."""
        if not place.number:
            self._last += 1
            place.number = self._last
        insort(self._waiting, place, key=lambda each: each.number)
        self._call()
        try:
            yield
        finally:
            place.comes_first.clear()
            self._waiting.remove(place)
            self._call()

    def _call(self) -> None:
        for each in self._waiting[1:2]:  # it was the first until now
            each.comes_first.clear()
        for each in self._waiting[:1]:
            each.comes_first.set()


class _Slice:
    """A range that was read at once."""

    def __init__(self, chunks: list[bytes], size: int) -> None:
        self._chunks = chunks[::-1]
        self.is_short = sum(map(len, chunks)) < size

    async def read(self, size: int) -> bytes:
        """Return the next chunk, or an empty one after the last."""
        return self._chunks.pop() if self._chunks else b""

    async def aclose(self) -> None:
        pass


class _Stream:
    """An open stream, which the budget may take back while its client is slow."""

    is_short = False

    def __init__(self, budget: _Budget, chunks: AsyncGenerator[bytes, None], size: int) -> None:
        self.idle_since: float | None = None
        self._budget = budget
        self._chunks = chunks
        self._chunk, self._position = b"", 0
        self._left = size
        self._read = 0
        self._is_closed = False
        self._closing: asyncio.Task[None] | None = None

    async def read(self, size: int) -> bytes:
        """Return the next piece; an empty one if the stream is over, or has to be given back."""
        if self._closing is not None:
            return b""
        if self._position >= len(self._chunk) and not await self._read_chunk():
            return b""
        piece = self._chunk[self._position : self._position + size]
        self._position += len(piece)
        self._left -= len(piece)
        if self._position >= len(self._chunk):
            self._chunk = b""  # the piece may be all of it
        if self._left <= 0:  # its client may take the last piece slowly
            await self.aclose()
        return piece

    async def _read_chunk(self) -> bool:
        """Read the next chunk; return False if there is none, or others have their turn."""
        self.idle_since = None
        is_turn_over = self._read >= QUANTUM and self._budget.has_others_waiting
        if is_turn_over or self._left <= 0:
            return False
        self._chunk, self._position = await anext(self._chunks, b""), 0
        self._read += len(self._chunk)
        self.is_short = not self._chunk
        if not self.is_short:
            # However small the pieces are, the client has to take the chunk in time.
            self.idle_since = asyncio.get_running_loop().time()
        return not self.is_short

    async def aclose(self) -> None:
        if self._closing is None and not self._is_closed:
            self.idle_since = None
            await self._close()

    async def take_back(self) -> None:
        """Close the stream, although its download is not over: the rest is requested again."""
        self.idle_since = None  # nobody takes it back twice
        self._closing = asyncio.create_task(self._close())
        await asyncio.wait([self._closing])  # it goes on if this task is cancelled

    async def _close(self) -> None:
        self._is_closed = True
        self._chunk = b""
        try:
            with suppress(Exception):  # nobody waits for the bytes of this stream any more
                await self._chunks.aclose()
        finally:
            self._budget.give_back(self)


class _Budget:
    def __init__(self) -> None:
        self._left = STREAMS
        self._held = 0
        self._streams: set[_Stream] = set()
        self._line = _Line()
        self._given_back = asyncio.Event()
        self._slices = asyncio.Semaphore(SLICES)
        self._answers = 0

    @property
    def has_others_waiting(self) -> bool:
        return len(self._line) > 0

    def size_for(self, pace: Pace) -> int:
        """Return how many bytes to send next, fewer if slow clients hold a lot already."""
        return min(pace.size, max(SMALLEST, (HELD - self._held) // _SHARE))

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Count a piece until its client has taken it."""
        beyond = max(size - SMALLEST, 0)
        self._held += beyond
        try:
            yield
        finally:
            self._held -= beyond

    async def begin(
        self, ranges: Ranges, start: int, end: int, pace: Pace, place: _Place
    ) -> _Stream | _Slice:
        """Return a stream if there is one for this client, else a slice."""
        if end - start <= WHOLE:
            return await self._slice(ranges, start, end)
        if self._left and not self._line:
            return self._open(ranges, start, end)
        if pace.is_quick and await self._turn_comes(place):
            return self._open(ranges, start, min(end, start + QUANTUM))
        size = min(self.size_for(pace), WHOLE)
        return await self._slice(ranges, start, min(end, start + size))

    async def _slice(self, ranges: Ranges, start: int, end: int) -> _Slice:
        await self._slice_comes()
        try:
            async with aclosing(ranges(start, end)) as chunks:
                read = _Slice([chunk async for chunk in chunks], end - start)
        finally:
            self._slices.release()
        self._answers += 1
        return read

    async def _slice_comes(self) -> None:
        """Wait for a slice as long as others get theirs; raise `StorageError` if all hang."""
        while True:
            answers = self._answers
            try:
                async with asyncio.timeout(event_loop.TIMEOUT):
                    await self._slices.acquire()
            except TimeoutError as error:
                if answers == self._answers:
                    hanging = "the storage did not answer earlier requests in time"
                    raise StorageError(hanging) from error
            else:
                return

    def _open(self, ranges: Ranges, start: int, end: int) -> _Stream:
        self._left -= 1
        stream = _Stream(self, ranges(start, end), end - start)
        self._streams.add(stream)
        return stream

    def give_back(self, stream: _Stream) -> None:
        self._left += 1
        self._streams.discard(stream)
        self._given_back.set()

    async def _turn_comes(self, place: _Place) -> bool:
        """Wait for a stream; who came first is served first."""
        with suppress(TimeoutError), self._line.joined(place):
            async with asyncio.timeout(WAIT):
                await place.comes_first.wait()
                while not self._left:
                    await self._make_room()
                    await place.comes_first.wait()
                place.number = 0
                return True
        return False

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


SMALLEST = 32 * 1024
"""Bytes that any client is sent at once."""

LARGEST = 768 * 1024
"""Bytes that a client is sent at once at most."""

QUICK = 512 * 1024
"""Bytes that a quick client takes in time: 13 MB/s."""

AHEAD = 0.04
"""Seconds in which a client should take what it is sent."""

_AT_FIRST = 0.04
_RECENT = 1024 * 1024
_LONGEST = 1.0  # a client that has paused for a minute is not slow for ever
_SHORTEST = 0.001


class Pace:
    """The rate at which one client takes what it is sent.

    The first piece is of the smallest size, and each that is taken at once doubles the size.
    """

    def __init__(self) -> None:
        self._bytes: float = SMALLEST
        self._seconds = _AT_FIRST

    @property
    def size(self) -> int:
        """Return how many bytes to send next."""
        return max(SMALLEST, min(LARGEST, int(self._bytes * AHEAD / self._seconds)))

    @property
    def is_quick(self) -> bool:
        return self.size >= QUICK

    def note(self, size: int, seconds: float) -> None:
        """Take into account a piece, and how long the client kept the server waiting."""
        self._bytes += size
        self._seconds += min(seconds, _LONGEST)
        while self._bytes > 2 * _RECENT:
            self._bytes /= 2
            self._seconds = max(self._seconds / 2, _SHORTEST)
