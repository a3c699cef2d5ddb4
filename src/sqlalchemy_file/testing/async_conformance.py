# ruff: noqa: S101
# These are tests.
"""Tests of native coroutines."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar, cast

import pytest

from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from sqlalchemy_file.storage.common.calling import is_native
from sqlalchemy_file.storage.common.protocol import AsyncStorage, Attributes, Storage
from sqlalchemy_file.testing.suite import (
    BLOCK,
    MEGABYTE,
    PLAIN,
    Suite,
    block,
    failing,
    keys_of,
    put,
    read,
    stream_of,
)

T = TypeVar("T")


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

    @pytest.mark.parametrize(
        ("start", "end"), [(0, 4), (4, None), (4, 7), (8, 99), (10, 20), (10, None), (99, 100),
                           (5, 5), (0, 0)],
    )  # fmt: skip
    def test_a_coroutine_reads_ranges_as_python_slices(
        self, storage: Storage, start: int, end: int | None
    ) -> None:
        put(storage, "key", b"0123456789")
        assert _run(_read(storage, "key", start, end)) == b"0123456789"[start:end]

    def test_a_coroutine_that_is_exclusive_leaves_what_is_there(self, storage: Storage) -> None:
        put(storage, "key", b"old")
        for size in (3, 6 * MEGABYTE):
            with pytest.raises(ObjectExistsError):
                _run(_native(storage).aput("key", io.BytesIO(b"n" * size), PLAIN, exclusive=True))
        assert read(storage, "key") == b"old"

    def test_coroutines_do_not_find_what_is_missing(self, storage: Storage) -> None:
        native = _native(storage)
        actions: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: _of(native.astat("missing")),
            lambda: _read(storage, "missing"),
            lambda: _read(storage, "missing", 2, 4),
            lambda: _of(native.acopy("missing", "new")),
        ]
        for action in actions:
            with pytest.raises(ObjectNotFoundError) as caught:
                _run(action())
            assert caught.value.key == "missing"

    def test_coroutines_refuse_bad_keys(self, storage: Storage) -> None:
        native = _native(storage)
        put(storage, "good", b"")
        actions: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: _of(native.aput("../key", io.BytesIO(b""), PLAIN)),
            lambda: _of(native.astat("../key")),
            lambda: _read(storage, "../key"),
            lambda: _of(native.acopy("good", "../key")),
        ]
        for action in actions:
            with pytest.raises(InvalidKeyError):
                _run(action())
        with pytest.raises((InvalidKeyError, DeletionError)):
            _run(native.adelete(["../key"]))

    def test_coroutines_copy_list_and_delete(self, storage: Storage) -> None:
        native = _native(storage)
        for key in ("b", "ab/c", "abc", "a"):
            put(storage, key, b"bytes")
        assert _run(native.acopy("b", "ab/d")).size == 5
        assert _run(_keys(storage)) == keys_of(storage) == ["a", "ab/c", "ab/d", "abc", "b"]
        assert _run(_keys(storage, "ab", "ab/c")) == ["ab/d", "abc"]
        _run(native.adelete(["ab/c", "missing", "b"]))
        assert _run(_keys(storage)) == ["a", "ab/d", "abc"]

    @pytest.mark.parametrize("size", [0, 11 * MEGABYTE])
    def test_content_that_fails_in_a_coroutine_leaves_nothing(
        self, storage: Storage, size: int
    ) -> None:
        failure = ZeroDivisionError("the content's own error")
        with pytest.raises(ZeroDivisionError) as caught:
            _run(_native(storage).aput("key", failing(size, failure), PLAIN))
        assert caught.value is failure
        assert keys_of(storage) == []

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


async def _read(storage: Storage, key: str, start: int = 0, end: int | None = None) -> bytes:
    chunks = [chunk async for chunk in _native(storage).astream(key, start, end)]
    assert all(chunks)
    return b"".join(chunks)


async def _keys(storage: Storage, prefix: str = "", start_after: str | None = None) -> list[str]:
    return [info.key async for info in _native(storage).alist(prefix, start_after)]
