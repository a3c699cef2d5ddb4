"""The bytes of an answer, read from a storage in threads or awaited."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Any

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.http.plan import Segment
from sqlalchemy_file.serving.http.ranges import ByteRange
from sqlalchemy_file.serving.sending.file_reading import compared_size, require_size
from sqlalchemy_file.serving.sending.sources import (
    one_more,
    ranges_of,
    require_version,
    version_of,
)
from sqlalchemy_file.serving.sending.timeouts import refuse_if_hanging
from sqlalchemy_file.storage import ObjectInfo, StorageManager
from sqlalchemy_file.storage.common.protocol import named


def stream(
    storage_name: str,
    key: str,
    segments: Sequence[Segment],
    info: ObjectInfo | None = None,
    size: int | None = None,
) -> Iterator[bytes]:
    """Yield the segments; a storage that has fewer bytes than that raises `StorageError`.

    So does one whose object is not the one that ``info`` describes, or has another ``size``, where
    the storage tells it without a further request. The first chunk is read before this returns, so
    that a missing object raises here.
    """
    size = size if info is None else info.size
    chunks = _stream(storage_name, key, segments, info, size)
    return _after([next(chunks, b"")], chunks)


def _after(first: list[bytes], chunks: Generator[bytes, None, None]) -> Iterator[bytes]:
    with closing(chunks):  # a server closes the body when its client has left
        yield first.pop()
        yield from chunks


async def astream(
    storage_name: str,
    key: str,
    segments: Sequence[Segment],
    info: ObjectInfo | None = None,
    size: int | None = None,
) -> AsyncGenerator[bytes, None]:
    """Do what `stream` does without blocking the event loop."""
    refuse_if_hanging(storage_name, key)
    size = size if info is None else info.size
    chunks = _astream(storage_name, key, segments, info, size)
    return _aafter([await anext(chunks, b"")], chunks)


async def _aafter(
    first: list[bytes], chunks: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        yield first.pop()
        async for chunk in chunks:
            yield chunk
            del chunk


# Hundreds of downloads wait for their next chunk at the same time: none keeps the last one, so each
# loop below deletes its variable.


def _stream(
    storage_name: str,
    key: str,
    segments: Sequence[Segment],
    info: ObjectInfo | None,
    size: int | None,
) -> Generator[bytes, None, None]:
    storage = StorageManager.storage(storage_name)
    size = compared_size(storage, size)
    with named(storage_name):
        if hasattr(storage, "open_file"):
            with storage.open_file(key) as file:
                require_size(os.fstat(file.fileno()).st_size, size, key)
        if info is None and len(segments) > 1:
            info = storage.stat(key)
            require_size(info.size, size, key)
        version = None if info is None else version_of(info)
        of_one_version: Any = getattr(storage, "ranges", None)  # obstore's
        ranges = None if of_one_version is None else of_one_version(key, None, size)
        for segment in segments:
            if isinstance(segment, bytes):
                yield segment
                continue
            left = segment.size
            chunks: Any = (
                storage.stream(key, segment.start, one_more(segment.end, size))
                if ranges is None
                else ranges(*segment)
            )
            with closing(chunks):
                for chunk in chunks:
                    if version is not None and left == segment.size:
                        require_version(version, storage.stat(key))
                    left = _left(left, chunk, key)
                    yield chunk
                    del chunk
            _require_all(left, key)


async def _astream(
    storage_name: str,
    key: str,
    segments: Sequence[Segment],
    info: ObjectInfo | None,
    size: int | None,
) -> AsyncGenerator[bytes, None]:
    storage = StorageManager.storage(storage_name)
    wanted = [segment for segment in segments if isinstance(segment, ByteRange)]
    reading = ranges_of(storage_name, storage, key, wanted, info, compared_size(storage, size))
    with named(storage_name), reading as ranges:
        for segment in segments:
            if isinstance(segment, bytes):
                yield segment
                continue
            left = segment.size
            async with aclosing(ranges(segment.start, segment.end)) as chunks:
                async for chunk in chunks:
                    left = _left(left, chunk, key)
                    yield chunk
                    del chunk
            _require_all(left, key)


def _left(left: int, chunk: bytes, key: str) -> int:
    """Return how many bytes are left behind a chunk."""
    left -= len(chunk)
    if left < 0:
        raise StorageError("the storage yields more bytes than were announced", key=key)
    return left


def _require_all(left: int, key: str) -> None:
    if left:
        raise StorageError(f"the object has {left} bytes fewer than announced", key=key)
