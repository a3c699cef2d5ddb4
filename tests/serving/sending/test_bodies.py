"""The bytes of an answer: what becomes of a storage's stream when a client leaves."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import pytest

from sqlalchemy_file import StorageManager
from sqlalchemy_file.serving.http import ByteRange, Segment
from sqlalchemy_file.storage import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.serving.reading import astream, stream


class Watched(MemoryStorage):
    """A storage in memory that yields one byte at a time and knows how many streams are open."""

    open = 0

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.open += 1
        try:
            for chunk in super().stream(key, start, end):
                yield from (bytes([byte]) for byte in chunk)
        finally:
            self.open -= 1


def test_a_server_that_closes_the_body_closes_the_stream_of_the_storage() -> None:
    storage = Watched()
    StorageManager.add_storage("main", storage)
    storage.put("key", io.BytesIO(b"0123456789"), Attributes())
    body: Any = stream("main", "key", [ByteRange(2, 8)])
    assert [next(body), next(body)] == [b"2", b"3"]
    assert storage.open == 1
    body.close()
    assert storage.open == 0
    assert list(body) == []


def test_a_body_that_is_closed_before_it_is_sent_closes_the_stream_of_the_storage() -> None:
    storage = Watched()
    StorageManager.add_storage("main", storage)
    storage.put("key", io.BytesIO(b"0123456789"), Attributes())

    def close() -> int:
        body: Any = stream("main", "key", [ByteRange(2, 8)])
        assert storage.open == 1
        body.close()
        return storage.open

    async def close_while_a_loop_runs() -> int:
        return close()

    assert (close(), asyncio.run(close_while_a_loop_runs())) == (0, 0)


class Plain(MemoryStorage):
    """A storage whose chunks come from an iterator that cannot be closed."""

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return iter(list(super().stream(key, start, end)))


class PlainAsync(Plain):
    """The same, with coroutines of its own."""

    async def _unused(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    aput = adelete = acopy = alist = _unused

    async def astat(self, key: str) -> Any:
        return self.stat(key)

    def astream(self, key: str, start: int = 0, end: int | None = None) -> Any:
        return Chunks(self.stream(key, start, end))


class Chunks:
    """An asynchronous iterator that is no generator."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


@pytest.mark.parametrize("segments", [[ByteRange(2, 8)], [ByteRange(2, 4), ByteRange(4, 8)]])
@pytest.mark.parametrize("storage", [Plain(), PlainAsync()], ids=["plain", "async"])
def test_chunks_of_an_iterator_that_cannot_be_closed_are_sent(
    storage: Any, segments: list[Segment]
) -> None:
    async def run() -> bytes:
        return b"".join([chunk async for chunk in await astream("main", "key", segments)])

    StorageManager.add_storage("main", storage)
    storage.put("key", io.BytesIO(b"0123456789"), Attributes())
    assert b"".join(stream("main", "key", segments)) == b"234567"
    assert asyncio.run(run()) == b"234567"
