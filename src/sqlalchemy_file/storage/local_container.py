"""Containers of libcloud's Local driver, as local folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from libcloud.storage.base import Container, Object
from libcloud.storage.drivers.local import LocalStorageDriver

from sqlalchemy_file.storage.common.attributes import meta_data_of
from sqlalchemy_file.storage.common.calling import Translator
from sqlalchemy_file.storage.common.protocol import Storage
from sqlalchemy_file.storage.libcloud.drivers import TRANSFERS
from sqlalchemy_file.storage.libcloud.storage import LibcloudStorage, our_error
from sqlalchemy_file.storage.local.storage import LocalStorage


class LocalContainerStorage(LocalStorage):
    """A container of libcloud's Local driver, with the same files on disk.

    The driver itself writes in place, does not sync, and leaves a lock file for each object.
    """

    _takes_extra = True  # the driver ignores options of other drivers

    def __init__(self, container: Container) -> None:
        self._container = container
        driver: Any = container.driver
        super().__init__(Path(driver.base_path, container.name), sidecars=True, create=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._container!r})"

    def driver_object(self, key: str) -> Object:
        """Return libcloud's own object, with the metadata that the driver does not keep."""
        attributes = self.stat(key).attributes
        with Translator(our_error, key):
            found = self._container.get_object(key)
        found.meta_data = meta_data_of(attributes)
        return found


def kind_of(container: Container) -> Callable[..., Storage]:
    """Return `LocalContainerStorage` for libcloud's own Local driver, else `LibcloudStorage`."""
    driver = container.driver
    # A subclass may transfer bytes in its own way, to encrypt them for example.
    plain_local = isinstance(driver, LocalStorageDriver) and all(
        getattr(type(driver), name) is getattr(LocalStorageDriver, name) for name in TRANSFERS
    )
    return LocalContainerStorage if plain_local else LibcloudStorage
