"""How those who act at once wait for one another: as threads, or as tasks of an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import await_only

T = TypeVar("T")


class Event(Protocol):
    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float) -> bool: ...


class Barrier(Protocol):
    def wait(self, timeout: float) -> int: ...


class TaskEvent:
    """What `threading.Event` is to threads, for those who run in SQLAlchemy's greenlets."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout: float) -> bool:
        return _awaited(self._event.wait(), timeout)


class TaskBarrier:
    """What `threading.Barrier` is to threads."""

    def __init__(self, parties: int) -> None:
        self._barrier = asyncio.Barrier(parties)

    def wait(self, timeout: float) -> int:
        return _awaited(self._barrier.wait(), timeout)


def together(works: tuple[Callable[[], T], ...], timeout: float) -> list[T]:
    """Run every function in a task of its own, and return what they return, in order."""
    return _awaited(_gathered(works), timeout)


def pause(seconds: float) -> None:
    """Let the other tasks run for a while."""
    _awaited(asyncio.sleep(seconds), seconds + 60)


async def _gathered(works: tuple[Callable[[], T], ...]) -> list[T]:
    return list(await asyncio.gather(*(greenlet_spawn(work) for work in works)))


def _awaited(awaitable: Awaitable[T], timeout: float) -> T:
    return await_only(asyncio.wait_for(awaitable, timeout))
