# ruff: noqa: S101
# These are tests.
"""The two suites: tests of listings, failures and large objects, and of native coroutines."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import wraps
from typing import Any, BinaryIO, TypeAlias, TypeVar, cast

import pytest

from sqlalchemy_file.exceptions import ObjectNotFoundError
from sqlalchemy_file.storage.common.calling import is_native
from sqlalchemy_file.storage.common.protocol import AsyncStorage, Attributes, Storage
from sqlalchemy_file.testing.objects import (
    BLOCK,
    MEGABYTE,
    PLAIN,
    Objects,
    Suite,
    block,
    failing,
    keys_of,
    put,
    read,
    stream_of,
)

T = TypeVar("T")
_Test: TypeAlias = Callable[..., None]


class StorageConformance(Objects):
    """Tests of any storage; class attributes name the tests that it cannot pass."""

    # Keys are listed in order.

    def test_keys_are_listed_in_order(self, storage: Storage) -> None:
        keys = ["b", "a/z", "a!", "a0", "a/b/c", "B", "ä", "a-", "aa", "🙂", "\uffee", "a/b!"]
        for key in keys:
            put(storage, key, b"x" * len(key))
        listed = list(storage.list())
        assert [info.key for info in listed] == sorted(keys)
        assert all(info.size == len(info.key) for info in listed)

    def test_a_prefix_need_not_end_where_a_name_does(self, storage: Storage) -> None:
        for key in ("ab/c", "ab/d", "abc", "ac", "b"):
            put(storage, key, b"")
        assert keys_of(storage, "ab") == ["ab/c", "ab/d", "abc"]
        assert keys_of(storage, "ab/") == ["ab/c", "ab/d"]
        assert keys_of(storage, "ab/c") == ["ab/c"]
        assert keys_of(storage, "zz") == keys_of(storage, "zz/y") == keys_of(storage, "../") == []

    def test_listing_goes_on_after_a_key(self, storage: Storage) -> None:
        for key in ("a", "b/c", "b/d", "b0", "c"):
            put(storage, key, b"")
        assert keys_of(storage, "", "b/c") == ["b/d", "b0", "c"]
        assert keys_of(storage, "", "b") == ["b/c", "b/d", "b0", "c"]
        assert keys_of(storage, "", "b/zzz") == ["b0", "c"]
        assert keys_of(storage, "b", "b/c") == ["b/d", "b0"]
        assert keys_of(storage, "b/", "b/d") == keys_of(storage, "", "zz") == []

    def test_deleting_while_listing_is_harmless(self, storage: Storage) -> None:
        for number in range(5):
            put(storage, f"folder/{number}", b"")
        for info in storage.list():
            storage.delete([info.key])
        assert keys_of(storage) == []

    # An object is there complete or not at all.

    @pytest.mark.parametrize("size", [0, MEGABYTE, 7 * MEGABYTE, 11 * MEGABYTE])
    def test_content_that_fails_leaves_nothing(self, storage: Storage, size: int) -> None:
        failure = ZeroDivisionError("the content's own error")
        with pytest.raises(ZeroDivisionError) as caught:
            storage.put("key", failing(size, failure), PLAIN)
        assert caught.value is failure
        assert keys_of(storage) == []

    def test_content_that_fails_with_an_os_error_raises_that_error(self, storage: Storage) -> None:
        failure = FileNotFoundError(2, "the content's own error")
        with pytest.raises(OSError) as caught:  # noqa: PT011  that very one
            storage.put("folder/key", failing(10, failure), PLAIN)
        assert caught.value is failure

    def test_content_that_fails_leaves_the_older_object(self, storage: Storage) -> None:
        storage.put("key", io.BytesIO(b"older"), Attributes(filename="older"))
        with pytest.raises(ZeroDivisionError):
            storage.put("key", failing(6 * MEGABYTE, ZeroDivisionError()), PLAIN)
        assert read(storage, "key") == b"older"
        assert storage.stat("key").attributes.filename in {"older", None}

    def test_content_that_yields_text_is_refused(self, storage: Storage) -> None:
        with pytest.raises(TypeError):
            storage.put("key", cast("BinaryIO", io.StringIO("text")), PLAIN)
        assert keys_of(storage) == []

    @pytest.mark.parametrize("size", [10, 6 * MEGABYTE])
    def test_an_object_is_invisible_until_it_is_complete(self, storage: Storage, size: int) -> None:
        seen: list[str] = []

        def chunks() -> Iterator[bytes]:
            yield b"x" * size
            seen.extend(keys_of(storage))
            with suppress(ObjectNotFoundError):
                seen.append(storage.stat("key").key)
            yield b"y"

        storage.put("key", stream_of(chunks()), PLAIN)
        assert seen == []
        assert storage.stat("key").size == size + 1

    def test_the_older_object_is_there_until_the_new_is_complete(self, storage: Storage) -> None:
        seen = []

        def chunks() -> Iterator[bytes]:
            yield b"new"
            seen.append(read(storage, "key"))

        put(storage, "key", b"old")
        storage.put("key", stream_of(chunks()), PLAIN)
        assert (seen, read(storage, "key")) == ([b"old"], b"new")

    # Many threads, and large objects.

    def test_every_thread_reads_its_own_objects_back(self, storage: Storage) -> None:
        def work(number: int) -> bool:
            right = True
            for turn in range(10):
                key, data = f"shared/{number}-{turn}", b"%d/%d " % (number, turn) * 500
                storage.put(key, io.BytesIO(data), Attributes(filename=key))
                right = right and read(storage, key) == data
                right = right and read(storage, key, 2, 9) == data[2:9]
                right = right and storage.stat(key).attributes.filename in {key, None}
                storage.delete([key])
            return right

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(work, range(8)))
        assert keys_of(storage) == []

    def test_a_large_object_takes_little_memory(self, storage: Storage) -> None:
        count, limit = 160, 32 * MEGABYTE
        sent, received = hashlib.sha256(), hashlib.sha256()

        def blocks() -> Iterator[bytes]:
            for number in range(count):
                sent.update(block(number))
                yield block(number)

        tracemalloc.start()
        try:
            info = storage.put("large", stream_of(blocks()), PLAIN)
            for chunk in storage.stream("large"):
                received.update(chunk)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert info.size == storage.stat("large").size == count * BLOCK
        assert received.digest() == sent.digest()
        assert read(storage, "large", 100 * BLOCK, 101 * BLOCK) == block(100)
        assert peak < limit or self.keeps_bytes_in_memory


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
        Objects.test_a_range_is_read_as_python_slices
    )
    test_a_coroutine_that_is_exclusive_leaves_what_is_there: _Test = _awaited(
        Objects.test_exclusive_leaves_what_is_there
    )
    test_coroutines_do_not_find_what_is_missing: _Test = _awaited(
        Objects.test_a_missing_object_is_not_found
    )
    test_coroutines_refuse_bad_keys: _Test = _awaited(
        Objects.test_a_key_that_leaves_the_container_is_refused
    )
    test_coroutines_copy: _Test = _awaited(Objects.test_a_copy_has_bytes_and_attributes)
    test_coroutines_delete: _Test = _awaited(Objects.test_deleting_what_is_missing_is_no_error)
    test_coroutines_list: _Test = _awaited(StorageConformance.test_listing_goes_on_after_a_key)
    test_content_that_fails_in_a_coroutine_leaves_nothing: _Test = _awaited(
        StorageConformance.test_content_that_fails_leaves_nothing
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
