"""Take turns on the event loop when many downloads are ready.

Two hundred of them would each do a little, and the other tasks of the loop would wait for all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

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
        self._known: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def __call__(self) -> T:
        """Return the object of the running event loop."""
        loop = asyncio.get_running_loop()
        found = self._known.get(loop)
        if found is None:
            self._forget_closed()
            found = self._known[loop] = self._make()
        return found

    def _forget_closed(self) -> None:
        """Forget loops that are closed: what is kept for a loop may refer to it."""
        for known in self._known.keyrefs():
            loop = known()
            if loop is not None and loop.is_closed():
                self._known.pop(loop, None)


turns: OfLoop[Turns] = OfLoop(Turns)
"""Returns the turns of the running event loop."""
