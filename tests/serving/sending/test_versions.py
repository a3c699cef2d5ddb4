"""An object that is replaced while its ranges are sent: no answer mixes two versions."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from libcloud.storage.drivers.local import LocalStorageDriver
from obstore.store import MemoryStore

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving import budget
from sqlalchemy_file.serving.http import ByteRange, Segment
from sqlalchemy_file.storage import Attributes
from tests.serving.reading import astream, stream

SIZE = 3_000_000
OLD, NEW = b"o" * SIZE, b"n" * SIZE
PARTS: list[Segment] = [
    b"first",
    ByteRange(0, 10),
    b"second",
    ByteRange(SIZE - 10, SIZE),
    b"last",
]

KINDS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: "memory://",
    "local": lambda folder: folder,
    "libcloud": lambda folder: LocalStorageDriver(str(folder.parent)).get_container(folder.name),
    "obstore": lambda folder: MemoryStore(),
    "fsspec": lambda folder: DirFileSystem(str(folder), LocalFileSystem()),
}


def test_an_object_of_another_size_is_not_sent_as_a_whole_one(storage: Any) -> None:
    for size in (SIZE - 1, SIZE + 1):
        with pytest.raises(StorageError, match=f"has {SIZE} bytes, and not {size}"):
            asyncio.run(astream("main", "key", [ByteRange(0, size)], None, size))
        with pytest.raises(StorageError, match=f"has {SIZE} bytes, and not {size}"):
            list(stream("main", "key", [*PARTS, ByteRange(5, 6)], None, size))


@pytest.mark.parametrize("is_awaited", [False, True])
def test_a_small_object_that_is_longer_than_its_record_is_not_sent(
    storage: Any, *, is_awaited: bool
) -> None:
    storage.put("small", io.BytesIO(b"0123456789"), Attributes())
    whole, sent = [ByteRange(0, 9)], list(stream("main", "small", [ByteRange(0, 10)], None, 10))
    assert b"".join(sent) == b"0123456789"
    with pytest.raises(StorageError, match=r"and not 9|more bytes than were announced"):
        if is_awaited:
            asyncio.run(astream("main", "small", whole, None, 9))
        else:
            stream("main", "small", whole, None, 9)


class Encrypting(LocalStorageDriver):
    """Stores more bytes than it is given, as a program's driver that encrypts does."""

    def upload_object_via_stream(self, iterator: Any, *args: Any, **options: Any) -> Any:
        stored = chain(iterator, [b"16 bytes of more"])
        return super().upload_object_via_stream(stored, *args, **options)


def test_an_object_of_a_driver_that_encrypts_is_sent(tmp_path: Path) -> None:
    container = Encrypting(str(tmp_path.parent)).get_container(tmp_path.name)
    StorageManager.add_storage("main", container)
    storage = StorageManager.storage("main")
    storage.put("key", io.BytesIO(OLD), Attributes())
    assert storage.stat("key").size == SIZE + 16

    async def run() -> bytes:
        answer = await astream("main", "key", [ByteRange(0, SIZE)], None, SIZE)
        return b"".join([chunk async for chunk in answer])

    assert asyncio.run(run()) == OLD
    assert b"".join(stream("main", "key", PARTS, None, SIZE)).count(b"o" * 10) == 2


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    StorageManager.add_storage("main", KINDS[request.param](tmp_path))
    storage = StorageManager.storage("main")
    storage.put("key", io.BytesIO(OLD), Attributes())
    return storage


def replace(storage: Any) -> None:
    storage.put("key", io.BytesIO(NEW), Attributes())


def require_one_version(parts: list[bytes], error: Exception | None) -> None:
    sent = b"".join(parts)
    assert sent.count(b"o" * 10) == (1 if error else 2)
    assert b"n" * 10 not in sent
    assert error is None or "replaced" in str(error)


def test_the_parts_of_an_awaited_answer_are_of_one_version(storage: Any) -> None:
    received: list[bytes] = []
    error = None

    async def run() -> None:
        async for chunk in await astream("main", "key", PARTS):
            received.append(chunk)
            if chunk == b"second":
                replace(storage)

    try:
        asyncio.run(run())
    except StorageError as raised:
        error = raised
    require_one_version(received, error)


def test_the_parts_of_an_answer_from_threads_are_of_one_version(storage: Any) -> None:
    received: list[bytes] = []
    with pytest.raises(StorageError) as raised:
        for chunk in stream("main", "key", PARTS):
            received.append(chunk)
            if chunk == b"second":
                replace(storage)
    require_one_version(received, raised.value)


def test_a_slow_download_that_is_taken_up_again_is_of_one_version(
    storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "STREAMS", 0)
    monkeypatch.setattr(budget, "AHEAD", 0)
    received: list[bytes] = []
    error = None

    async def run() -> None:
        async for chunk in await astream("main", "key", [ByteRange(0, SIZE)]):
            if not received:
                replace(storage)
            received.append(chunk)

    try:
        asyncio.run(run())
    except StorageError as raised:
        error = raised
    assert b"n" not in b"".join(received)
    assert b"".join(received) == OLD or "replaced" in str(error)


@pytest.mark.parametrize("part", [ByteRange(0, 10), ByteRange(0, SIZE)])
@pytest.mark.parametrize("is_awaited", [False, True])
def test_an_object_that_is_replaced_after_it_was_described_is_an_error(
    storage: Any, part: ByteRange, *, is_awaited: bool
) -> None:
    info = storage.stat("key")
    storage.put("key", io.BytesIO(NEW + b"n"), Attributes())
    with pytest.raises(StorageError, match="replaced"):
        if is_awaited:
            asyncio.run(astream("main", "key", [part], info))
        else:
            stream("main", "key", [part], info)
