"""Binary files from iterators and asynchronous sources, and ranges of chunks."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from inspect import iscoroutinefunction
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE, ObjectInfo, Storage
from sqlalchemy_file.transfer import in_thread

PART_SIZE = 5 * 1024 * 1024
"""The size of the parts of a multipart upload, S3's minimum. Less is stored in one request."""

SPOOL_SIZE = 1024 * 1024
"""Temporary files are in memory up to this many bytes."""


class ChunkReader(io.RawIOBase):
    """A raw stream of an iterable of bytes, read once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes, empty only at the end."""
        return self.readall() if size is None or size < 0 else bytes(self._take(size))

    def readall(self) -> bytes:
        rest, self._rest = self._rest, memoryview(b"")
        return b"".join([rest, *self._chunks])

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        taken = self._take(len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)

    def _take(self, size: int) -> memoryview:
        while size and not self._rest and (chunk := next(self._chunks, None)) is not None:
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def close(self) -> None:
        """Close a generator too, with the resources that it holds."""
        close = getattr(self._chunks, "close", None)
        if not self.closed and close is not None:
            close()
        super().close()

    def __enter__(self) -> Self:
        return self


class Range:
    """Cuts a range out of chunks that are read from the beginning."""

    def __init__(self, start: int = 0, end: int | None = None) -> None:
        self._start = start
        self._end = end
        self._position = 0

    def of(self, chunk: bytes) -> bytes:
        """Return the part of the next chunk that is in the range."""
        first = max(self._start - self._position, 0)
        last = None if self._end is None else max(self._end - self._position, 0)
        self._position += len(chunk)
        return chunk[first:last] if first or last is not None else chunk

    @property
    def is_over(self) -> bool:
        return self._end is not None and self._position >= self._end


def cut(chunks: Iterable[bytes], start: int, end: int | None) -> Iterator[bytes]:
    span = Range(start, end)
    for chunk in chunks:
        if part := span.of(chunk):
            yield part
        if span.is_over:
            return


def pour(
    read: Callable[[int], bytes], write: Callable[[bytes], Any], size: int = CHUNK_SIZE
) -> int:
    """Write all that ``read`` returns; return the number of bytes."""
    poured = 0
    while chunk := read(size):
        write(chunk)
        poured += len(chunk)
    return poured


def read_range(file: Any, start: int, end: int, size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """Yield a range of an open file, in chunks of ``size``."""
    if start:
        file.seek(start)
    while start < end and (chunk := file.read(min(size, end - start))):
        start += len(chunk)
        yield chunk


def copy_by_reading(storage: Storage, key: str, new_key: str) -> ObjectInfo:
    """Copy an object with its attributes, for storages that cannot copy inside."""
    attributes = storage.stat(key).attributes
    with reader_of(storage.stream(key)) as content:
        return storage.put(new_key, content, attributes)


def reader_of(chunks: Iterable[bytes]) -> BinaryIO:
    return cast("BinaryIO", ChunkReader(chunks))


def size_left(content: Any) -> int | None:
    """Return how many bytes are left to read, or None if that would take a request."""
    own = getattr(content, "size_left", None)
    if own is not None:
        return cast("int | None", own())
    if isinstance(getattr(content, "raw", content), _SEEKABLE):
        with suppress(OSError, ValueError):  # a pipe, or a closed file
            position: int = content.tell()
            end: int = content.seek(0, os.SEEK_END)
            content.seek(position)
            return end - position
    return None


def async_chunks(source: Any) -> AsyncIterable[Any] | None:
    """Return the chunks of an asynchronous source, or None for any other source."""
    # The parts of aiohttp are read by `read_chunk`: their `read` takes no size.
    for name in ("read_chunk", "read"):
        read = getattr(source, name, None)
        if iscoroutinefunction(read):
            return _pieces(read)
    return source if isinstance(source, AsyncIterable) else None


async def _pieces(read: Callable[[int], Any]) -> AsyncIterator[Any]:
    while chunk := await read(CHUNK_SIZE):
        yield chunk


async def aspooled(chunks: AsyncIterable[Any]) -> BinaryIO:
    """Return an asynchronous source as a temporary file, which the caller closes.

    More than `SPOOL_SIZE` is written in a thread, so that the event loop does not wait for the
    disk.
    """
    with closing_on_error(new_spool()) as spool:
        held, size, is_large = [], 0, False
        async for chunk in chunks:
            held.append(as_bytes(chunk))
            size += len(held[-1])
            if size >= SPOOL_SIZE:
                await in_thread(partial(spool.writelines, held))
                held, size, is_large = [], 0, True
        if is_large:
            await in_thread(partial(spool.writelines, held))
        else:
            spool.writelines(held)
    return spool


def new_spool() -> BinaryIO:
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=SPOOL_SIZE))


@contextmanager
def closing_on_error(spool: BinaryIO) -> Iterator[BinaryIO]:
    try:
        yield spool
    except BaseException:
        spool.close()
        raise


def as_bytes(chunk: object) -> bytes:
    if isinstance(chunk, bytes | bytearray | memoryview):
        return bytes(chunk)
    raise TypeError(f"content must yield bytes, not {type(chunk).__name__}")


def is_in_memory(content: Any) -> bool:
    """Return True if a content is in memory, and small enough to be read in the event loop."""
    own = getattr(content, "is_in_memory", None)
    if own is not None:
        return bool(own())
    return isinstance(content, io.BytesIO) and content.getbuffer().nbytes <= _LITTLE


_LITTLE = 128 * 1024
_SEEKABLE = (io.BytesIO, io.FileIO, tempfile.SpooledTemporaryFile)


def opened(
    content: Any, content_path: str | PathLike[str] | None
) -> AbstractContextManager[BinaryIO]:
    """Return a context manager of the content as a binary file. The caller's files stay open."""
    if content is None and content_path is None:
        raise ValueError("Either content or content_path must be specified")
    return _opened(content, content_path)


@contextmanager
def _opened(content: Any, content_path: Any) -> Iterator[BinaryIO]:
    if content is None:
        with Path(content_path).open("rb") as file:
            yield file
        return
    if isinstance(content, io.TextIOBase):
        raise TypeError("a file must be opened in binary mode ('rb'), not as text")
    if async_chunks(content) is not None:
        raise TypeError(
            "asynchronous content can be awaited only: await asave_file, or give its bytes, "
            "a binary file or an ordinary iterator"
        )
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, bytes | bytearray | memoryview):
        content = io.BytesIO(content)
    yield content if callable(getattr(content, "read", None)) else reader_of(content)
