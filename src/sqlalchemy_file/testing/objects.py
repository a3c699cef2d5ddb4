# ruff: noqa: S101
# These are tests.
"""The base of all tests of a storage, and tests of single objects: put, read, copied, deleted."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, ClassVar, cast

import pytest

from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo, Storage

MEGABYTE = 1024 * 1024
BLOCK = MEGABYTE // 4
PLAIN = Attributes()


class Suite:
    """Tests of one storage; the class attributes say what it cannot do."""

    keeps_attributes: ClassVar[bool] = True
    """Whether name, content type and metadata come back with the object."""

    keeps_bytes_in_memory: ClassVar[bool] = False
    """Whether a large object is meant to take memory."""

    decides_races: ClassVar[bool] = True
    """Whether of two exclusive writers of one key at the same moment only one can win."""

    @pytest.fixture
    def storage(self) -> Storage:
        """Return an empty storage."""
        raise NotImplementedError("override the fixture 'storage'")


def put(storage: Storage, key: str, data: bytes) -> ObjectInfo:
    return storage.put(key, io.BytesIO(data), PLAIN)


def read(storage: Storage, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(storage.stream(key, start, end))


def keys_of(storage: Storage, prefix: str = "", start_after: str | None = None) -> list[str]:
    return [info.key for info in storage.list(prefix, start_after)]


class Chunks(io.RawIOBase):
    """A stream that cannot seek, and returns less than it is asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = filter(None, chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = self._rest or next(self._chunks, b"")
        end = len(chunk) if size is None or size < 0 else size
        self._rest = chunk[end:]
        return chunk[:end]


def block(number: int) -> bytes:
    return number.to_bytes(8, "big") * (BLOCK // 8)


def stream_of(chunks: Iterable[bytes]) -> BinaryIO:
    return cast("BinaryIO", Chunks(chunks))


def failing(size: int, failure: BaseException) -> BinaryIO:
    def chunks() -> Iterator[bytes]:
        for begin in range(0, size, MEGABYTE):
            yield b"x" * min(MEGABYTE, size - begin)
        raise failure

    return stream_of(chunks())


ODD_KEYS = (
    "with space.txt",
    "ümläut-日本語-🙂",
    "a+b&c=d?e#f%41",
    "quote'\"<>;:,*|~!$()[]{}^`@",
    ".hidden",
    "UPPER-and-lower",
    "x" * 200,
)
BAD_KEYS = ("", "/absolute", "../outside", "a/../../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb")
ODD_ATTRIBUTES = (
    Attributes(filename="Übersicht 日本語 🙂.pdf", content_type="application/pdf"),
    Attributes(filename=" two  spaces ", content_type="text/plain; charset=utf-8"),
    Attributes(filename='100%25 "quoted", a;b\\c.txt', content_type="text/x-odd"),
    Attributes(filename="a\r\nX-Injected: yes", metadata={"note": "line\nbreak\ttab"}),
    Attributes(filename="n", metadata={"größe": "größer", "id": "7", "empty-not": "%41%zz"}),
)


class Objects(Suite):
    """Single objects: what is put can be read."""

    def test_it_has_the_methods_of_a_storage(self, storage: Storage) -> None:
        assert isinstance(storage, Storage)

    def test_what_is_put_can_be_read(self, storage: Storage) -> None:
        info = put(storage, "key", b"some bytes")
        assert (info.key, info.size) == ("key", 10)
        assert read(storage, "key") == b"some bytes"
        assert (storage.stat("key").key, storage.stat("key").size) == ("key", 10)

    def test_content_is_stored_from_where_it_stands(self, storage: Storage) -> None:
        content = io.BytesIO(b"skipped, stored")
        content.seek(9)
        assert storage.put("key", content, PLAIN).size == 6
        assert read(storage, "key") == b"stored"

    def test_content_may_come_in_small_pieces(self, storage: Storage) -> None:
        storage.put("key", stream_of([b"a", b"bc", b"", b"def"] * 100), PLAIN)
        assert read(storage, "key") == b"abcdef" * 100

    def test_an_empty_object_is_an_object(self, storage: Storage) -> None:
        assert put(storage, "empty", b"").size == 0
        assert storage.stat("empty").size == 0
        assert read(storage, "empty") == b""
        assert read(storage, "empty", 0, 10) == b""
        assert keys_of(storage) == ["empty"]

    def test_a_second_put_replaces_bytes_and_attributes(self, storage: Storage) -> None:
        storage.put("key", io.BytesIO(b"first, and longer"), Attributes(filename="first"))
        storage.put("key", io.BytesIO(b"second"), Attributes(content_type="text/second"))
        assert read(storage, "key") == b"second"
        assert storage.stat("key").attributes.filename is None
        assert keys_of(storage) == ["key"]

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, 4), (4, None), (4, 7), (9, 10), (0, 10), (8, 99), (10, 20), (10, None), (99, None),
         (99, 100), (5, 5), (0, 0)],
    )  # fmt: skip
    def test_a_range_is_read_as_python_slices(
        self, storage: Storage, start: int, end: int | None
    ) -> None:
        put(storage, "key", b"0123456789")
        assert read(storage, "key", start, end) == b"0123456789"[start:end]

    def test_no_chunk_is_empty(self, storage: Storage) -> None:
        put(storage, "key", b"0123456789")
        assert all(storage.stream("key"))
        assert all(storage.stream("key", 3, 8))

    def test_a_stream_can_be_left_half_way(self, storage: Storage) -> None:
        put(storage, "key", b"x" * 3 * MEGABYTE)
        chunks = cast("Any", storage.stream("key"))
        next(chunks)
        chunks.close()
        assert read(storage, "key", 5, 8) == b"xxx"

    def test_a_missing_object_is_not_found(self, storage: Storage) -> None:
        actions: list[Callable[[], object]] = [
            lambda: storage.stat("missing"),
            lambda: list(storage.stream("missing")),
            lambda: list(storage.stream("missing", 2, 4)),
            lambda: storage.copy("missing", "new"),
        ]
        for action in actions:
            with pytest.raises(ObjectNotFoundError) as caught:
                action()
            assert caught.value.key == "missing"
        assert keys_of(storage) == []

    def test_dates_are_told_with_their_time_zone(self, storage: Storage) -> None:
        put(storage, "key", b"")
        for info in (storage.stat("key"), *storage.list()):
            if info.last_modified is not None:
                age = datetime.now(UTC) - info.last_modified
                assert abs(age) < timedelta(minutes=15)

    def test_errors_are_those_of_a_storage(self, storage: Storage) -> None:
        with pytest.raises(StorageError, match="'missing'"):
            storage.stat("missing")

    # ``exclusive=True`` never overwrites.

    def test_exclusive_creates_what_is_new(self, storage: Storage) -> None:
        storage.put("key", io.BytesIO(b"new"), PLAIN, exclusive=True)
        assert read(storage, "key") == b"new"

    @pytest.mark.parametrize("size", [3, 6 * MEGABYTE])
    def test_exclusive_leaves_what_is_there(self, storage: Storage, size: int) -> None:
        storage.put("key", io.BytesIO(b"old"), Attributes(filename="old"))
        with pytest.raises(ObjectExistsError) as caught:
            storage.put("key", io.BytesIO(b"n" * size), Attributes(filename="new"), exclusive=True)
        assert caught.value.key == "key"
        assert read(storage, "key") == b"old"
        assert storage.stat("key").attributes.filename in {"old", None}

    def test_of_many_exclusive_writers_one_wins(self, storage: Storage) -> None:
        def write(number: int) -> int | None:
            with suppress(ObjectExistsError):
                storage.put("key", io.BytesIO(b"%d" % number), PLAIN, exclusive=True)
                return number
            return None

        with ThreadPoolExecutor(8) as threads:
            winners = [number for number in threads.map(write, range(8)) if number is not None]
        assert int(read(storage, "key")) in winners
        assert len(winners) == 1 or not self.decides_races

    # Keys and attributes of any characters, and keys that are refused.

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_a_key_may_hold_any_characters(self, storage: Storage, key: str) -> None:
        put(storage, key, b"bytes")
        assert read(storage, key) == b"bytes"
        assert storage.stat(key).key == key
        assert keys_of(storage) == [key]
        storage.copy(key, f"{key} 2")
        assert read(storage, f"{key} 2") == b"bytes"
        storage.delete([key, f"{key} 2"])
        assert keys_of(storage) == []

    def test_a_key_may_hold_slashes(self, storage: Storage) -> None:
        for key in ("a/b/c", "a/b/d", "a/e", "f"):
            put(storage, key, key.encode())
        assert keys_of(storage) == ["a/b/c", "a/b/d", "a/e", "f"]
        assert read(storage, "a/b/c") == b"a/b/c"
        storage.delete(["a/b/c", "a/b/d"])
        assert keys_of(storage) == ["a/e", "f"]
        put(storage, "a/b/c", b"again")
        assert read(storage, "a/b/c") == b"again"

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_a_key_that_leaves_the_container_is_refused(self, storage: Storage, key: str) -> None:
        actions: list[Callable[[], object]] = [
            lambda: put(storage, key, b""),
            lambda: storage.stat(key),
            lambda: list(storage.stream(key)),
            lambda: storage.copy(key, "new"),
            lambda: storage.copy("good", key),
        ]
        put(storage, "good", b"")
        for action in actions:
            with pytest.raises(InvalidKeyError):
                action()
        with pytest.raises((InvalidKeyError, DeletionError)):
            storage.delete(["good", key])

    @pytest.mark.parametrize("attributes", ODD_ATTRIBUTES, ids=repr)
    def test_attributes_survive(self, storage: Storage, attributes: Attributes) -> None:
        storage.put("key", io.BytesIO(b"x"), attributes)
        kept = storage.stat("key").attributes
        assert read(storage, "key") == b"x"
        if self.keeps_attributes:
            assert kept.filename == attributes.filename
            assert kept.content_type == attributes.content_type or not attributes.content_type
            assert kept.metadata == attributes.metadata

    # Deleted objects are gone, copies are whole.

    def test_a_deleted_object_is_gone(self, storage: Storage) -> None:
        put(storage, "key", b"bytes")
        storage.delete(["key"])
        with pytest.raises(ObjectNotFoundError):
            storage.stat("key")
        assert keys_of(storage) == []

    def test_many_are_deleted_at_once_and_no_other(self, storage: Storage) -> None:
        for number in range(20):
            put(storage, f"key-{number:02}", b"")
        storage.delete([f"key-{number:02}" for number in range(19)])
        assert keys_of(storage) == ["key-19"]

    def test_deleting_what_is_missing_is_no_error(self, storage: Storage) -> None:
        put(storage, "there", b"")
        storage.delete(["missing"])
        storage.delete(["missing", "deep/missing", "there"])
        storage.delete([])
        assert keys_of(storage) == []

    def test_a_copy_has_bytes_and_attributes(self, storage: Storage) -> None:
        attributes = Attributes(filename="ü.txt", content_type="text/plain", metadata={"a": "b"})
        storage.put("key", io.BytesIO(b"bytes"), attributes)
        info = storage.copy("key", "folder/new ü")
        assert (info.key, info.size) == ("folder/new ü", 5)
        storage.delete(["key"])
        assert read(storage, "folder/new ü") == b"bytes"
        if self.keeps_attributes:
            kept = storage.stat("folder/new ü").attributes
            assert (kept.filename, kept.content_type) == ("ü.txt", "text/plain")
            assert kept.metadata == {"a": "b"}

    def test_a_copy_replaces_what_was_there(self, storage: Storage) -> None:
        put(storage, "key", b"bytes")
        put(storage, "other", b"older bytes")
        storage.copy("key", "other")
        assert read(storage, "other") == b"bytes"

    def test_a_copy_onto_itself_changes_nothing(self, storage: Storage) -> None:
        put(storage, "key", b"bytes")
        assert storage.copy("key", "key").size == 5
        assert read(storage, "key") == b"bytes"
