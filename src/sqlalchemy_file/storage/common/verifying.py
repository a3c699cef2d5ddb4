"""Compare the size in the storage with what was sent: some storages store less than they say."""

from __future__ import annotations

from typing import cast

from sqlalchemy_file.exceptions import ObjectNotFoundError, StorageError
from sqlalchemy_file.storage.common.protocol import AsyncStorage, ObjectInfo, Storage


def verify(storage: Storage, info: ObjectInfo, size: int | None) -> ObjectInfo:
    """Return the facts about a new object; raise `StorageError` if it is incomplete.

    ``info`` is what `put` returned, ``size`` how many bytes it was given, None where nobody
    knows. A storage whose ``verify`` is true is asked once more what it has.
    """
    if _is_asked(storage):
        try:
            info = storage.stat(info.key)
        except ObjectNotFoundError as error:
            raise _missing(info) from error
    return _compared(info, size)


async def averify(storage: Storage, info: ObjectInfo, size: int | None) -> ObjectInfo:
    """Do as `verify` does, by the storage's own coroutines, which it must have."""
    if _is_asked(storage):
        try:
            info = await cast("AsyncStorage", storage).astat(info.key)
        except ObjectNotFoundError as error:
            raise _missing(info) from error
    return _compared(info, size)


def _is_asked(storage: Storage) -> bool:
    return bool(getattr(storage, "verify", False))


def _compared(info: ObjectInfo, size: int | None) -> ObjectInfo:
    if size is not None and info.size != size:
        raise StorageError(
            f"the storage was given {size} bytes and has {info.size} of them: try again, and look "
            "at its free space and its log",
            key=info.key,
        )
    return info


def _missing(info: ObjectInfo) -> StorageError:
    return StorageError(
        "the storage said that it had stored this object, and does not have it", key=info.key
    )
