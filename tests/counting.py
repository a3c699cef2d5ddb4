"""Operations that count how many run, and timeouts that strike in their middle."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

from sqlalchemy_file.transfer import Operation

WAIT = 20
"""Seconds after which a test that waits has failed."""


class Counting:
    """Operations that note when they run, and how many at once.

    Held ones wait, once begun, until `go` is set.
    """

    def __init__(self, *, held: bool = False) -> None:
        self.running = 0
        self.most = 0
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.go = threading.Event()
        self._changed = threading.Condition()
        if not held:
            self.go.set()

    def run(self, number: int, seconds: float = 0.01) -> int:
        with self._changed:
            self.begun.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            self._changed.notify_all()
        try:
            assert self.go.wait(WAIT)
            time.sleep(seconds)
        finally:
            with self._changed:
                self.running -= 1
                self.ended.append(number)
        return number

    def operations(self, count: int, seconds: float = 0.01) -> list[Operation[int]]:
        return [Operation(partial(self.run, number, seconds)) for number in range(count)]

    def wait_until_begun(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, WAIT)

    async def have_begun(self, count: int) -> None:
        """Wait, and let the event loop go on, until so many have begun."""
        await asyncio.to_thread(self.wait_until_begun, count)


def strike(timeout: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
    """Let a timeout of an event loop strike now, and return once it has; from another thread."""

    async def expire() -> None:
        timeout.reschedule(loop.time())
        await asyncio.sleep(0.01)

    asyncio.run_coroutine_threadsafe(expire(), loop).result(WAIT)
