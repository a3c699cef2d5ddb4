"""Requests to an obstore store, from threads and from coroutines, and the content they send."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from obstore.store import HTTPStore

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.calling import InLoop, InThread, Translator
from sqlalchemy_file.storage.obstore.errors import Panic, is_panic, reason_of
from sqlalchemy_file.support.defaults import current_limits
from sqlalchemy_file.transfer import await_to_end, in_thread


class Source:
    """The content of an upload, which begins with chunks that were already read.

    It is read in another thread than obstore's runtime: it may be an object of obstore, which
    cannot be read inside that runtime.
    """

    def __init__(
        self,
        begun: Sequence[bytes],
        content: BinaryIO,
        translator: Translator,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        self._begun = list(begun)
        self._content = content
        self._translator = translator
        self._at_end = at_end
        self._stopped = False
        self.size: int = 0

    def chunks(self) -> Iterator[bytes]:
        context = copy_context()
        with ThreadPoolExecutor(1, "sqlalchemy-file-source") as reader:
            while chunk := reader.submit(context.run, self._read).result():
                yield chunk

    async def achunks(self) -> AsyncIterator[bytes]:
        while chunk := await in_thread(self._read):
            yield chunk

    def _read(self) -> bytes:
        if self._stopped:
            raise StoppedError
        chunk = (
            self._begun.pop(0) if self._begun else self._translator.read(self._content, READ_SIZE)
        )
        self.size += len(chunk)
        if not chunk and self._at_end is not None:
            self._at_end()
        return chunk

    def stop(self) -> None:
        """Fail at the next chunk, so that obstore deletes the parts that it has sent."""
        self._stopped = True


class StoppedError(Exception):
    """The upload was cancelled."""


if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

READ_SIZE = 1024 * 1024
"""Bytes to read at a time, in either direction; fewer are slower."""
_ASYNC_READ_SIZE = 768 * 1024  # 256 KB takes a quarter more of the processor, 512 KB a tenth


class Client:
    """A store, for threads and for coroutines. ``once`` is the same store without retries."""

    def __init__(self, store: ObjectStore, once: ObjectStore | None) -> None:
        self._store = store
        self._once = once or store
        self._is_web = isinstance(store, HTTPStore)
        self.in_thread: ThreadRequests = ThreadRequests(self)
        self.in_loop: LoopRequests = LoopRequests(self)

    def method(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return a method of the store; conditional creates are not retried."""
        if self._is_web and not name.startswith("get"):
            key = arguments[0]
            raise StorageError(
                "a web server can only be read from: choose another storage to write to",
                key=key if isinstance(key, str) else None,
            )
        is_new = options.get("mode") == "create" or options.get("overwrite") is False
        store = self.ready()
        return getattr(self._once if is_new else store, name)

    def ready(self) -> Any:
        if Process.is_forked:
            raise StorageError(
                "this process was forked after obstore was first used, and obstore's threads did "
                "not survive that: start workers with 'spawn' or 'forkserver', or fork before the "
                "first use"
            )
        Process.is_used = True
        return self._store


class ThreadRequests(InThread):
    """Sends requests from a thread, which waits."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turns: dict[int, threading.BoundedSemaphore] = {}

    async def request(
        self,
        name: str,
        *arguments: Any,
        source: Source | None = None,
        undo: tuple[Any, ...] | None = None,
        **options: Any,
    ) -> Any:
        """Call a method of the store; a source is its last argument.

        ``undo`` is sent if the request was cancelled and has succeeded all the same.
        """
        del undo
        method = self._client.method(name, arguments, options)
        contents = [source.chunks()] if source else []
        with _panics_as_errors():
            return method(*arguments, *contents, **options)

    async def read(self, read: Callable[[], T], *, is_in_memory: bool) -> T:
        """Read some content, in a thread unless it ``is_in_memory``."""
        return read()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the limit of large uploads at the same time."""
        most = current_limits().uploads
        with self._turns.setdefault(most, threading.BoundedSemaphore(most)):
            yield

    def body(self, answer: Any) -> AsyncIterator[Any]:
        return self.iterate(iter(answer.stream(READ_SIZE)))

    def pages(self, listing: Any, *, is_sorted: bool) -> AsyncIterator[Any]:
        """Return the pages of a listing; an unsorted one is one page."""
        return self.iterate(iter(listing if is_sorted else [listing.collect()]))


class LoopRequests(InLoop):
    """Sends requests from coroutines."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turns: WeakKeyDictionary[Any, dict[int, asyncio.Semaphore]] = WeakKeyDictionary()

    async def request(
        self,
        name: str,
        *arguments: Any,
        source: Source | None = None,
        undo: tuple[Any, ...] | None = None,
        **options: Any,
    ) -> Any:
        method = self._client.method(f"{name}_async", arguments, options)
        contents = [source.achunks()] if source else []
        with _panics_as_errors():
            answer = method(*arguments, *contents, **options)
            return await (answer if name == "get" else self._to_the_end(answer, source, undo))

    async def read(self, read: Callable[[], T], *, is_in_memory: bool) -> T:
        if not is_in_memory:
            return await self.run(read)
        await asyncio.sleep(0)  # many tasks may come here at once
        return read()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        most = current_limits().uploads
        turns = self._turns.setdefault(asyncio.get_running_loop(), {})
        async with turns.setdefault(most, asyncio.Semaphore(most)):
            yield

    def body(self, answer: Any) -> AsyncIterator[Any]:
        body: AsyncIterator[Any] = answer.stream(_ASYNC_READ_SIZE)
        return body

    def pages(self, listing: Any, *, is_sorted: bool) -> AsyncIterator[Any]:
        pages: AsyncIterator[Any] = listing if is_sorted else _one_page(listing)
        return pages

    async def _to_the_end(
        self, answer: Awaitable[T], source: Source | None, undo: tuple[Any, ...] | None
    ) -> T:
        """Await a request even when cancelled; obstore would not delete the parts it has sent."""
        sending = asyncio.ensure_future(answer)
        try:
            return await await_to_end(sending, source.stop if source else None)
        except asyncio.CancelledError as cancelled:
            if undo and not sending.cancelled() and sending.exception() is None:
                await self._take_back(undo, cancelled)
            raise

    async def _take_back(self, undo: tuple[Any, ...], cancelled: asyncio.CancelledError) -> None:
        try:
            await self.request(*undo)
        except Exception as error:  # noqa: BLE001  it must not hide the cancellation
            cancelled.add_note(f"stored, and could not be deleted again: {undo[1:]}: {error}")


Requests: TypeAlias = ThreadRequests | LoopRequests


async def _one_page(listing: Any) -> AsyncIterator[Any]:
    yield await listing.collect_async()


@contextmanager
def _panics_as_errors() -> Iterator[None]:
    """Raise an Exception for a panic in Rust, which is none."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        raise Panic(reason_of(error)) from error


class Process:
    """Whether obstore was used in this process, or before the fork: its threads do not survive."""

    is_used = False
    is_forked = False


def _after_fork() -> None:
    Process.is_forked = Process.is_used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
