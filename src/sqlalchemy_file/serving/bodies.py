"""The bytes of an answer, read from a storage in threads or awaited.

All ranges of an object are of one version of it: it may be replaced while it is sent. Local files
are read without blocking the event loop: a thread opens the file. What is in the page cache is then
read on the event loop, in a few microseconds; a thread would take fifty. What must come from a disk
is read in a thread.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.budget import WHOLE, within_budget
from sqlalchemy_file.serving.event_loop import (
    Ranges,
    chunks_in_time,
    in_time,
    refuse_if_hanging,
    turns,
)
from sqlalchemy_file.serving.http import ByteRange, Segment
from sqlalchemy_file.storage import ObjectInfo, StorageManager
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling
from sqlalchemy_file.storage.common.protocol import named
from sqlalchemy_file.transfer import in_thread

if TYPE_CHECKING:
    from io import FileIO

    from sqlalchemy_file.storage.readers import HasFiles


async def open_body(
    calling: Calling,
    storage_name: str,
    key: str,
    segments: Sequence[Segment],
    info: ObjectInfo | None = None,
    size: int | None = None,
) -> AsyncGenerator[bytes, None] | Iterator[bytes]:
    """Return the bytes of the segments; a storage that has fewer of them raises `StorageError`.

    So does one whose object is not the one that ``info`` describes, or has another ``size``, where
    the storage says so without a further request. The first chunk is read before this returns, so
    that a missing object raises here.
    """
    if calling is IN_LOOP:
        refuse_if_hanging(storage_name, key)
    return await calling.begin(_chunks(calling, storage_name, key, segments, info, size))


async def given(parts: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the parts."""
    for part in parts:
        yield part


# Hundreds of downloads wait for their next chunk at the same time: none keeps the last one, so each
# loop below deletes its variable.


async def _chunks(
    calling: Calling,
    name: str,
    key: str,
    segments: Sequence[Segment],
    info: ObjectInfo | None,
    size: int | None,
) -> AsyncGenerator[bytes, None]:
    wanted = [segment for segment in segments if isinstance(segment, ByteRange)]
    size = size if info is None else info.size
    with named(name), _opened(calling, name, key, wanted, info, size) as ranges:
        is_begun = False
        for segment in segments:
            if isinstance(segment, bytes):
                chunks, left = given([segment]), len(segment)
            else:
                chunks, left = ranges(*segment), segment.size
            async with aclosing(chunks):
                async for chunk in chunks:
                    left = _left(left, chunk, key)
                    if not is_begun:
                        yield b""  # to `open_body`, which waits for the first chunk
                        is_begun = True
                    yield chunk
                    del chunk
            if left:
                raise StorageError(f"the object has {left} bytes fewer than announced", key=key)


def _left(left: int, chunk: bytes, key: str) -> int:
    """Return how many bytes are left behind a chunk."""
    left -= len(chunk)
    if left < 0:
        raise StorageError("the storage yields more bytes than were announced", key=key)
    return left


def _opened(
    calling: Calling,
    name: str,
    key: str,
    wanted: Sequence[ByteRange],
    info: ObjectInfo | None,
    size: int | None,
) -> AbstractContextManager[Ranges]:
    """Return what streams ranges of an object, those that are wanted and parts of them."""
    storage: Any = StorageManager.storage(name)
    if not getattr(storage, "tells_size", True):  # the size that it tells may be another one
        size = None
    is_all = info is None and len(wanted) == 1
    if hasattr(storage, "open_file") and (calling is IN_LOOP or is_all):
        return LocalFile(name, storage, key, size, calling)
    ranges = _of_one_version(calling, storage, key, info, size)
    can_be_cancelled = ranges is not None
    if ranges is None:
        ranges = partial(_streamed, calling, storage, key, size)
        # Within the budget, a longer range takes several requests.
        if not (is_all and (calling is IN_THREAD or wanted[0].size <= WHOLE)):
            ranges = _Compared(calling, storage, key, ranges, info, size)
    if calling is IN_THREAD:
        return nullcontext(ranges)
    in_time = partial(chunks_in_time, name, key, ranges, can_be_cancelled=can_be_cancelled)
    return nullcontext(partial(within_budget, name, in_time))


