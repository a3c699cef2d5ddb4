"""One object of a file: its key, its upload, and its checksum.

Large content is hashed in another thread while it is stored.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol

from uuid_utils import uuid7

from sqlalchemy_file.content.sources import Content
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.observing import Task
from sqlalchemy_file.storage import Attributes, StorageManager
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling, run, verify
from sqlalchemy_file.storage.common.streams import is_in_memory, size_left
from sqlalchemy_file.storage.registry import Registered
from sqlalchemy_file.transfer import submit_cpu_bound

LARGE = 1024 * 1024
"""From how many bytes on another thread is worth its while, and how many may wait for it."""


class StoredObject(NamedTuple):
    """One object that was just stored. ``size`` is the number of bytes that were read."""

    key: str
    path: str
    size: int
    checksum: str


@dataclass(slots=True)
class Upload:
    """One object about to be stored: all of a content, under a key.

    With ``exclusive`` a key that is taken is refused with `ObjectExistsError`. An error of the
    content passes through as it is, any other is a `StorageError`.
    """

    content: Content
    storage_name: str
    registered: Registered
    key: str
    path: str
    attributes: Attributes
    exclusive: bool

    def run(self) -> StoredObject:
        """Store it from this thread."""
        return run(self._store(IN_THREAD))

    async def arun(self) -> StoredObject:
        """Store it without blocking the event loop."""
        return await self._store(IN_LOOP)

    async def _store(self, calling: Calling) -> StoredObject:
        with Task("store", self.storage_name, (self.key,)) as task:
            measured = Measured(self.content.open())
            try:
                await self._put(calling, measured)
            except StorageError as error:
                error.storage = error.storage or self.storage_name
                raise
            except Exception as error:
                if measured.error is not None:
                    raise
                raise StorageError(str(error), storage=self.storage_name, key=self.key) from error
            task.size = measured.size
        return StoredObject(self.key, self.path, measured.size, measured.checksum)

    async def _put(self, calling: Calling, measured: Measured) -> None:
        storage = self.registered.storage
        info = await calling.call(
            storage, "put", self.key, measured, self.attributes, exclusive=self.exclusive
        )
        try:
            await verify(calling, storage, info, measured.size)
        except StorageError:
            if self.exclusive:  # nobody else will
                with suppress(StorageError):
                    await calling.call(storage, "delete", [self.key])
            raise


def fresh_key(neighbour: str = "", epoch: int | None = None) -> str:
    """Return a new key, a UUIDv7, in the folder of another key (or of a prefix).

    Its last eight digits are the epoch of the ledger that stores it, else that of its neighbour.
    """
    folder, slash, name = neighbour.rpartition("/")
    if epoch is None and name:
        epoch = epoch_of(name)
    key = str(uuid7())
    return f"{folder}{slash}{key if epoch is None else f'{key[:-8]}{epoch:08x}'}"


def epoch_of(key: str) -> int | None:
    """Return the epoch in which an object was stored, if its key tells.

    Keys made without a ledger end in any digits: what is no epoch of a ledger says nothing.
    """
    found = _WITH_EPOCH.search(key)
    return None if found is None else int(found[1], 16)


_WITH_EPOCH = re.compile(
    r"(?:^|/)[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{4}([0-9a-f]{8})[^/]*$"
)


def public_url(path: str) -> str | None:
    """Return the permanent public URL of an object, if it has one."""
    return StorageManager.public_url(*StorageManager.resolve(path))


# --- checksums


class Hash(Protocol):
    """A hash of `hashlib`, or what goes before one."""

    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


class HashBehind:
    """A hash that is computed in another thread, while the next bytes are written.

    Few of them wait. That bounds memory, and they are still in the processor's cache.
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
