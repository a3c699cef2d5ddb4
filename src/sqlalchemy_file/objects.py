"""One object of a file: how it is stored, and what was stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, cast

from uuid_utils import uuid7

from sqlalchemy_file.content import Content, Measured
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.observing import Task
from sqlalchemy_file.storage import (
    AsyncStorage,
    Attributes,
    Storage,
    StorageManager,
)


class StoredObject(NamedTuple):
    """One object that was just stored. ``size`` is in bytes, of what was really read."""

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
    key: str
    path: str
    attributes: Attributes
    exclusive: bool

    @property
    def storage(self) -> Storage:
        return StorageManager.storage(self.storage_name)

    def public_url(self) -> str | None:
        """Return the permanent public address that it will have, if any."""
        address_of = getattr(self.storage, "public_url", None)  # isinstance() of a protocol is slow
        return None if address_of is None else cast("str | None", address_of(self.key))

    def run(self) -> StoredObject:
        """Store it from this thread."""
        with Task("store", self.storage_name, (self.key,)) as task, self._measured() as measured:
            self.storage.put(
                self.key, cast("BinaryIO", measured), self.attributes, exclusive=self.exclusive
            )
            task.size = measured.size
        return self._stored(measured)

    async def arun(self) -> StoredObject:
        """Store it with the storage's own coroutine, which it must have."""
        storage = cast("AsyncStorage", self.storage)
        with Task("store", self.storage_name, (self.key,)) as task, self._measured() as measured:
            await storage.aput(
                self.key, cast("BinaryIO", measured), self.attributes, exclusive=self.exclusive
            )
            task.size = measured.size
        return self._stored(measured)

    @contextmanager
    def _measured(self) -> Iterator[Measured]:
        measured = Measured(self.content.open())
        try:
            yield measured
        except StorageError as error:
            error.storage = error.storage or self.storage_name
            raise
        except Exception as error:
            if measured.error is not None:
                raise
            raise StorageError(str(error), storage=self.storage_name, key=self.key) from error

    def _stored(self, measured: Measured) -> StoredObject:
        return StoredObject(self.key, self.path, measured.size, measured.checksum)


def fresh_key(neighbour: str = "") -> str:
    """Return a new key, a UUIDv7, in the folder of another key (or of a prefix)."""
    folder, slash, _ = neighbour.rpartition("/")
    return f"{folder}{slash}{uuid7()}"


def public_url(path: str) -> str | None:
    """Return the permanent public address of an object, if it has one."""
    storage_name, key = StorageManager.resolve(path)
    storage = StorageManager.storage(storage_name)
    address_of = getattr(storage, "public_url", None)  # isinstance() of a protocol is slow
    return cast("str | None", address_of(key)) if address_of is not None else None
