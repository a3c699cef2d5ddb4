"""Compare the size in the storage with what was sent: some storages store less than they say."""

from __future__ import annotations

from sqlalchemy_file.exceptions import ObjectNotFoundError, StorageError
from sqlalchemy_file.storage.common.calling import Calling
from sqlalchemy_file.storage.common.protocol import ObjectInfo, Storage


async def verify(
    calling: Calling, storage: Storage, info: ObjectInfo, size: int | None
) -> ObjectInfo:
    """Return the facts about a new object; raise `StorageError` if it is incomplete.

    ``info`` is what `put` returned, ``size`` how many bytes it was given, None where nobody
    knows. A storage whose ``verify`` is true is asked once more what it has.
    """
    if getattr(storage, "verify", False):
        try:
            info = await calling.call(storage, "stat", info.key)
        except ObjectNotFoundError as error:
            raise StorageError(
                "the storage said that it had stored this object, and does not have it",
                key=info.key,
            ) from error
    if size is not None and info.size != size:
        raise StorageError(
            f"the storage was given {size} bytes and has {info.size} of them: try again, and look "
            "at its free space and its log",
            key=info.key,
        )
    return info
