"""Shared by all tests of a storage: the fixture, its abilities, contents to store."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO, ClassVar, cast

import pytest

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
