"""Storages: the protocol, those of this package, and `StorageManager`, which has them by name.

`StoredFile` is one object, open for reading.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.storage.common.keys import check_key
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
)
from sqlalchemy_file.storage.manager import StorageManager
from sqlalchemy_file.storage.stored_file import StoredFile
from sqlalchemy_file.support.defaults import Limits
from sqlalchemy_file.support.names import late, moved

if TYPE_CHECKING:
    from sqlalchemy_file.storage.adapters import adapt
    from sqlalchemy_file.storage.fsspec import FsspecStorage
    from sqlalchemy_file.storage.libcloud import LibcloudStorage
    from sqlalchemy_file.storage.local import LocalStorage
    from sqlalchemy_file.storage.memory import MemoryStorage
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
    "Limits",
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


__getattr__: Callable[[str], Any] = late(
    __name__,
    {
        "FsspecStorage": "sqlalchemy_file.storage.fsspec",
        "LibcloudStorage": "sqlalchemy_file.storage.libcloud",
        "LocalStorage": "sqlalchemy_file.storage.local",
        "MemoryStorage": "sqlalchemy_file.storage.memory",
        "ObstoreStorage": "sqlalchemy_file.storage.obstore",
        "adapt": "sqlalchemy_file.storage.adapters",
    },
    moved(
        __name__,
        {
            "Container": "libcloud.storage.base",
            "LOCAL_STORAGE_DRIVER_NAME": "sqlalchemy_file.legacy",
            "ObjectDoesNotExistError": "libcloud.storage.types",
            "get_metadata_file_obj": "sqlalchemy_file.legacy",
        },
    ),
)
