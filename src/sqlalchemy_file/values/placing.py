"""Where a field stores its files: in which storage, under which key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.keys import check_key
from sqlalchemy_file.support.calling import acall, call_now, is_async
from sqlalchemy_file.values.state import FileRecord

StorageChoice = str | Callable[..., str | Awaitable[str | None] | None] | None
KeyChoice = Callable[..., str | Awaitable[str]] | None

Destination = tuple[str, str | None, str]
"""The name of a storage, a whole key or None, and the folder of a new key."""


class ChoosesPlace:
    """The part of a field that decides where its files are stored."""

    upload_storage: StorageChoice
    key: KeyChoice

    @property
    def chooses_async(self) -> bool:
        """Whether ``upload_storage`` or ``key`` is a coroutine function."""
        storage = self.upload_storage
        awaits_storage = callable(storage) and is_async(storage)
        return awaits_storage or (self.key is not None and is_async(self.key))

    def fixed_storage(self, file: FileRecord) -> str | None:
        """Return the storage of new files, if no function of the field chooses storage or key.

        Returns None if one does, or if the storage was not added.
        """
        storage = self.upload_storage
        if self.key is not None or callable(storage):
            return None
        name = file._storage or storage or StorageManager._default
        return name if name in StorageManager._registered else None

    def place(self, file: FileRecord, row: Any = None) -> Destination:
        """Return the storage and the key for the file of a row; nothing is stored.

        Raises `UnknownStorageError` and `InvalidKeyError`.
        """
        storage = self.upload_storage
        chosen = call_now(storage, file, row=row) if callable(storage) else storage
        return self._placed(file, chosen, call_now(self.key, file, row=row) if self.key else "")

    async def aplace(self, file: FileRecord, row: Any = None) -> Destination:
        """Return the same as `place`, and await coroutine functions."""
        storage = self.upload_storage
        chosen = await acall(storage, file, row=row) if callable(storage) else storage
        key = await acall(self.key, file, row=row) if self.key else ""
        return self._placed(file, chosen, key)

    def _placed(self, file: FileRecord, chosen: str | None, key: str) -> Destination:
        storage_name = file._storage or chosen or StorageManager.get_default()
        StorageManager.storage(storage_name)
        if not isinstance(key, str):
            raise TypeError(f"key= returns a prefix, ending with a slash, or a key, not {key!r}")
        if key.endswith("/"):
            StorageManager.path(storage_name, check_key(f"{key}id"))
            return storage_name, None, key
        if key:
            StorageManager.path(storage_name, check_key(key))
        return storage_name, key or None, ""
