"""Storages: the protocol, those of this package, and `StorageManager`, which has them by name.

`StoredFile` is one object, open for reading.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.storage.adapters import adapt
from sqlalchemy_file.storage.common.protocol import (
    AsyncStorage,
    Attributes,
    HasDriverObject,
    HasNotes,
    HasPath,
    HasPublicURL,
    HasSignedDownload,
    HasSignedURL,
    HasUploads,
    ObjectInfo,
    PendingUpload,
    Storage,
    check_key,
)
from sqlalchemy_file.storage.local import LocalStorage
from sqlalchemy_file.storage.manager import StorageManager
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.storage.reading.stored_file import StoredFile
from sqlalchemy_file.support.deprecation import moved

if TYPE_CHECKING:
    from sqlalchemy_file.storage.fsspec import FsspecStorage
    from sqlalchemy_file.storage.libcloud import LibcloudStorage
    from sqlalchemy_file.storage.obstore import ObstoreStorage

__all__ = [
    "AsyncStorage",
    "Attributes",
    "FsspecStorage",
    "HasDriverObject",
    "HasNotes",
    "HasPath",
    "HasPublicURL",
    "HasSignedDownload",
    "HasSignedURL",
    "HasUploads",
    "LibcloudStorage",
    "LocalStorage",
    "MemoryStorage",
    "ObjectInfo",
    "ObstoreStorage",
    "PendingUpload",
    "Storage",
    "StorageManager",
    "StoredFile",
    "adapt",
    "check_key",
]


# Loaded at their first use: they import libraries that few programs need all of.
_LATE = {
    "FsspecStorage": "sqlalchemy_file.storage.fsspec",
    "LibcloudStorage": "sqlalchemy_file.storage.libcloud",
    "ObstoreStorage": "sqlalchemy_file.storage.obstore",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        return _moved(name)
    return getattr(import_module(_LATE[name]), name)


_moved = moved(
    __name__,
    {
        "Container": "libcloud.storage.base",
        "LOCAL_STORAGE_DRIVER_NAME": "sqlalchemy_file.legacy",
        "ObjectDoesNotExistError": "libcloud.storage.types",
        "get_metadata_file_obj": "sqlalchemy_file.legacy",
    },
)
