# ruff: noqa: S101
# These are tests.
"""Tests of listings, large objects and failures; and the whole suite."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO, cast

import pytest

from sqlalchemy_file.exceptions import ObjectNotFoundError
from sqlalchemy_file.storage.common.protocol import Attributes, Storage
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
    failing,
    keys_of,
    put,
    read,
    stream_of,
)


class Listing(Suite):
    """Keys are listed in order."""

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


class Wholeness(Suite):
    """An object is there complete or not at all."""

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


class Load(Suite):
    """Many threads, and large objects."""

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


class StorageConformance(Reading, Exclusive, Keys, DeletingAndCopying, Listing, Wholeness, Load):
    """Tests of any storage; class attributes name the tests that it cannot pass."""
