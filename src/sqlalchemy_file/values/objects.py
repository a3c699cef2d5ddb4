"""One object of a file: its upload, and the result."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from uuid_utils import uuid7

from sqlalchemy_file.content.hashing import Measured
from sqlalchemy_file.content.sources import Content
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.observing import Task
from sqlalchemy_file.storage import Attributes, StorageManager
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling, run, verify
from sqlalchemy_file.storage.registry import Registered


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
        storage = self.registered.storage
        with Task("store", self.storage_name, (self.key,)) as task, self._sending() as measured:
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
            task.size = measured.size
        return StoredObject(self.key, self.path, measured.size, measured.checksum)

    def _sending(self) -> _Sending:
        return _Sending(Measured(self.content.open()), self.storage_name, self.key)


class _Sending:
    """A block that reads a content out: errors that are not its own become a `StorageError`."""

    __slots__ = ("_key", "_measured", "_storage_name")

    def __init__(self, measured: Measured, storage_name: str, key: str) -> None:
        self._measured = measured
        self._storage_name = storage_name
        self._key = key

    def __enter__(self) -> Measured:
        return self._measured

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StorageError):
            error.storage = error.storage or self._storage_name
        elif isinstance(error, Exception) and self._measured.error is None:
            raise StorageError(str(error), storage=self._storage_name, key=self._key) from error


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
