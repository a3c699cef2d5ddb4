"""The bytes of an answer: what becomes of a storage's stream when a client leaves."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from sqlalchemy_file import StorageManager
from sqlalchemy_file.serving.bodies import stream
from sqlalchemy_file.serving.http import ByteRange
from sqlalchemy_file.storage import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage


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
