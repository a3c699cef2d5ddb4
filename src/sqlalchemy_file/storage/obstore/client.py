"""Requests to a store of obstore, sent from threads and from coroutines."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from obstore.store import HTTPStore

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.obstore.errors import Panic, is_panic, reason_of
from sqlalchemy_file.storage.obstore.requests import Reading, Request, Steps
from sqlalchemy_file.transfer import await_to_end, in_thread

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

LARGE_AT_ONCE = 4
"""How many contents are stored in parts at the same time: each takes some 30 MB of memory."""


class Client:
    """Carries out the steps of a verb. ``once`` is the same store without retries."""

    def __init__(self, store: ObjectStore, once: ObjectStore | None) -> None:
        self._store = store
        self._once = once or store
        self._is_web = isinstance(store, HTTPStore)
        self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)
        self._large_by_loop: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()

    def carry_out(self, steps: Steps[T]) -> T:
        """Return what a verb returns, in a thread that waits for each step."""
        proceed, has_turn = partial(next, steps), False
        try:
            while True:
                step = proceed()
                try:
                    has_turn = has_turn or (step.in_turn and self._large.acquire())
                    proceed = partial(steps.send, self._call(step))
                except BaseException as error:  # noqa: BLE001  the verb decides
                    proceed = partial(steps.throw, _tamed(error))
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            if has_turn:
                self._large.release()

    async def acarry_out(self, steps: Steps[T]) -> T:
        """Return what a verb returns; requests are awaited."""
        proceed, has_turn = partial(next, steps), False
        try:
            while True:
                step = proceed()
                try:
                    has_turn = has_turn or (step.in_turn and await self._large_of_loop().acquire())
                    proceed = partial(steps.send, await self._await(step))
                except BaseException as error:  # noqa: BLE001  the verb decides
                    proceed = partial(steps.throw, _tamed(error))
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            if has_turn:
                self._large_of_loop().release()

    def _call(self, step: Request | Reading) -> Any:
        if isinstance(step, Reading):
            return step.read()
        self._refuse_changes(step)
        method = getattr(self.ready(once=step.once), step.verb)
        contents = [step.source.chunks()] if step.source else []
        return method(*step.arguments, *contents, **step.options)

    async def _await(self, step: Request | Reading) -> Any:
        if isinstance(step, Reading):
            if not step.is_at_hand:
                return await in_thread(step.read)
            await asyncio.sleep(0)  # many may come to this point at once
            return step.read()
        self._refuse_changes(step)
        method = getattr(self.ready(once=step.once), f"{step.verb}_async")
        contents = [step.source.achunks()] if step.source else []
        awaitable = method(*step.arguments, *contents, **step.options)
        return await (self._to_the_end(awaitable, step) if step.changes else awaitable)

    async def _to_the_end(self, awaitable: Awaitable[T], request: Request) -> T:
        """Await a request even when cancelled; obstore would forget the parts it has sent."""
        sending = asyncio.ensure_future(awaitable)
        try:
            return await await_to_end(sending, request.source.stop if request.source else None)
        except asyncio.CancelledError as cancelled:
            if request.undo and not sending.cancelled() and sending.exception() is None:
                await self._take_back(request.undo, cancelled)
            raise

    async def _take_back(self, undo: Request, cancelled: asyncio.CancelledError) -> None:
        try:
            await self._await(undo)
        except Exception as error:  # noqa: BLE001  it must not hide the cancellation
            cancelled.add_note(f"stored, and could not be deleted again: {undo.arguments}: {error}")

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from one that had used obstore, and cannot use it."""
        return _process.is_forked

    def _large_of_loop(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        return self._large_by_loop.setdefault(loop, asyncio.Semaphore(LARGE_AT_ONCE))

    def _refuse_changes(self, request: Request) -> None:
        if self._is_web and request.changes:
            key = request.arguments[0]
            raise StorageError(
                "what lies on a web server can only be read: choose another storage to write to",
                key=key if isinstance(key, str) else None,
            )

    def ready(self, *, once: bool = False) -> Any:
        """Return the store, unless this process cannot use it."""
        if _process.is_forked:
            raise StorageError(
                "this process was forked after obstore was first used, and its threads did not "
                "come along: start workers by 'spawn' or 'forkserver', or fork before the first use"
            )
        _process.is_used = True
        return self._once if once else self._store


def _tamed(error: BaseException) -> BaseException:
    if not is_panic(error):
        return error
    tame = Panic(reason_of(error))
    tame.__cause__ = error
    return tame


class _Process:
    """What this process has done with obstore, whose threads all stores share."""

    is_used = False
    is_forked = False

    def after_fork(self) -> None:
        self.is_forked = self.is_used


_process = _Process()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.after_fork)
