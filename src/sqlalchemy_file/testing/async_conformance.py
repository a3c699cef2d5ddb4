# ruff: noqa: S101
# These are tests.
"""Tests of native coroutines."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast

import pytest

from sqlalchemy_file.storage.common.calling import is_native
from sqlalchemy_file.storage.common.protocol import AsyncStorage, Attributes, Storage
from sqlalchemy_file.testing.conformance import Listing, Wholeness
from sqlalchemy_file.testing.objects import (
    BLOCK,
    MEGABYTE,
    PLAIN,
    DeletingAndCopying,
    Exclusive,
    Keys,
    Reading,
    Suite,
    block,
    keys_of,
    read,
    stream_of,
)

T = TypeVar("T")
_Test: TypeAlias = Callable[..., None]


class _Coroutines:
    """The coroutines of a storage as methods, which run an event loop each."""

    def __init__(self, native: Any) -> None:
        self._native = native

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        method = getattr(self._native, f"a{verb}")
        if verb in ("stream", "list"):
            return lambda *arguments: iter(_run(_all(method(*arguments))))
        return lambda *arguments, **options: _run(method(*arguments, **options))


def _awaited(test: _Test) -> _Test:
    """Return a test that runs the coroutines of a storage instead of its methods."""

    @wraps(test)
    def awaited(self: Suite, storage: Storage, **arguments: Any) -> None:
        test(self, _Coroutines(storage), **arguments)

    return awaited


class AsyncStorageConformance(Suite):
    """Tests of the coroutines of any storage."""

    def test_it_has_the_coroutines_of_a_storage(self, storage: Storage) -> None:
        assert is_native(storage)

    def test_a_coroutine_stores_what_is_put(self, storage: Storage) -> None:
        attributes = Attributes(filename="ü.txt", content_type="text/plain", metadata={"a": "ä"})
        stored = _run(_native(storage).aput("key", io.BytesIO(b"bytes"), attributes))
        assert (stored.key, stored.size) == ("key", 5)
        found = _run(_native(storage).astat("key"))
        assert found == storage.stat("key")
        if self.keeps_attributes:
            assert found.attributes == attributes
        assert _run(_read(storage, "key")) == read(storage, "key") == b"bytes"

    @pytest.mark.parametrize("size", [0, 1, 5 * MEGABYTE, 12 * MEGABYTE + 1])
    def test_a_coroutine_stores_contents_of_any_size(self, storage: Storage, size: int) -> None:
        blocks = [block(number) for number in range(size // BLOCK)] + [b"x" * (size % BLOCK)]
        stored = _run(_native(storage).aput("key", stream_of(blocks), PLAIN))
        assert stored.size == storage.stat("key").size == size
        expected = hashlib.sha256(b"".join(blocks)).digest()
        assert hashlib.sha256(_run(_read(storage, "key"))).digest() == expected

    test_a_coroutine_reads_ranges_as_python_slices: _Test = _awaited(
        Reading.test_a_range_is_read_as_python_slices
    )
    test_a_coroutine_that_is_exclusive_leaves_what_is_there: _Test = _awaited(
        Exclusive.test_exclusive_leaves_what_is_there
    )
    test_coroutines_do_not_find_what_is_missing: _Test = _awaited(
        Reading.test_a_missing_object_is_not_found
    )
    test_coroutines_refuse_bad_keys: _Test = _awaited(
        Keys.test_a_key_that_leaves_the_container_is_refused
    )
    test_coroutines_copy: _Test = _awaited(DeletingAndCopying.test_a_copy_has_bytes_and_attributes)
    test_coroutines_delete: _Test = _awaited(
        DeletingAndCopying.test_deleting_what_is_missing_is_no_error
    )
    test_coroutines_list: _Test = _awaited(Listing.test_listing_goes_on_after_a_key)
    test_content_that_fails_in_a_coroutine_leaves_nothing: _Test = _awaited(
        Wholeness.test_content_that_fails_leaves_nothing
    )

    def test_a_coroutine_cancelled_while_it_stores_leaves_nothing(self, storage: Storage) -> None:
        async def cancelled() -> None:
            loop = asyncio.get_running_loop()
            begun = asyncio.Event()

            def chunks() -> Iterator[bytes]:
                for number in range(400):
                    if number == 40:  # beyond what is stored at once
                        loop.call_soon_threadsafe(begun.set)
                    yield block(number)

            task = asyncio.ensure_future(
                _of(_native(storage).aput("k", stream_of(chunks()), PLAIN))
            )
            await asyncio.wait_for(begun.wait(), 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        _run(cancelled())
        assert keys_of(storage) == []

    def test_many_coroutines_at_once_keep_to_their_own_objects(self, storage: Storage) -> None:
        async def work(number: int) -> bool:
            key, data = f"shared/{number}", b"%d " % number * 500
            await _native(storage).aput(key, io.BytesIO(data), PLAIN)
            right = await _read(storage, key) == data
            await _native(storage).adelete([key])
            return right

        async def work_together() -> list[bool]:
            return await asyncio.gather(*(work(number) for number in range(32)))

        assert all(_run(work_together()))
        assert keys_of(storage) == []

    def test_each_event_loop_can_use_it(self, storage: Storage) -> None:
        _run(_native(storage).aput("key", io.BytesIO(b"bytes"), PLAIN))
        assert [_run(_read(storage, "key")) for _ in range(3)] == [b"bytes"] * 3


def _native(storage: Storage) -> AsyncStorage:
    return cast("AsyncStorage", storage)


def _run(awaitable: Awaitable[T]) -> T:
    return asyncio.run(_of(awaitable))


async def _of(awaitable: Awaitable[T]) -> T:
    return await awaitable


async def _read(storage: Storage, key: str) -> bytes:
    return b"".join(await _all(_native(storage).astream(key)))


async def _all(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]
