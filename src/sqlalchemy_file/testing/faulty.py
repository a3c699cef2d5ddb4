"""A storage wrapper that injects faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, Self, TypeVar, cast

from sqlalchemy_file.exceptions import DeletionError, StorageError
from sqlalchemy_file.storage import Attributes, HasPublicURL, ObjectInfo, Storage
from sqlalchemy_file.storage.common.protocol import concurrency_of, is_native
from sqlalchemy_file.storage.owners import notes_of, remove_note, write_note
from sqlalchemy_file.testing.faults import NO_FAULT, Fault, Plan, Verb

T = TypeVar("T")

_TICK = 0.005
"""Seconds between two looks whether a coroutine that hangs may go on."""


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

    # --- what a test says

    def inject(self, verb: Verb, fault: Fault, *, at: int = 0) -> None:
        """Give the ``at``-th call of ``verb`` from now on a fault; 0 means every call.

        A deletion of several keys counts as that many calls.
        """
        self._plan.name(verb, fault, at)

    def mend(self) -> None:
        """End all faults; calls that hang continue."""
        self._plan.clear()

    # --- notes of the storage itself, which are no calls of its verbs and always come through

    def notes(self) -> Mapping[str, bytes]:
        """Return the notes of ``inner``."""
        return notes_of(self.inner)

    def add_note(self, name: str, content: bytes) -> None:
        """Add a note to ``inner``."""
        write_note(self.inner, name, content)

    def remove_note(self, name: str) -> None:
        """Remove a note of ``inner``."""
        remove_note(self.inner, name)

    @property
    def calls(self) -> list[tuple[Verb, str]]:
        """Every call, with its key, in order."""
        return self._plan.calls

    def count(self, *verbs: Verb) -> int:
        """Return the number of calls of these verbs."""
        return sum(verb in verbs for verb, _key in self.calls)

    # --- the storage

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        fault = self._plan.next("put", key)
        opened = fault.content(content)

        def put() -> ObjectInfo:
            return self.inner.put(key, opened(), attributes, exclusive=exclusive)

        return self._carry_out(fault, "put", key, put)

    def stat(self, key: str) -> ObjectInfo:
        fault = self._plan.next("stat", key)
        return self._carry_out(fault, "stat", key, lambda: self.inner.stat(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        fault = self._plan.next("stream", key)
        self._wait(fault)
        _fail(fault, "stream", key, is_done=False)
        chunks = self.inner.stream(key, start, end)
        yield from _spoiled(fault, b"".join(chunks)) if fault.changes_bytes else chunks
        _fail(fault, "stream", key, is_done=True)

    def delete(self, keys: Sequence[str]) -> None:
        plain, struck = self._sorted_out(keys)
        failures = _Failures()
        for fault, key in struck:
            with failures.of(key):
                self._carry_out(fault, "delete", key, partial(self.inner.delete, [key]))
        with failures:
            self.inner.delete(plain)
        failures.throw()

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        fault = self._plan.next("copy", key)
        return self._carry_out(fault, "copy", key, lambda: self.inner.copy(key, new_key))

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        fault = self._plan.next("list", prefix)
        self._wait(fault)
        _fail(fault, "list", prefix, is_done=False)
        yield from self.inner.list(prefix, start_after)
        _fail(fault, "list", prefix, is_done=True)

    def public_url(self, key: str) -> str | None:
        return self.inner.public_url(key) if isinstance(self.inner, HasPublicURL) else None

    # --- how a fault takes its course

    def _carry_out(self, fault: Fault, verb: Verb, key: str, action: Callable[[], T]) -> T:
        self._wait(fault)
        _fail(fault, verb, key, is_done=False)
        result = action()
        if fault.twice:
            result = action()
        _fail(fault, verb, key, is_done=True)
        return result

    def _wait(self, fault: Fault) -> None:
        if fault.before is not None:
            fault.before()
        if fault.delay:
            time.sleep(fault.delay)
        if fault.hangs:
            self._plan.free.wait()

    def _sorted_out(self, keys: Sequence[str]) -> tuple[Sequence[str], Sequence[tuple[Fault, str]]]:
        """Return the keys to delete that nothing happens to, and the others with what does."""
        faults = [(self._plan.next("delete", key), key) for key in keys]
        plain = [key for fault, key in faults if fault == NO_FAULT]
        return plain, [(fault, key) for fault, key in faults if fault != NO_FAULT]


class AsyncFaultyStorage(FaultyStorage):
    """The same before a storage with native coroutines; `FaultyStorage` chooses it itself."""

    inner: Any

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        fault = self._plan.next("put", key)
        opened = fault.content(content)

        async def put() -> ObjectInfo:
            stored: ObjectInfo = await self.inner.aput(
                key, opened(), attributes, exclusive=exclusive
            )
            return stored

        return await self._acarry_out(fault, "put", key, put)

    async def astat(self, key: str) -> ObjectInfo:
        fault = self._plan.next("stat", key)
        return await self._acarry_out(fault, "stat", key, partial(self.inner.astat, key))

    async def astream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        fault = self._plan.next("stream", key)
        await self._await(fault)
        _fail(fault, "stream", key, is_done=False)
        chunks = self.inner.astream(key, start, end)
        if fault.changes_bytes:
            for chunk in _spoiled(fault, b"".join([chunk async for chunk in chunks])):
                yield chunk
        else:
            async for chunk in chunks:
                yield chunk
        _fail(fault, "stream", key, is_done=True)

    async def adelete(self, keys: Sequence[str]) -> None:
        plain, struck = self._sorted_out(keys)
        failures = _Failures()
        for fault, key in struck:
            with failures.of(key):
                await self._acarry_out(fault, "delete", key, partial(self.inner.adelete, [key]))
        with failures:
            await self.inner.adelete(plain)
        failures.throw()

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        fault = self._plan.next("copy", key)
        return await self._acarry_out(fault, "copy", key, partial(self.inner.acopy, key, new_key))

    async def alist(
        self, prefix: str = "", start_after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        fault = self._plan.next("list", prefix)
        await self._await(fault)
        _fail(fault, "list", prefix, is_done=False)
        async for info in self.inner.alist(prefix, start_after):
            yield info
        _fail(fault, "list", prefix, is_done=True)

    async def _acarry_out(
        self, fault: Fault, verb: Verb, key: str, action: Callable[[], Awaitable[T]]
    ) -> T:
        await self._await(fault)
        _fail(fault, verb, key, is_done=False)
        result = await action()
        if fault.twice:
            result = await action()
        _fail(fault, verb, key, is_done=True)
        return result

    async def _await(self, fault: Fault) -> None:
        if fault.before is not None:
            await asyncio.to_thread(fault.before)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        free = self._plan.free
        while fault.hangs and not free.is_set():  # noqa: ASYNC110  set by any thread
            await asyncio.sleep(_TICK)


class _Failures(dict[str, Exception]):
    """A block in which deletions may fail; `throw` raises what failed, of all such blocks."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, DeletionError):
            return False
        self.update(error.failures)
        return True

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        """Let the deletion of one key fail."""
        try:
            with self:
                yield
        except StorageError as error:
            self[key] = error

    def throw(self) -> None:
        if self:
            raise DeletionError(self)


def _fail(fault: Fault, verb: Verb, key: str, *, is_done: bool) -> None:
    """Raise what a call fails with, if this is the moment."""
    if fault.fails and fault.is_done is is_done:
        raise fault.failure(verb, key)


def _spoiled(fault: Fault, data: bytes) -> Iterator[bytes]:
    spoiled = fault.spoiled(data)
    if spoiled:
        yield spoiled
