"""A storage wrapper that injects faults."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import BinaryIO, Self, cast

from sqlalchemy_file.exceptions import DeletionError, StorageError
from sqlalchemy_file.storage import Attributes, HasPublicURL, ObjectInfo, Storage
from sqlalchemy_file.storage.common.calling import (
    IN_LOOP,
    IN_THREAD,
    Calling,
    concurrency_of,
    is_native,
    iterate,
    run,
)
from sqlalchemy_file.storage.owners import keeper_of
from sqlalchemy_file.testing.faults import NO_FAULT, VERBS, Fault, Verb

_TICK = 0.005
"""Seconds after which a call that hangs looks again whether it may continue."""


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
        self.calls: list[tuple[Verb, str]] = []
        """Every call, with its key, in order."""
        self._faults, self._rate, self._seed = faults, rate, seed
        self._free = threading.Event()  # what hanging calls wait for
        self._named: dict[tuple[Verb, int], Fault] = {}
        self._draws: dict[Verb, Iterator[Fault | None]] = {}
        self._counts: dict[Verb, int] = {}
        self._lock = threading.Lock()

    def inject(self, verb: Verb, fault: Fault, *, at: int = 0) -> None:
        """Give the ``at``-th call of ``verb`` from now on a fault; 0 means every call.

        A deletion of several keys counts as that many calls.
        """
        if verb not in VERBS:
            raise ValueError(f"a verb is one of {', '.join(VERBS)}, not {verb!r}")
        if not fault.suits(verb):
            suitable = ", ".join(each for each in VERBS if fault.suits(each))
            raise ValueError(f"this fault happens to {suitable} only, not to {verb!r}")
        with self._lock:
            self._counts[verb] = 0
            self._named[verb, at] = fault

    def mend(self) -> None:
        """End all faults; calls that hang continue."""
        with self._lock:
            self._named.clear()
            self._rate = 0
            self._free.set()
            self._free = threading.Event()

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

    def count(self, *verbs: Verb) -> int:
        """Return the number of calls of these verbs."""
        return sum(verb in verbs for verb, _key in self.calls)

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        return run(self._put(IN_THREAD, key, content, attributes, exclusive))

    def stat(self, key: str) -> ObjectInfo:
        return run(self._call(IN_THREAD, "stat", key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return iterate(self._stream(IN_THREAD, key, start, end))

    def delete(self, keys: Sequence[str]) -> None:
        run(self._delete(IN_THREAD, keys))

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        return run(self._call(IN_THREAD, "copy", key, new_key))

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        return iterate(self._list(IN_THREAD, prefix, start_after))

    def public_url(self, key: str) -> str | None:
        return self.inner.public_url(key) if isinstance(self.inner, HasPublicURL) else None

    async def _put(
        self, calling: Calling, key: str, content: BinaryIO, attributes: Attributes, exclusive: bool
    ) -> ObjectInfo:
        async with self._injected(calling, "put", key) as fault:
            opened = fault.content(content)
            for _ in _times(fault):
                stored: ObjectInfo = await calling.call(
                    self.inner, "put", key, opened(), attributes, exclusive=exclusive
                )
            return stored

    async def _call(self, calling: Calling, verb: Verb, *keys: str) -> ObjectInfo:
        async with self._injected(calling, verb, keys[0]) as fault:
            for _ in _times(fault):
                found: ObjectInfo = await calling.call(self.inner, verb, *keys)
            return found

    async def _stream(
        self, calling: Calling, key: str, start: int, end: int | None
    ) -> AsyncGenerator[bytes]:
        async with self._injected(calling, "stream", key) as fault:
            chunks = calling.items(self.inner, "stream", key, start, end)
            if not fault.changes_bytes:
                async for chunk in chunks:
                    yield chunk
            elif spoiled := fault.spoiled(b"".join([each async for each in chunks])):
                yield spoiled

    async def _delete(self, calling: Calling, keys: Sequence[str]) -> None:
        faults = [(self._next("delete", key), key) for key in keys]
        failures: dict[str, Exception] = {}
        for fault, key in faults:
            if fault == NO_FAULT:
                continue
            with _gathered(failures, key):
                async with self._injected(calling, "delete", key, fault):
                    for _ in _times(fault):
                        await calling.call(self.inner, "delete", [key])
        with _gathered(failures):
            plain = [key for fault, key in faults if fault == NO_FAULT]
            await calling.call(self.inner, "delete", plain)
        if failures:
            raise DeletionError(failures)

    async def _list(
        self, calling: Calling, prefix: str, start_after: str | None
    ) -> AsyncGenerator[ObjectInfo]:
        async with self._injected(calling, "list", prefix):
            async for info in calling.items(self.inner, "list", prefix, start_after):
                yield info

    @asynccontextmanager
    async def _injected(
        self, calling: Calling, verb: Verb, key: str, fault: Fault | None = None
    ) -> AsyncIterator[Fault]:
        """Let a fault happen around a call: this one, or the next of the plan."""
        fault = fault or self._next(verb, key)
        if fault.before is not None:
            await _begin(calling, fault.before)
        if fault.delay:
            await _sleep(calling, fault.delay)
        free = self._free
        while fault.hangs and not free.is_set():
            await _sleep(calling, _TICK)
        if fault.fails and not fault.is_done:
            raise fault.failure(verb, key)
        yield fault
        if fault.fails:
            raise fault.failure(verb, key)

    def _next(self, verb: Verb, key: str) -> Fault:
        """Note a call, and return what happens to it."""
        with self._lock:
            self.calls.append((verb, key))
            count = self._counts[verb] = self._counts.get(verb, 0) + 1
            drawn = next(self._draws.setdefault(verb, self._drawn(verb)))
            named = self._named.get((verb, count)) or self._named.get((verb, 0))
        return named or (drawn if drawn is not None and self._rate else NO_FAULT)

    def _drawn(self, verb: Verb) -> Iterator[Fault | None]:
        random = Random(f"{self._seed}-{verb}")  # noqa: S311  it decides no secret
        suitable = [fault for fault in self._faults if fault.suits(verb)]
        while True:
            is_faulty = random.random() < self._rate
            yield random.choice(suitable) if is_faulty and suitable else None


class AsyncFaultyStorage(FaultyStorage):
    """The same for a storage with native coroutines; `FaultyStorage` chooses it itself."""

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        return await self._put(IN_LOOP, key, content, attributes, exclusive)

    async def astat(self, key: str) -> ObjectInfo:
        return await self._call(IN_LOOP, "stat", key)

    def astream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return self._stream(IN_LOOP, key, start, end)

    async def adelete(self, keys: Sequence[str]) -> None:
        await self._delete(IN_LOOP, keys)

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        return await self._call(IN_LOOP, "copy", key, new_key)

    def alist(self, prefix: str = "", start_after: str | None = None) -> AsyncIterator[ObjectInfo]:
        return self._list(IN_LOOP, prefix, start_after)


async def _begin(calling: Calling, before: Callable[[], object]) -> None:
    if calling is IN_LOOP:
        await asyncio.to_thread(before)  # not `calling.run`: a cancelled call does not wait for it
    else:
        before()


async def _sleep(calling: Calling, seconds: float) -> None:
    if calling is IN_LOOP:
        await asyncio.sleep(seconds)
    else:
        time.sleep(seconds)  # noqa: ASYNC251  in a thread


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