def _of_one_version(
    calling: Calling, storage: Any, key: str, info: ObjectInfo | None, size: int | None
) -> Ranges | None:
    """Return the ranges of a storage that compares versions itself, by entity tags: obstore's."""
    name = "aranges" if calling is IN_LOOP else "ranges"
    of_one_version: Any = getattr(storage, name, None)
    if of_one_version is None or (info is not None and info.etag is None):
        return None
    ranges: Any = of_one_version(key, info and info.etag, size)
    if calling is IN_THREAD and ranges is not None:
        return lambda start, end: IN_THREAD.iterate(ranges(start, end))
    return cast("Ranges | None", ranges)


def _streamed(
    calling: Calling, storage: Any, key: str, size: int | None, start: int, end: int
) -> AsyncGenerator[bytes, None]:
    # One byte more at the end shows a longer object.
    return calling.items(storage, "stream", key, start, end + 1 if end == size else end)


class _Compared:
    """Compares what the storage says of the object before the first range with later ranges."""

    def __init__(
        self,
        calling: Calling,
        storage: Any,
        key: str,
        ranges: Ranges,
        info: ObjectInfo | None,
        size: int | None,
    ) -> None:
        self._stat: Any = partial(calling.call, storage, "stat", key)
        self._key, self._ranges, self._size = key, ranges, size
        self._known: Any = None if info is None else _version_of(info)

    async def __call__(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        is_later = self._known is not None
        if not is_later:
            await self._compare()
        async with aclosing(self._ranges(start, end)) as chunks:
            async for chunk in chunks:
                if is_later:
                    await self._compare()
                    is_later = False
                yield chunk
                del chunk  # it is not kept while the next one is waited for

    async def _compare(self) -> None:
        """Raise `StorageError` if the object was replaced."""
        found = await self._stat()
        require_size(found.size, self._size, self._key)
        version = _version_of(found)
        if version != (self._known or version):
            raise StorageError("the object was replaced while it was read", key=self._key)
        self._known = version


_version_of = attrgetter("etag", "last_modified", "size")
"""What distinguishes one version of an object from another."""


CHUNK = 64 * 1024
"""What is read at once; each of several hundred downloads holds one or two of these."""

_FROM_DISK = 256 * 1024
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "preadv") else 0


def require_size(found: int, size: int | None, key: str) -> None:
    """Raise `StorageError` if an object has another size than the one that was described."""
    if size not in (None, found):
        raise StorageError(
            f"the object has {found} bytes, and not {size}: it was replaced", key=key
        )


class LocalFile:
    """The ranges of one local file. It is opened once: all are of the same version."""

    def __init__(
        self,
        storage_name: str,
        storage: HasFiles,
        key: str,
        size: int | None,
        calling: Calling = IN_LOOP,
    ) -> None:
        self._name, self._storage, self._key, self._size = storage_name, storage, key, size
        self._calling = calling
        self._file: FileIO | None = None
        self._is_closed = False

    def __enter__(self) -> Ranges:
        return self._chunks if self._calling is IN_LOOP else self._chunks_in_thread

    def __exit__(self, *_error: object) -> None:
        self._is_closed = True
        if self._file is not None:
            self._file.close()

    async def _chunks_in_thread(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        while start < end and (chunk := self._read(min(_FROM_DISK, end - start), start)):
            start += len(chunk)
            yield chunk
            del chunk

    async def _chunks(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to ``end``, or to where they end."""
        taking, is_slow = turns(), self._file is None
        while start < end:
            await taking.take()
            chunk = None if is_slow else self._read_at_once(min(CHUNK, end - start), start)
            if chunk is None:
                size = CHUNK if self._file is None else _FROM_DISK
                reading = in_thread(partial(self._read, min(size, end - start), start))
                chunk = await in_time(self._name, self._key, reading)
            if not chunk:
                return
            start, is_slow = start + len(chunk), not _AT_ONCE
            yield chunk
            del chunk  # it is not kept while the next one is waited for

    def _read(self, size: int, start: int) -> bytes:
        """Open the file if it is not, and read from it."""
        if self._file is None:
            self._file = self._storage.open_file(self._key)
            require_size(os.fstat(self._file.fileno()).st_size, self._size, self._key)
        try:
            self._file.seek(start)
            return self._file.read(size)
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
            raise StorageError(message, key=self._key) from error
        finally:
            if self._is_closed:  # while a storage that hangs was opening it
                self._file.close()

    def _read_at_once(self, size: int, start: int) -> bytes | None:
        """Return bytes from the page cache, or None if reading would wait or fail."""
        buffer = bytearray(size)
        try:
            size = os.preadv(self._file.fileno(), [buffer], start, _AT_ONCE)  # type: ignore[union-attr]
        except OSError:  # a thread reads it, and raises the error
            return None
        return bytes(memoryview(buffer)[:size])
