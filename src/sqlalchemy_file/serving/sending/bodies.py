"""The bytes of an answer, read from a storage in threads or awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import Any, cast

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.http.plan import Segment
from sqlalchemy_file.serving.http.ranges import ByteRange
from sqlalchemy_file.serving.sending.budget import within_budget
from sqlalchemy_file.serving.sending.file_reading import read_chunks
from sqlalchemy_file.serving.sending.turns import turns
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.calling import IN_LOOP
from sqlalchemy_file.storage.common.protocol import named

_PIECE = 128 * 1024
"""What is sent at once, small enough to be held for several hundred slow clients."""


def stream(storage_name: str, key: str, segments: Sequence[Segment]) -> Iterator[bytes]:
    """Yield the segments; a storage that has fewer bytes than that raises `StorageError`.

    The first chunk is read before this returns, so that a missing object raises here.
    """
    chunks = _stream(storage_name, key, segments)
    return _after([next(chunks, b"")], chunks)


def _after(first: list[bytes], chunks: Generator[bytes, None, None]) -> Iterator[bytes]:
    with closing(chunks):  # a server closes the body when its client has left
        yield first.pop()
        yield from chunks


async def astream(
    storage_name: str, key: str, segments: Sequence[Segment]
) -> AsyncGenerator[bytes, None]:
    """Do what `stream` does without blocking the event loop."""
    chunks = _astream(storage_name, key, segments)
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
    storage_name: str, key: str, segments: Sequence[Segment]
) -> Generator[bytes, None, None]:
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
                del chunk
        _require_all(left, storage_name, key)


async def _astream(
    storage_name: str, key: str, segments: Sequence[Segment]
) -> AsyncGenerator[bytes, None]:
    storage = StorageManager.storage(storage_name)
    for segment in segments:
        if isinstance(segment, bytes):
            yield segment
            continue
        left = segment.size
        async with aclosing(_achunks(storage_name, storage, key, segment)) as chunks:
            with named(storage_name):
                async for chunk in chunks:
                    left -= len(chunk)
                    yield chunk
                    del chunk
        _require_all(left, storage_name, key)


def _achunks(
    storage_name: str, storage: Any, key: str, part: ByteRange
) -> AsyncGenerator[bytes, None]:
    if hasattr(storage, "open_file"):
        return read_chunks(storage, key, part.start, part.end)
    opening = partial(_chunks_of_any, _ranges(storage, key), part.end)
    return within_budget(storage_name, part.start, part.end, opening)


_Ranges = Callable[[int, int], AsyncGenerator[bytes, None]]


def _ranges(storage: Any, key: str) -> _Ranges:
    """Return what streams ranges of an object, of one version of it if the storage can."""
    of_one_version: Any = getattr(storage, "aranges", None)
    ranges: Any = partial(IN_LOOP.items, storage, "stream", key)
    return cast("_Ranges", ranges if of_one_version is None else of_one_version(key))


async def _chunks_of_any(ranges: _Ranges, end: int, start: int) -> AsyncGenerator[bytes, None]:
    async with aclosing(ranges(start, end)) as chunks:
        taking = turns()
        async for chunk in chunks:
            for position in range(0, len(chunk), _PIECE):
                await taking.take()
                yield chunk[position : position + _PIECE]
            del chunk


def _require_all(left: int, storage_name: str, key: str) -> None:
    if left:
        raise StorageError(
            f"the object has {abs(left)} bytes {'fewer' if left > 0 else 'more'} than announced",
            storage=storage_name,
            key=key,
        )
