"""Read a local file without blocking the event loop.

A thread opens the file. What is in the page cache is then read on the event loop, in a few
microseconds; a thread would take fifty. What must come from a disk is read in a thread.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving.sending.turns import turns
from sqlalchemy_file.transfer import in_thread

if TYPE_CHECKING:
    from io import FileIO

    from sqlalchemy_file.storage.reading.readers import HasFiles

CHUNK = 64 * 1024
"""What is read at once; each of several hundred downloads holds one or two of these."""

_FROM_DISK = 256 * 1024
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "preadv") else 0


async def read_chunks(
    storage: HasFiles, key: str, start: int, end: int
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an object's file from ``start`` up to ``end``, or to where it ends."""
    file, chunk = await in_thread(partial(_open, storage, key, min(CHUNK, end - start), start))
    taking = turns()
    with file:
        while chunk:
            start += len(chunk)
            yield chunk
            del chunk  # it is not kept while the next one is waited for
            if start >= end:
                return
            await taking.take()
            found = _read_at_once(file, min(CHUNK, end - start), start) if _AT_ONCE else None
            if found is None:
                size = min(_FROM_DISK, end - start)
                found = await in_thread(partial(_read, file, key, size, start))
            chunk = found


def _open(storage: HasFiles, key: str, size: int, start: int) -> tuple[FileIO, bytes]:
    file = storage.open_file(key)
    try:
        return file, _read(file, key, size, start)
    except BaseException:
        file.close()
        raise


def _read(file: FileIO, key: str, size: int, start: int) -> bytes:
    try:
        return os.pread(file.fileno(), size, start)
    except OSError as error:
        raise StorageError(f"the file cannot be read: {error.strerror}", key=key) from error


def _read_at_once(file: FileIO, size: int, start: int) -> bytes | None:
    """Return bytes from the page cache, or None if reading would wait or fail."""
    buffer = bytearray(size)
    try:
        size = os.preadv(file.fileno(), [buffer], start, _AT_ONCE)
    except OSError:  # a thread reads it, and tells what is wrong
        return None
    return bytes(memoryview(buffer)[:size])
