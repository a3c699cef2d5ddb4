"""A few jobs at a time, taken one by one, so that no more of a large content is read than is sent.

They are not done by the workers of `transfer`, since the caller may be one of these, and workers
that wait for workers may wait for ever.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import Generic, TypeVar

from sqlalchemy_file.transfer import get_limit

T = TypeVar("T")

WINDOW = 4
"""How many jobs are under way at the same time, unless a lower limit is set; callers share them."""


class Helpers(Generic[T]):
    """Threads that work for their callers where these are few: many are parallel enough."""

    def __init__(self) -> None:
        self._crew: _Crew[T] = _Crew()

    def results(self, jobs: Iterable[Callable[[], T]]) -> list[T]:
        """Return what the jobs return, in their order; each is taken when there is room for it.

        Nothing more is begun once one has failed. Whatever is raised, Ctrl-C included, is raised
        after all that were begun have ended.
        """
        under_way: deque[Future[T]] = deque()
        done: list[T] = []
        with self._crew_here().joined() as crew:
            try:
                for job in jobs:
                    under_way.append(crew.begin(job))
                    del job  # with all that it holds, before the next one is made
                    _make_room(under_way, crew.share)
                    while under_way and under_way[0].done():
                        done.append(under_way.popleft().result())
                return done + [each.result() for each in under_way]
            finally:
                wait(under_way)

    def _crew_here(self) -> _Crew[T]:
        if self._crew.process != os.getpid():
            self._crew = _Crew()
        return self._crew


class _Crew(Generic[T]):
    """The threads of one process: they do not survive a fork."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._threads = ThreadPoolExecutor(WINDOW, "sqlalchemy-file-part")
        self._callers = 0
        self._lock = threading.Lock()

    @contextmanager
    def joined(self) -> Iterator[_Crew[T]]:
        """Count the caller among those that share the helpers."""
        with self._lock:
            self._callers += 1
        try:
            yield self
        finally:
            with self._lock:
                self._callers -= 1

    @property
    def share(self) -> int:
        """How many jobs each caller may have under way now."""
        return max(min(WINDOW, get_limit() or WINDOW) // self._callers, 1)

    def begin(self, job: Callable[[], T]) -> Future[T]:
        """Hand a job to a helper, or do it here where there can be no other beside it."""
        if self.share > 1:
            try:
                return self._threads.submit(copy_context().run, job)
            except RuntimeError:
                pass  # the interpreter is about to end: no thread begins anything more
        ended: Future[T] = Future()
        ended.set_result(job())
        return ended


def _make_room(under_way: Iterable[Future[T]], share: int) -> None:
    """Wait until one more may begin; raise what one of them failed with."""
    while True:
        for each in under_way:
            if each.done():
                each.result()
        busy = [each for each in under_way if not each.done()]
        if len(busy) < share:
            return
        wait(busy, return_when=FIRST_COMPLETED)
