"""Iterators of bytes: as a binary file, and cut to a range."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Self, cast


class ChunkReader(io.RawIOBase):
    """Reads what an iterable of bytes yields, once, from its beginning to its end."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes, empty only at the end."""
        if size is None or size < 0:
            return b"".join([self._rest, *self._chunks])
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Close a generator that was not read to its end, with what it holds open."""
        close = getattr(self._chunks, "close", None)
        if not self.closed and close is not None:
            close()
        super().close()

    def __enter__(self) -> Self:
        return self


def cut(chunks: Iterable[bytes], start: int, end: int | None) -> Iterator[bytes]:
    """Yield the range of what ``chunks`` yield, for servers that know no ranges."""
    position = 0
    for chunk in chunks:
        wanted = chunk[max(start - position, 0) : None if end is None else max(end - position, 0)]
        position += len(chunk)
        if wanted:
            yield wanted
        if end is not None and position >= end:
            return


def reader_of(chunks: Iterable[bytes]) -> BinaryIO:
    """Return a binary file of what an iterable of bytes yields."""
    return cast("BinaryIO", ChunkReader(chunks))


def size_left(content: Any) -> int | None:
    """Return how many bytes there are still to be read, where that is known without a request."""
    own = getattr(content, "size_left", None)
    if own is not None:
        return cast("int | None", own())
    if isinstance(getattr(content, "raw", content), _SEEKABLE):
        with suppress(OSError, ValueError):  # a pipe, a closed file: reading it tells
            position: int = content.tell()
            end: int = content.seek(0, os.SEEK_END)
            content.seek(position)
            return end - position
    return None


_SEEKABLE = (io.BytesIO, io.FileIO, SpooledTemporaryFile)
