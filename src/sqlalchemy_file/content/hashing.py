"""Checksums of content; large content is hashed in another thread while it is stored."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from concurrent.futures import Future
from typing import Any, BinaryIO, Protocol

from sqlalchemy_file.storage.common.streams import is_in_memory, size_left
from sqlalchemy_file.transfer import submit_cpu_bound

LARGE = 1024 * 1024
"""From how many bytes on another thread is worth its while, and how many may wait for it."""


class Hash(Protocol):
    """A hash of `hashlib`, or what goes before one."""

    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


class HashBehind:
    """A hash that is computed in another thread, while the next bytes are written.

    Few of them are kept waiting. That bounds memory, and the processor still has them at hand.
    """

    def __init__(self, inner: Hash) -> None:
        self._inner = inner
        self._waiting: deque[bytes] = deque()
        self._job: Future[None] | None = None

    def update(self, data: Any, /) -> None:
        # A stream that lends its own buffer may overwrite it before it is hashed.
        self._waiting.append(data if type(data) is bytes else bytes(data))
        # One that is about to end may leave a chunk: the next one finds it first in the queue.
        if self._job is None or self._job.done():
            self._join()
            self._job = submit_cpu_bound(self._work)
        elif sum(map(len, self._waiting)) > LARGE:
            self._join()

    def hexdigest(self) -> str:
        self._join()
        self._work()
        return self._inner.hexdigest()

    def _work(self) -> None:
        while self._waiting:
            self._inner.update(self._waiting[0])
            self._waiting.popleft()  # only now, so that it counts as waiting until then

    def _join(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.result()


class Measured(io.RawIOBase):
    """Reads a stream through, counting its bytes and hashing them on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._hash: Hash = hashlib.sha256()
        self.size: int = 0
        self.error: BaseException | None = None
        """What the stream itself raised, so that it is not taken for a fault of the storage."""

    @property
    def checksum(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def readable(self) -> bool:
        return True

    def size_left(self) -> int | None:
        """Return how many bytes there are still to be read, where that is known."""
        return size_left(self._stream)

    def is_in_memory(self) -> bool:
        """Return True if reading takes no time."""
        return is_in_memory(self._stream)

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            chunk = self._stream.read(-1 if size is None else size)
        except BaseException as error:
            self.error = error
            raise
        self._hash.update(chunk)
        self.size += len(chunk)
        if self.size >= LARGE and not isinstance(self._hash, HashBehind):
            self._hash = HashBehind(self._hash)
        return chunk

    def readall(self) -> bytes:
        return self.read(-1)

    def readinto(self, buffer: Any, /) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
