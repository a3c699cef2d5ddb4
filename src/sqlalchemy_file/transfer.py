"""Run a batch of storage operations: in worker threads, or awaited together.

Only this module knows threads and greenlets. No operation keeps running when it returns, also after
cancellation or Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy.util.concurrency import await_only

from sqlalchemy_file.support.defaults import CONCURRENCY, current_limits

try:
    from sqlalchemy.util.concurrency import in_greenlet
except ImportError:  # pragma: no cover  SQLAlchemy 2.0 without greenlet
    in_greenlet = None  # type: ignore[assignment]

T = TypeVar("T")

_MANY = 32


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One thing to do: a function for a worker thread, or a coroutine function to be awaited."""

    run: Callable[[], T]
    arun: Callable[[], Awaitable[T]] | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How an operation ended. One that was never begun is not done and has no error."""

    value: T | None = None
    error: BaseException | None = None
    is_done: bool = False


class _Batch(Generic[T]):
    """Operations that are begun in order, until one fails where that matters."""

    def __init__(self, operations: Sequence[Operation[T]], *, go_on: bool) -> None:
        self.operations = operations
        self.outcomes: list[Outcome[T]] = [Outcome()] * len(operations)
        self.go_on = go_on
        self.stopped = False
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """Return the next operation to begin, or None when there is nothing more to do."""
        with self._lock:
            if self.stopped or self._next == len(self.operations):
                return None
            self._next += 1
            return self._next - 1

    def work(self) -> None:
        """Carry out one operation after the other, in this thread."""
        while (index := self.take()) is not None:
            try:
                self.outcomes[index] = Outcome(self.operations[index].run(), is_done=True)
            except BaseException as error:  # noqa: BLE001 (kept as the outcome)
                self._failed(index, error)

    async def awork(self) -> None:
        """Carry out one operation after the other, awaiting each."""
        while (index := self.take()) is not None:
            operation = self.operations[index]
            try:
                if operation.arun is not None:
                    await asyncio.sleep(0)  # many may end at once, and others wait for the loop
                    value = await operation.arun()
                else:
                    value = await in_thread(operation.run)
                self.outcomes[index] = Outcome(value, is_done=True)
            except BaseException as error:  # noqa: BLE001 (kept as the outcome)
                self._failed(index, error)

    def _failed(self, index: int, error: BaseException) -> None:
        self.outcomes[index] = Outcome(error=error)
        if not self.go_on or not isinstance(error, Exception):
            self.stopped = True


def carry_out(
    operations: Sequence[Operation[T]], *, limit: int = CONCURRENCY, go_on: bool = False
) -> list[Outcome[T]]:
    """Carry out operations at the same time, and return how each ended, in their order.

    Without ``go_on``, nothing more is begun once one has failed. Cancellation reaches every
    coroutine in progress, and is raised after all that were begun have ended: what a thread does
    cannot be cancelled. With ``go_on`` the batch is finished first.
    """
    if not operations:
        return []
    batch = _Batch(operations, go_on=go_on)
    limit = min(limit, current_limits().requests or limit)
    if _can_await():
        await_only(_run_awaited(batch, limit))
    else:
        _run_in_threads(batch, limit)
    return batch.outcomes


def run_blocking(function: Callable[[], T]) -> T:
    """Call a function here, or in a worker thread where an event loop has to go on."""
    return await_only(in_thread(function)) if _can_await() else function()


def results(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """Return the values, or raise the first error."""
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.value for outcome in outcomes]  # type: ignore[misc]


class _Cancellation:
    """Whether the task that waits for a worker thread was cancelled; nobody waits for that."""

    is_requested = False


async def in_thread(function: Callable[[], T]) -> T:
    """Run a function in a worker thread, and wait for its end even when cancelled.

    The function can learn of that by `heed_cancellation`, and end sooner.
    """
    cancellation = _Cancellation()
    job = _threads().submit(_in_worker(function, cancellation))

    def stop() -> None:
        cancellation.is_requested = True
        job.cancel()  # if it was not begun  # noqa: F821  it is deleted afterwards

    try:
        return await await_to_end(asyncio.wrap_future(job), stop)
    finally:
        del job  # else an error would keep itself, through its traceback


def heed_cancellation() -> None:
    """Raise `CancelledError` in a worker thread if its waiting task was cancelled."""
    cancellation: _Cancellation | None = getattr(_here, "cancellation", None)
    if cancellation is not None and cancellation.is_requested:
        raise asyncio.CancelledError


async def await_to_end(future: asyncio.Future[T], stop: Callable[[], object] | None = None) -> T:
    """Await a future, and its end even when cancelled, however often.

    ``stop`` is called then, to bring the end about: what it does must not leave work running.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        while not future.done():
            with suppress(asyncio.CancelledError):  # a second one: the first is raised below
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # looked at, else asyncio complains
        raise
    finally:
        del future  # as above


