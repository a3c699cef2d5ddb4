"""The bytes of an answer, read from a storage in threads or awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import Any, cast

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.http.plan import Segment
from sqlalchemy_file.serving.http.ranges import ByteRange
from sqlalchemy_file.serving.sending.file_reading import read_chunks
from sqlalchemy_file.serving.sending.turns import turns
from sqlalchemy_file.storage import AsyncStorage, StorageManager
from sqlalchemy_file.storage.common.protocol import is_native, named
from sqlalchemy_file.transfer import in_thread

_PIECE = 512 * 1024


def stream(storage_name: str, key: str, segments: Sequence[Segment]) -> Iterator[bytes]:
    """Yield the segments; a storage that has fewer bytes than that raises `StorageError`.

    The first chunk is read before this returns, so that a missing object raises here.
    """
    chunks = _stream(storage_name, key, segments)
    return _after(next(chunks, b""), chunks)


async def astream(storage_name: str, key: str, segments: Sequence[Segment]) -> AsyncIterator[bytes]:
    """Do what `stream` does without blocking the event loop."""
    chunks = _astream(storage_name, key, segments)
    return _aafter(await anext(chunks, b""), chunks)


def _stream(storage_name: str, key: str, segments: Sequence[Segment]) -> Iterator[bytes]:
    storage = StorageManager.storage(storage_name)
    for segment in segments:
        if isinstance(segment, bytes):
            yield segment
            continue
        left = segment.size
        chunks: Any = storage.stream(key, segment.start, segment.end)
        with named(storage_name), closing(chunks):
            for chunk in chunks:
                left -= len(chunk)
                yield chunk
        _require_all(left, storage_name, key)


async def _astream(
    storage_name: str, key: str, segments: Sequence[Segment]
) -> AsyncIterator[bytes]:
    storage = StorageManager.storage(storage_name)
    for segment in segments:
        if isinstance(segment, bytes):
            yield segment
            continue
        left = segment.size
        async with aclosing(_achunks(storage, key, segment)) as chunks:
            with named(storage_name):
                async for chunk in chunks:
                    left -= len(chunk)
                    yield chunk
        _require_all(left, storage_name, key)


def _achunks(storage: Any, key: str, part: ByteRange) -> AsyncGenerator[bytes, None]:
    if hasattr(storage, "open_file"):
        return read_chunks(storage, key, part.start, part.end)
    return _chunks_of_any(storage, key, part)


async def _chunks_of_any(storage: Any, key: str, part: ByteRange) -> AsyncGenerator[bytes, None]:
    if is_native(storage):
        native: Any = cast("AsyncStorage", storage).astream(key, part.start, part.end)
        async with aclosing(native):
            async for chunk in native:
                async for piece in _pieces(chunk):
                    yield piece
        return
    chunks: Any = storage.stream(key, part.start, part.end)
    try:
        while chunk := await in_thread(partial(next, chunks, b"")):
            async for piece in _pieces(chunk):
                yield piece
    finally:
        await in_thread(chunks.close)


async def _pieces(chunk: bytes) -> AsyncIterator[bytes]:
    """Yield chunks small enough to be held for several hundred slow clients."""
    taking = turns()
    for start in range(0, len(chunk), _PIECE):
        await taking.take()
        yield chunk[start : start + _PIECE] if len(chunk) > _PIECE else chunk


def _after(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
        yield from chunks


async def _aafter(first: bytes, chunks: Any) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        if first:
            yield first
            async for chunk in chunks:
                yield chunk


def _require_all(left: int, storage_name: str, key: str) -> None:
    if left:
        raise StorageError(
            f"the object has {abs(left)} bytes {'fewer' if left > 0 else 'more'} than announced",
            storage=storage_name,
            key=key,
        )
