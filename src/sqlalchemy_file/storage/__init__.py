"""Storages: the protocol, those that ship with this package, and their names.

`StorageManager` keeps them by name; `StoredFile` is one of their objects, open for reading.
"""

from typing import TYPE_CHECKING, Any

from sqlalchemy_file.deprecation import moved
from sqlalchemy_file.storage.adapters import adapt
from sqlalchemy_file.storage.base import (
    AsyncStorage,
    Attributes,
    HasDriverObject,
    HasPath,
    HasPublicURL,
    HasSignedURL,
    ObjectInfo,
    Storage,
)
from sqlalchemy_file.storage.local import LocalStorage
from sqlalchemy_file.storage.manager import StorageManager
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.storage.stored_file import StoredFile

if TYPE_CHECKING:
    from sqlalchemy_file.storage.libcloud import LibcloudStorage

__all__ = [
    "AsyncStorage",
    "Attributes",
    "HasDriverObject",
    "HasPath",
    "HasPublicURL",
    "HasSignedURL",
    "LibcloudStorage",
    "LocalStorage",
    "MemoryStorage",
    "ObjectInfo",
    "Storage",
    "StorageManager",
    "StoredFile",
    "adapt",
]


def __getattr__(name: str) -> Any:
    if name != "LibcloudStorage":
        return _moved(name)
    from sqlalchemy_file.storage.libcloud import LibcloudStorage  # noqa: PLC0415  loads drivers

    return LibcloudStorage


_moved = moved(
    __name__,
    {
        "Container": "libcloud.storage.base",
        "LOCAL_STORAGE_DRIVER_NAME": "sqlalchemy_file.legacy",
        "ObjectDoesNotExistError": "libcloud.storage.types",
        "get_metadata_file_obj": "sqlalchemy_file.legacy",
    },
)