def yield_to_loop(done: int) -> None:
    """Yield to the event loop's other tasks after a batch of work."""
    if done >= _MANY and _can_await():
        await_only(asyncio.sleep(0))


def submit_cpu_bound(job: Callable[[], T]) -> Future[T]:
    """Start a short, lock-free computation in a thread of the CPU pool."""
    try:
        return _computing().submit(job)
    except RuntimeError:  # the interpreter ends, and begins nothing more in threads
        future: Future[T] = Future()
        future.set_result(job())
        return future


def run_in_background(job: Callable[[], object]) -> None:
    """Run ``job`` in a worker thread, soon; for callers that may not wait, such as finalizers."""
    try:
        future: Future[object] = _threads().submit(_in_worker(job))
    except RuntimeError:  # the interpreter ends: it is now or never
        job()
        return
    # Finalizers run in any thread, between any two steps of another one that does the same.
    _background.add(future)
    future.add_done_callback(_background.discard)


def wait_for_background() -> None:
    """Wait for all that was handed to `run_in_background`."""
    while running := list(_background):
        wait(running)
        _background.difference_update(running)


def _can_await() -> bool:
    """Return True if this is SQLAlchemy's greenlet, in which a coroutine can be awaited."""
    # Asking would import greenlet, which may not be installed; nobody runs in one unimported.
    return "greenlet" in sys.modules and in_greenlet is not None and bool(in_greenlet())


def _run_in_threads(batch: _Batch[Any], limit: int) -> None:
    is_worker = getattr(_here, "is_worker", False)
    helpers = 0 if is_worker else min(limit, len(batch.operations)) - 1
    futures: list[Future[None]] = []
    # One by one: if the interpreter ends, which begins nothing more, those that run are waited for.
    with suppress(RuntimeError):
        for _ in range(helpers):
            futures.append(_threads().submit(_in_worker(batch.work)))  # noqa: PERF401
    try:
        _work_alone(batch)
    finally:
        batch.stopped = batch.stopped or not batch.go_on
        _wait_for([future for future in futures if not future.cancel()])


def _wait_for(futures: Sequence[Future[Any]]) -> None:
    """Wait for threads, and for their end even when interrupted, however often."""
    interrupted: BaseException | None = None
    while not all(future.done() for future in futures):
        try:
            wait(futures)
        except BaseException as error:  # noqa: BLE001 (Ctrl-C: raised below)
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _work_alone(batch: _Batch[Any]) -> None:
    batch.work()
    for outcome in batch.outcomes:
        if outcome.error is not None and not isinstance(outcome.error, Exception):
            raise outcome.error  # Ctrl-C, SystemExit: at once, once the batch has come to rest


async def _run_awaited(batch: _Batch[Any], limit: int) -> None:
    loop = asyncio.get_running_loop()
    workers = {loop.create_task(batch.awork()) for _ in range(min(limit, len(batch.operations)))}
    cancelled: asyncio.CancelledError | None = None
    while workers:
        try:
            _, workers = await asyncio.wait(workers)
        except asyncio.CancelledError as error:
            if cancelled is None and not batch.go_on:
                batch.stopped = True
                for worker in workers:
                    worker.cancel()  # once only: what it then takes back must not be cut off
            cancelled = error
    if cancelled is not None and batch.go_on:
        _cancel_again()
    elif cancelled is not None:
        raise cancelled


def _cancel_again() -> None:
    """Raise the cancellation at the next await, after the batch has finished."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().call_soon(_cancel_at_next_await, task)


def _cancel_at_next_await(task: asyncio.Task[Any]) -> None:
    # By now `asyncio.timeout` may have taken it back, whose block ended with the batch; cancelled
    # at once, the task would learn of it behind that block, where nobody expects it.
    if not task.done() and task.cancelling():
        task.uncancel()
        task.cancel()


def _in_worker(
    function: Callable[[], T], cancellation: _Cancellation | None = None
) -> Callable[[], T]:
    """Return the function as a worker is to call it: it sees the caller's context variables."""
    context = copy_context()

    def work() -> T:
        _here.is_worker = True
        _here.cancellation = cancellation
        try:
            return context.run(function)
        except StopIteration as error:  # asyncio would wait for ever: no future of it holds one
            raise RuntimeError("a function in a thread raised StopIteration") from error

    return work


def _threads() -> ThreadPoolExecutor:
    return _pool(current_limits().threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="sqlalchemy-file")


@cache
def _computing() -> ThreadPoolExecutor:
    # Threads of their own: those that store may all be waiting for what is computed here.
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="sqlalchemy-file-computing")


def _forget_threads() -> None:
    _pool.cache_clear()
    _computing.cache_clear()
    _background.clear()


_here = threading.local()
_background: set[Future[object]] = set()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)  # threads do not survive a fork
