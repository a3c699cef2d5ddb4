"""A few jobs at a time, taken one by one, so that no more of a large content is read than is sent.

Whoever reads the content does its share of the work; helpers do the rest. Batches are not made of
this: the batch that a job belongs to may be a worker of `transfer` itself, which must not wait for
another worker.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Generic, TypeVar

from sqlalchemy_file.transfer import get_limit

T = TypeVar("T")

WINDOW = 4
"""How many jobs of one caller are under way at the same time, unless a limit is set."""


class Helpers(Generic[T]):
    """Threads that work beside their callers: one fewer than `WINDOW`, for all callers together."""

    def __init__(self) -> None:
        self._crew: _Crew[T] | None = None

    def results(self, jobs: Iterable[Callable[[], T]]) -> list[T]:
        """Return what the jobs return, in their order; each is taken when there is room for it.

        Nothing more is begun once one has failed. Whatever is raised, Ctrl-C included, is raised
        after all that were begun have ended.
        """
        under_way: deque[Future[T]] = deque()
        done: list[T] = []
        try:
            for job in jobs:
                under_way.append(self._begun(job, under_way))
                del job  # with all that it holds, before the next one is made
                _refuse_failed(under_way)
                while under_way and under_way[0].done():
                    done.append(under_way.popleft().result())
            return done + [each.result() for each in under_way]
        finally:
            wait(under_way)

    def _begun(self, job: Callable[[], T], under_way: Iterable[Future[T]]) -> Future[T]:
        busy = sum(not each.done() for each in under_way)
        if busy < min(WINDOW, get_limit() or WINDOW) - 1:
            begun = self._crew_here().begin(job)
            if begun is not None:
                return begun
        ended: Future[T] = Future()
        ended.set_result(job())
        return ended

    def _crew_here(self) -> _Crew[T]:
        crew = self._crew
        if crew is None or crew.process != os.getpid():
            crew = self._crew = _Crew()
        return crew


class _Crew(Generic[T]):
    """The threads of one process: they do not survive a fork."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._idle = threading.Semaphore(WINDOW - 1)
        self._threads = ThreadPoolExecutor(WINDOW - 1, "sqlalchemy-file-part")

    def begin(self, job: Callable[[], T]) -> Future[T] | None:
        """Let an idle thread do it; return None where all are busy."""
        if not self._idle.acquire(blocking=False):
            return None
        try:
            return self._threads.submit(copy_context().run, self._do, job)
        except RuntimeError:  # the interpreter is about to end: no thread begins anything more
            self._idle.release()
            return None

    def _do(self, job: Callable[[], T]) -> T:
        try:
            return job()
        finally:
            self._idle.release()


def _refuse_failed(under_way: Iterable[Future[T]]) -> None:
    for each in under_way:
        if each.done():
            each.result()
