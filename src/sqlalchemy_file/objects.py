"""Stores one object of a file, and says what was stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, cast

from uuid_utils import uuid7

from sqlalchemy_file.content import Content, Measured
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage import Attributes, HasPublicURL, StorageManager


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object that was just stored. ``size`` is in bytes, of what was really read."""

    key: str
    path: str
    size: int
    checksum: str


def store_object(
    content: Content, storage_name: str, key: str, attributes: Attributes, *, exclusive: bool
) -> StoredObject:
    """Store all of a content under a key; with ``exclusive``, only if that key is free.

    An error of the content passes through as it is, any other is a `StorageError`.
    """
    storage = StorageManager.storage(storage_name)
    measured = Measured(content.open())
    try:
        storage.put(key, cast("BinaryIO", measured), attributes, exclusive=exclusive)
    except StorageError as error:
        error.storage = error.storage or storage_name
        raise
    except Exception as error:
        if measured.error is not None:
            raise
        raise StorageError(str(error), storage=storage_name, key=key) from error
    path = StorageManager.path(storage_name, key)
    return StoredObject(key, path, measured.size, measured.checksum)


def fresh_key(neighbour: str = "") -> str:
    """Return a new key, a UUIDv7, in the folder of another key (or of a prefix)."""
    folder, slash, _ = neighbour.rpartition("/")
    return f"{folder}{slash}{uuid7()}"


def public_url(path: str) -> str | None:
    """Return the permanent public address of an object, if it has one."""
    storage_name, key = StorageManager.resolve(path)
    storage = StorageManager.storage(storage_name)
    return storage.public_url(key) if isinstance(storage, HasPublicURL) else None
