"""Objects in any obstore store: S3, GCS, Azure, HTTP, a folder, memory."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from weakref import WeakKeyDictionary

from obstore import sign
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store

from sqlalchemy_file.exceptions import (
    DeletionError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.common.errors import Border, sort_out, translated
from sqlalchemy_file.storage.common.expiry import checked_expiry
from sqlalchemy_file.storage.common.metadata_names import HEADERS, IDENTIFIERS
from sqlalchemy_file.storage.common.protocol import (
    Attributes,
    ObjectInfo,
    check_key,
    checked_concurrency,
    checked_verify,
)
from sqlalchemy_file.storage.obstore.answers import with_answer
from sqlalchemy_file.storage.obstore.azure import corrected
from sqlalchemy_file.storage.obstore.errors import Panic, is_panic, our_error, reason_of
from sqlalchemy_file.storage.obstore.requests import (
    ASYNC_READ_SIZE,
    READ_SIZE,
    Listing,
    Reading,
    Request,
    Steps,
    copying,
    deleting,
    describing,
    opening,
)
from sqlalchemy_file.storage.obstore.uploads import Abilities, putting
from sqlalchemy_file.transfer import in_thread, to_the_end

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

CONCURRENCY = 32
"""How many requests at the same time: 8 had less than half the speed, 64 a fifth more."""

LARGE_AT_ONCE = 4
"""How many contents are stored in parts at the same time: each takes some 30 MB of memory."""

_SIGNING = (AzureStore, GCSStore, S3Store)
_SORTED = (AzureStore, GCSStore, MemoryStore, S3Store)


class ObstoreStorage:
    """A store of obstore, from threads and, natively, from coroutines.

    Contents beyond 5 MB are stored in parts, several at once, of a few contents at a time.
    ``exclusive`` is decided by the store, races included: beyond that size by renaming a draft.
    On S3 the key is looked up first, since some servers ignore conditions. An object in parts has
    no condition there: its key is looked up again just before the completion, and of two writers
    who complete at the same moment the last one has it. Attributes are not kept in obstore's
    ``LocalStore``. A cancelled coroutine ends when its request has, and takes back the parts it
    sent; if it was ``exclusive``, the whole object too.

    obstore's threads do not survive a fork: a process that was forked after the first request
    raises `StorageError`.

    obstore repeats any request that an overloaded server answers. ``once`` is the same store
    without that, for those that create only what is new: whose first try took effect after all,
    the second would find its own object there. With ``verify`` the store is asked for the size of
    each object that was just stored.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        concurrency: int = CONCURRENCY,
        once: ObjectStore | None = None,
        verify: bool = False,
    ) -> None:
        self._store = store
        self._once = once or store
        self.concurrency: int = checked_concurrency(concurrency)
        self.verify: bool = checked_verify(verify)
        self._our_error = partial(our_error, place=repr(store))
        self._is_local = isinstance(store, LocalStore)
        self._is_sorted = isinstance(store, _SORTED)
        self._is_web = isinstance(store, HTTPStore)
        self._abilities = Abilities(
            keeps_attributes=not self._is_local,
            names=IDENTIFIERS if isinstance(store, AzureStore) else HEADERS,
            heeds_conditions=not isinstance(store, S3Store),
        )
        self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)
        self._large_by_loop: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()

    def __repr__(self) -> str:
        # The store's own repr shows where it is, and none of its options.
        return f"{type(self).__name__}({self._store!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        with Border(self._our_error, check_key(key)) as border:
            return self._carry_out(self._putting(key, content, attributes, border, exclusive))

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        with Border(self._our_error, check_key(key)) as border:
            steps = self._putting(key, content, attributes, border, exclusive)
            return await self._acarry_out(steps)

    def stat(self, key: str) -> ObjectInfo:
        with Border(self._our_error, check_key(key)):
            return self._carry_out(describing(key))

    async def astat(self, key: str) -> ObjectInfo:
        with Border(self._our_error, check_key(key)):
            return await self._acarry_out(describing(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with Border(self._our_error, check_key(key)):
            opened = self._carry_out(opening(key, start, end))
            if opened is None:
                return
            for chunk in opened.answer.stream(READ_SIZE):
                if part := opened.wanted.of(bytes(chunk)):
                    yield part
                if opened.wanted.is_over:
                    return

    async def astream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        with Border(self._our_error, check_key(key)):
            opened = await self._acarry_out(opening(key, start, end))
            if opened is None:
                return
            async for chunk in opened.answer.stream(ASYNC_READ_SIZE):
                if part := opened.wanted.of(bytes(chunk)):
                    yield part
                if opened.wanted.is_over:
                    return

    def delete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        self._carry_out(deleting(valid, failures, is_local=self._is_local))
        self._raise_if_any(failures)

    async def adelete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        await self._acarry_out(deleting(valid, failures, is_local=self._is_local))
        self._raise_if_any(failures)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        with Border(self._our_error, check_key(key)):
            return self._carry_out(copying(key, check_key(new_key)))

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        with Border(self._our_error, check_key(key)):
            return await self._acarry_out(copying(key, check_key(new_key)))

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        listing = Listing(prefix, start_after, is_sorted=self._is_sorted)
        if listing.is_empty:
            return
        with Border(self._our_error):
            pages = self._ready().list(**listing.arguments)
            for page in pages if listing.is_sorted else [pages.collect()]:
                yield from listing.of(page)
                if listing.is_over:
                    return

    async def alist(
        self, prefix: str = "", start_after: str | None = None
    ) -> AsyncIterator[ObjectInfo]:
        listing = Listing(prefix, start_after, is_sorted=self._is_sorted)
        if listing.is_empty:
            return
        with Border(self._our_error):
            pages = self._ready().list(**listing.arguments)
            async for page in pages if listing.is_sorted else _one_page(pages):
                for info in listing.of(page):
                    yield info
                if listing.is_over:
                    return

    def signed_url(
        self, key: str, *, expires: timedelta | float, method: str = "GET"
    ) -> str | None:
        """Return an address that allows one HTTP method for a while; None beyond the clouds.

        A number means seconds. Raises `ValueError` for more than the seven days that S3 and
        Google allow, `StorageError` where the credentials cannot sign.
        """
        check_key(key)
        if not isinstance(self._store, _SIGNING):
            return None
        wanted = checked_expiry(expires, method, is_limited=not isinstance(self._store, AzureStore))
        allowed: Any = method  # obstore has a type for these words
        with Border(self._our_error, key):
            self._ready()
            address = sign(self._store, allowed, key, wanted)
            if isinstance(self._store, AzureStore):
                return corrected(address, self._store.config, key)
            return address

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from one that had used obstore, and cannot use it."""
        return _process.is_forked

    def signed_download(
        self, key: str, *, expires: timedelta | float, content_type: str, disposition: str
    ) -> str | None:
        """Return a `signed_url` whose answer has this type and disposition, if that can be signed.

        S3 and Azure can, with a secret that is known here. Else it is a plain one.
        """
        address = self.signed_url(key, expires=expires)
        if address is None:
            return None
        return with_answer(self._store, address, content_type, disposition)

    def _putting(
        self, key: str, content: BinaryIO, attributes: Attributes, border: Border, exclusive: bool
    ) -> Steps[ObjectInfo]:
        abilities = self._abilities
        return putting(
            key,
            content,
            attributes,
            border,
            exclusive=exclusive,
            abilities=abilities,
            look=self._refuse_taken,
        )

    def _refuse_taken(self, key: str) -> None:
        with suppress(ObjectNotFoundError):
            self.stat(key)
            raise ObjectExistsError(key=key)

    # --- the two ways of carrying out a verb

    def _carry_out(self, steps: Steps[T]) -> T:
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

    async def _acarry_out(self, steps: Steps[T]) -> T:
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
        method = getattr(self._ready(once=step.once), step.verb)
        contents = [step.source.chunks()] if step.source else []
        return method(*step.arguments, *contents, **step.options)

    async def _await(self, step: Request | Reading) -> Any:
        if isinstance(step, Reading):
            if not step.is_at_hand:
                return await in_thread(step.read)
            await asyncio.sleep(0)  # many may come to this point at once
            return step.read()
        self._refuse_changes(step)
        method = getattr(self._ready(once=step.once), f"{step.verb}_async")
        contents = [step.source.achunks()] if step.source else []
        awaitable = method(*step.arguments, *contents, **step.options)
        return await (self._to_the_end(awaitable, step) if step.changes else awaitable)

    async def _to_the_end(self, awaitable: Awaitable[T], request: Request) -> T:
        """Await a request even when cancelled; obstore would forget the parts it has sent."""
        sending = asyncio.ensure_future(awaitable)
        try:
            return await to_the_end(sending, request.source.stop if request.source else None)
        except asyncio.CancelledError as cancelled:
            if request.undo and not sending.cancelled() and sending.exception() is None:
                await self._take_back(request.undo, cancelled)
            raise

    async def _take_back(self, undo: Request, cancelled: asyncio.CancelledError) -> None:
        try:
            await self._await(undo)
        except Exception as error:  # noqa: BLE001  it must not hide the cancellation
            cancelled.add_note(f"stored, and could not be deleted again: {undo.arguments}: {error}")

    def _raise_if_any(self, failures: dict[str, Exception]) -> None:
        if failures:
            raise DeletionError(
                {key: translated(error, self._our_error, key) for key, error in failures.items()}
            )

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

    def _ready(self, *, once: bool = False) -> Any:
        if _process.is_forked:
            raise StorageError(
                "this process was forked after obstore was first used, and its threads did not "
                "come along: start workers by 'spawn' or 'forkserver', or fork before the first use"
            )
        _process.is_used = True
        return self._once if once else self._store


async def _one_page(pages: Any) -> AsyncIterator[Any]:
    yield await pages.collect_async()


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
