"""The old import path of `StoredFile`."""

from collections.abc import Callable
from typing import Any

from sqlalchemy_file.storage.stored_file import StoredFile
from sqlalchemy_file.support.names import moved

__all__ = ["StoredFile"]

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "LOCAL_STORAGE_DRIVER_NAME": "sqlalchemy_file.legacy",
        "Object": "libcloud.storage.base",
        "ObjectDoesNotExistError": "libcloud.storage.types",
    },
)
