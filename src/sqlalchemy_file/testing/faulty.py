"""A storage wrapper that injects faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, BinaryIO, Self, cast

from sqlalchemy_file.exceptions import DeletionError, StorageError
from sqlalchemy_file.storage import Attributes, HasPublicURL, ObjectInfo, Storage
from sqlalchemy_file.storage.common.calling import concurrency_of, is_native
from sqlalchemy_file.storage.owners import keeper_of
from sqlalchemy_file.testing.faults import Fault, Plan, Verb

_TICK = 0.005
"""Seconds after which a coroutine that hangs looks again whether it may continue."""


class FaultyStorage:
    """Passes all calls to ``inner``, and injects planned and random faults.

        faulty = FaultyStorage(MemoryStorage())
        faulty.inject("put", fails(), at=2)

    `inject` plans faults. Of the other calls, the share ``rate`` gets one of ``faults``; ``seed``
    and the number of the call decide which. It has native coroutines if ``inner`` has.
    """

    def __new__(cls, inner: Storage, *_args: object, **_options: object) -> Self:
        is_plain = cls is FaultyStorage and is_native(inner)
        return object.__new__(cast("type[Self]", AsyncFaultyStorage) if is_plain else cls)

    def __init__(
        self, inner: Storage, *, faults: Sequence[Fault] = (), rate: float = 0, seed: int = 0
    ) -> None:
        self.inner = inner
        self.concurrency: int = concurrency_of(inner)
        self.verify: bool = getattr(inner, "verify", False)
        self._plan = Plan(faults, rate, seed)

    def inject(self, verb: Verb, fault: Fault, *, at: int = 0) -> None:
        """Give the ``at``-th call of ``verb`` from now on a fault; 0 means every call.

        A deletion of several keys counts as that many calls.
        """
        self._plan.name(verb, fault, at)

    def mend(self) -> None:
        """End all faults; calls that hang continue."""
        self._plan.clear()

    # Notes of the storage itself are no calls of its verbs, and always come through.

    def notes(self) -> Mapping[str, bytes]:
        """Return the notes of ``inner``."""
        return keeper_of(self.inner).notes()

    def add_note(self, name: str, content: bytes) -> None:
        """Add a note to ``inner``."""
        keeper_of(self.inner).add_note(name, content)

    def remove_note(self, name: str) -> None:
        """Remove a note of ``inner``."""
        keeper_of(self.inner).remove_note(name)

    @property
    def calls(self) -> list[tuple[Verb, str]]:
        """Every call, with its key, in order."""
        return self._plan.calls

    def count(self, *verbs: Verb) -> int:
        """Return the number of calls of these verbs."""
        return sum(verb in verbs for verb, _key in self.calls)

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        with self._call("put", key) as fault:
            opened = fault.content(content)
            for _ in _times(fault):
                stored = self.inner.put(key, opened(), attributes, exclusive=exclusive)
            return stored

    def stat(self, key: str) -> ObjectInfo:
        with self._call("stat", key):
            return self.inner.stat(key)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with self._call("stream", key) as fault:
            chunks = self.inner.stream(key, start, end)
            yield from _spoiled(fault, b"".join(chunks)) if fault.changes_bytes else chunks

    def delete(self, keys: Sequence[str]) -> None:
        plain, faulty = self._plan.split_deletion(keys)
        failures: dict[str, Exception] = {}
        for fault, key in faulty:
            with _gathered(failures, key), self._injected(fault, "delete", key):
                for _ in _times(fault):
                    self.inner.delete([key])
        with _gathered(failures):
            self.inner.delete(plain)
        if failures:
            raise DeletionError(failures)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        with self._call("copy", key) as fault:
            for _ in _times(fault):
                copied = self.inner.copy(key, new_key)
            return copied

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        with self._call("list", prefix):
            yield from self.inner.list(prefix, start_after)

    def public_url(self, key: str) -> str | None:
        return self.inner.public_url(key) if isinstance(self.inner, HasPublicURL) else None

    def _call(self, verb: Verb, key: str) -> AbstractContextManager[Fault]:
        return self._injected(self._plan.next(verb, key), verb, key)

    @contextmanager
    def _injected(self, fault: Fault, verb: Verb, key: str) -> Iterator[Fault]:
        """Let a fault happen around a call."""
        if fault.before is not None:
            fault.before()
        if fault.delay:
            time.sleep(fault.delay)
        if fault.hangs:
            self._plan.free.wait()
        _fail(fault, verb, key, is_done=False)
        yield fault
        _fail(fault, verb, key, is_done=True)


class AsyncFaultyStorage(FaultyStorage):
    """The same for a storage with native coroutines; `FaultyStorage` chooses it itself."""

    inner: Any

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        async with self._acall("put", key) as fault:
            opened = fault.content(content)
            for _ in _times(fault):
                stored = await self.inner.aput(key, opened(), attributes, exclusive=exclusive)
            return cast("ObjectInfo", stored)

    async def astat(self, key: str) -> ObjectInfo:
        async with self._acall("stat", key):
            return cast("ObjectInfo", await self.inner.astat(key))

    async def astream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        async with self._acall("stream", key) as fault:
            chunks = self.inner.astream(key, start, end)
            if fault.changes_bytes:
                for chunk in _spoiled(fault, b"".join([each async for each in chunks])):
                    yield chunk
            else:
                async for chunk in chunks:
                    yield chunk

    async def adelete(self, keys: Sequence[str]) -> None:
        plain, faulty = self._plan.split_deletion(keys)
        failures: dict[str, Exception] = {}
        for fault, key in faulty:
            with _gathered(failures, key):
                async with self._ainjected(fault, "delete", key):
                    for _ in _times(fault):
                        await self.inner.adelete([key])
        with _gathered(failures):
            await self.inner.adelete(plain)
        if failures:
            raise DeletionError(failures)

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        async with self._acall("copy", key) as fault:
            for _ in _times(fault):
                copied = await self.inner.acopy(key, new_key)
            return cast("ObjectInfo", copied)

    async def alist(
        self, prefix: str = "", start_after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        async with self._acall("list", prefix):
            async for info in self.inner.alist(prefix, start_after):
                yield info

    def _acall(self, verb: Verb, key: str) -> AbstractAsyncContextManager[Fault]:
        return self._ainjected(self._plan.next(verb, key), verb, key)

    @asynccontextmanager
    async def _ainjected(self, fault: Fault, verb: Verb, key: str) -> AsyncIterator[Fault]:
        if fault.before is not None:
            await asyncio.to_thread(fault.before)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        free = self._plan.free
        while fault.hangs and not free.is_set():  # noqa: ASYNC110  set by any thread
            await asyncio.sleep(_TICK)
        _fail(fault, verb, key, is_done=False)
        yield fault
        _fail(fault, verb, key, is_done=True)


@contextmanager
def _gathered(failures: dict[str, Exception], key: str | None = None) -> Iterator[None]:
    """Gather the failures of deletions instead of raising them; for a single ``key``, any error."""
    try:
        yield
    except DeletionError as error:
        failures.update(error.failures)
    except StorageError as error:
        if key is None:
            raise
        failures[key] = error


def _times(fault: Fault) -> range:
    return range(2 if fault.twice else 1)


def _fail(fault: Fault, verb: Verb, key: str, *, is_done: bool) -> None:
    """Raise the error of a call, before it is done or after."""
    if fault.fails and fault.is_done is is_done:
        raise fault.failure(verb, key)


def _spoiled(fault: Fault, data: bytes) -> Iterator[bytes]:
    if spoiled := fault.spoiled(data):
        yield spoiled
