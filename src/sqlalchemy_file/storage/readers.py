"""Readers of one object: raw streams for a buffered reader, and one for coroutines."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Protocol

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.protocol import AsyncStorage, Storage, named

READ_AHEAD = 64 * 1024
"""The smallest range after a seek."""

_GROWTH = 4
_LARGEST_RANGE = 4 * 1024 * 1024


class HasFiles(Protocol):
    """A storage whose objects are real files."""

    def open_file(self, key: str) -> io.FileIO:
        """Return the object's file, open for reading and unbuffered."""
        ...

    def read_file(self, key: str) -> bytes:
        """Return the whole object."""
        ...


class ObjectReader(io.RawIOBase):
    """A read-only raw stream of an object."""

    mode = "rb"
    read_ahead = READ_AHEAD
    """The size of the buffer of a reader."""

    def __init__(self, storage: Any, key: str, storage_name: str | None) -> None:
        # RawIOBase has nothing to set up, and a small file is read in microseconds.
        self.name = key
        self._storage_name = storage_name or ""
        self._storage = storage

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        raise NotImplementedError


class FileReader(ObjectReader):
    """Reads an object that is a file on disk. `readall` does not keep the file open."""

    read_ahead = io.DEFAULT_BUFFER_SIZE
    _storage: HasFiles
    _file: io.FileIO | None = None
    _position = 0  # of a file that is not open

    def open(self) -> io.FileIO:
        """Open the file if it is not open yet; raise `ObjectNotFoundError` if it is gone."""
        if self._file is None:
            with named(self._storage_name):
                self._file = self._storage.open_file(self.name)
            if self._position:
                self._file.seek(self._position)
        return self._file

    def size(self) -> int:
        return os.fstat(self.open().fileno()).st_size

    def fileno(self) -> int:
        return self.open().fileno()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return self.open().readinto(buffer)

    def readall(self) -> bytes:
        if self._file is not None or self._position:
            return self.open().readall()
        try:  # cheaper than `named`
            data = self._storage.read_file(self.name)
        except StorageError as error:
            error.storage = error.storage or self._storage_name
            raise
        self._position = len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self.open().seek(offset, whence)

    def tell(self) -> int:
        return self._position if self._file is None else self._file.tell()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()

    def __del__(self) -> None:
        """Leave closing to the open file."""


class RangeReader(ObjectReader):
    """Reads an object by one request, and after a seek by ranges.

    These begin small and grow while reading goes on in order, up to one request for the rest.
    """

    def __init__(
        self, storage: Storage, key: str, storage_name: str | None, size: int | None
    ) -> None:
        super().__init__(storage, key, storage_name)
        self._size = size
        self._position = 0
        self._window: int | None = None  # None: all the rest
        self._chunks: Iterator[bytes] | None = None
        self._begin = 0  # of the range being read
        self._end: int | None = None
        self._rest = memoryview(b"")

    def size(self) -> int:
        if self._size is None:
            with named(self._storage_name):
                self._size = self._storage.stat(self.name).size
        return self._size

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if not len(buffer) or not self._fill(len(buffer)):
            return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        return count

    def readall(self) -> bytes:
        self._window, begin, parts = None, self._position, []
        try:
            while self._fill(0):
                parts.append(self._rest)
                self._position += len(self._rest)
                self._rest = memoryview(b"")
        except BaseException:
            self._position = begin
            raise
        return b"".join(parts)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origins = {io.SEEK_SET: lambda: 0, io.SEEK_CUR: self.tell, io.SEEK_END: self.size}
        if whence not in origins:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        target = origins[whence]() + offset
        if target < 0:
            raise ValueError(f"a position is not negative, {target} was asked for")
        if target != self._position:
            self._drop()
            self._window = READ_AHEAD
            self._position = target
        return target

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._drop()
        super().close()

    def _fill(self, least: int) -> bool:
        """Read ahead if nothing is buffered; return False at the end of the object."""
        while not self._rest:
            if self._size is not None and self._position >= self._size:
                return False
            try:
                with named(self._storage_name):
                    chunk = next(self._chunks or self._request(least), None)
            except BaseException:
                self._drop()  # a failed request cannot go on
                raise
            if chunk is not None:
                self._rest = memoryview(chunk)
            elif self._range_is_over():
                return False
        return True

    def _range_is_over(self) -> bool:
        """Close a range that was read; return True if the object ends with it."""
        self._drop()
        if self._end is not None and self._position == self._end:
            return False
        if self._position > self._begin or not self._position:
            self._size = self._position  # else the range began after the end
        return True

    def _request(self, least: int) -> Iterator[bytes]:
        """Request the next range; the one after it is larger."""
        window = self._window
        self._begin = self._position
        self._end = None if window is None else self._position + max(window, least)
        self._chunks = self._storage.stream(self.name, self._begin, self._end)
        if window is not None:
            larger = window * _GROWTH
            self._window = larger if larger <= _LARGEST_RANGE else None
        return self._chunks

    def _drop(self) -> None:
        chunks, self._chunks = self._chunks, None
        self._rest = memoryview(b"")
        close = getattr(chunks, "close", None)
        if close is not None:
            with suppress(OSError):
                close()


def reader_for(
    storage: Storage, key: str, storage_name: str | None, size: int | None
) -> ObjectReader:
    """Return a reader for a storage; nothing is opened or requested yet."""
    # isinstance() with a protocol would take longer than opening the file.
    if hasattr(storage, "read_file"):
        return FileReader(storage, key, storage_name)
    return RangeReader(storage, key, storage_name, size)


class AsyncReader:
    """Reads one object of a native storage; another position is a new request."""

    def __init__(self, storage: AsyncStorage, key: str, storage_name: str) -> None:
        self._storage = storage
        self._key = key
        self._storage_name = storage_name
        self._position = 0
        self._chunks: AsyncIterator[bytes] | None = None
        self._rest = b""

    async def read(self, start: int, size: int | None) -> bytes:
        """Return ``size`` bytes from ``start``, fewer only at the end; None is all."""
        if start != self._position:
            await self.close()
            self._position = start
        parts: list[bytes] = []
        missing = sys.maxsize if size is None else size
        while missing > 0 and (chunk := self._rest or await self._receive()):
            taken, self._rest = chunk[:missing], chunk[missing:]
            self._position += len(taken)
            missing -= len(taken)
            parts.append(taken)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def close(self) -> None:
        chunks, self._chunks, self._rest = self._chunks, None, b""
        close: Any = getattr(chunks, "aclose", None)
        if close is not None:
            await close()

    async def _receive(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._storage.astream(self._key, self._position)
        try:
            with named(self._storage_name):
                return await anext(self._chunks, b"")
        except BaseException:
            await self.close()  # a failed request cannot go on
            raise
