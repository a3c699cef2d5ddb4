"""Read a local file without blocking the event loop.

A thread opens the file. What is in the page cache is then read on the event loop, in a few
microseconds; a thread would take fifty. What must come from a disk is read in a thread.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.sending.timeouts import Ranges, in_time
from sqlalchemy_file.serving.sending.turns import turns
from sqlalchemy_file.transfer import in_thread

if TYPE_CHECKING:
    from io import FileIO

    from sqlalchemy_file.storage.reading.readers import HasFiles

CHUNK = 64 * 1024
"""What is read at once; each of several hundred downloads holds one or two of these."""

_FROM_DISK = 256 * 1024
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "preadv") else 0


def compared_size(storage: Any, size: int | None) -> int | None:
    """Return the size that an object must have; None if the storage may tell another one."""
    return size if getattr(storage, "tells_size", True) else None


def require_size(found: int, size: int | None, key: str) -> None:
    """Raise `StorageError` if an object has another size than the one that was described."""
    if size not in (None, found):
        raise StorageError(
            f"the object has {found} bytes, and not {size}: it was replaced", key=key
        )


class LocalFile:
    """The ranges of one local file. It is opened once: all are of the same version."""

    def __init__(self, storage_name: str, storage: HasFiles, key: str, size: int | None) -> None:
        self._name, self._storage, self._key, self._size = storage_name, storage, key, size
        self._file: FileIO | None = None
        self._is_closed = False

    def __enter__(self) -> Ranges:
        return self._chunks

    def __exit__(self, *_error: object) -> None:
        self._is_closed = True
        if self._file is not None:
            self._file.close()

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
            return os.pread(self._file.fileno(), size, start)
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
        except OSError:  # a thread reads it, and tells what is wrong
            return None
        return bytes(memoryview(buffer)[:size])
