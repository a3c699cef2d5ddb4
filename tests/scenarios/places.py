"""The storages of the matrix, and how the tests look into each without the library's help."""

from __future__ import annotations

import itertools
import os
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from libcloud.storage.drivers.s3 import BaseS3StorageDriver
from obstore.store import MemoryStore

from sqlalchemy_file.exceptions import ObjectNotFoundError
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.services.ceph import S3Server

from .s3 import Bucket

SIDECAR = ".metadata.json"


class Place(ABC):
    """Where the objects of one storage lie; it is empty at the start of each scenario."""

    keeps_bytes = True

    @abstractmethod
    def fresh(self) -> Any:
        """Forget what was there, and return what `StorageManager.add_storage` takes."""

    @abstractmethod
    def objects(self) -> dict[str, bytes]:
        """Return all objects by their key."""

    def litter(self) -> list[str]:
        """Return the names of everything that is neither an object nor belongs to one."""
        return []

    def discard(self, key: str) -> None:
        """Delete one object behind the library's back."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027  most have opened nothing
        """Let go of what was opened."""


class Memory(Place):
    """Objects in a dict: only the storage itself can tell them."""

    def fresh(self) -> MemoryStorage:
        self._storage = MemoryStorage()
        return self._storage

    def objects(self) -> dict[str, bytes]:
        found = {}
        for info in list(self._storage.list()):
            with suppress(ObjectNotFoundError):  # deleted since, by a finalizer
                found[info.key] = b"".join(self._storage.stream(info.key))
        return found

    def discard(self, key: str) -> None:
        self._storage.delete([key])


class Native(Place):
    """A store of obstore, whose requests are coroutines under asyncio."""

    def fresh(self) -> MemoryStore:
        self._store = MemoryStore()
        return self._store

    def objects(self) -> dict[str, bytes]:
        found = {}
        for batch in self._store.list():
            for info in batch:
                with suppress(FileNotFoundError):  # deleted since, by a finalizer
                    found[info["path"]] = bytes(self._store.get(info["path"]).bytes())
        return found

    def discard(self, key: str) -> None:
        self._store.delete(key)


class Folder(Place):
    """A folder on disk, given as a ``file:///`` address."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._numbers = itertools.count()

    def fresh(self) -> Any:
        self.root = self._parent / str(next(self._numbers))
        self.root.mkdir(parents=True)
        return self.root.as_uri()

    def objects(self) -> dict[str, bytes]:
        found = {}
        for name in self._names():
            if not name.endswith(SIDECAR):
                with suppress(FileNotFoundError):  # deleted since, by a finalizer
                    found[name] = (self.root / name).read_bytes()
        return found

    def litter(self) -> list[str]:
        names = self._names()
        return [
            name
            for name in names
            if name.endswith(SIDECAR) and name.removesuffix(SIDECAR) not in names
        ]

    def discard(self, key: str) -> None:
        (self.root / key).unlink()
        (self.root / f"{key}{SIDECAR}").unlink(missing_ok=True)

    def _names(self) -> set[str]:
        """Return every file, symbolic link, socket or whatever else there is under the root."""
        return {
            Path(folder, name).relative_to(self.root).as_posix()
            for folder, folders, files in os.walk(self.root)
            for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]
        }


class LibcloudFolder(Folder):
    """The same as a container of libcloud's Local driver."""

    def fresh(self) -> Any:
        super().fresh()
        return LocalStorageDriver(str(self._parent)).get_container(self.root.name)


class FsspecFolder(Folder):
    """The same as a filesystem of fsspec, which worker threads use under asyncio, too."""

    def fresh(self) -> Any:
        super().fresh()
        return DirFileSystem(str(self.root), LocalFileSystem())


class Dummy(Place):
    """libcloud's Dummy driver, which many test suites use; it keeps keys, and makes up bytes."""

    keeps_bytes = False

    def fresh(self) -> Any:
        driver = DummyStorageDriver("key", "secret")
        self._container = driver.create_container("dummy")
        return self._container

    def objects(self) -> dict[str, bytes]:
        driver = self._container.driver
        return {found.name: b"" for found in driver.iterate_container_objects(self._container)}

    def discard(self, key: str) -> None:
        self._container.get_object(key).delete()


class S3(Place):
    """A bucket of a real S3 server, reached by one of libcloud's drivers."""

    def __init__(self, server: S3Server, driver_class: type[BaseS3StorageDriver]) -> None:
        name = f"scenarios-{uuid.uuid4().hex[:12]}"
        self._bucket = Bucket(server, name)
        self._bucket.create()
        self._read: dict[tuple[str, str], bytes] = {}
        driver = driver_class(
            server.access_key, server.secret_key, secure=False, host=server.host, port=server.port
        )
        self._container = driver.get_container(name)

    def fresh(self) -> Any:
        self._read.clear()
        self._bucket.delete(self._bucket.list())
        return self._container

    def objects(self) -> dict[str, bytes]:
        return {key: self._content(key, etag) for key, etag in self._bucket.list().items()}

    def _content(self, key: str, etag: str) -> bytes:
        """Read each object once: its ETag says whether it is still the same."""
        if (key, etag) not in self._read:
            self._read[key, etag] = self._bucket.read(key)
        return self._read[key, etag]

    def litter(self) -> list[str]:
        return self._bucket.pending_uploads()

    def discard(self, key: str) -> None:
        self._bucket.delete([key])

    def close(self) -> None:
        self._bucket.delete(self._bucket.list())
        self._bucket.close()
