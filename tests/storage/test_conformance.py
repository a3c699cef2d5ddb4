"""Every storage that ships with this package passes the conformance suite."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from libcloud.storage.base import Container, StorageDriver
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from obstore.store import LocalStore, MemoryStore, S3Store
from s3fs import S3FileSystem

from sqlalchemy_file.storage import (
    LibcloudStorage,
    LocalStorage,
    MemoryStorage,
    Storage,
    adapt,
)
from sqlalchemy_file.storage.local import storage as local_module
from sqlalchemy_file.testing import AsyncStorageConformance, StorageConformance


class TestLocal(StorageConformance):
    keeps_attributes = False

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path / "root")


class TestLocalWithSidecars(StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path / "root", sidecars=True, fsync=False)


class TestLocalWithoutOpenFolders(StorageConformance):
    """As on Windows, where no name is opened relative to an open folder."""

    @pytest.fixture
    def storage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
        monkeypatch.setattr(local_module, "CAN_HOLD", False)
        return LocalStorage(tmp_path / "root", sidecars=True)


class TestMemory(StorageConformance):
    keeps_bytes_in_memory = True

    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()


class TestLibcloudLocal(StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        (tmp_path / "container").mkdir()
        return adapt(LocalStorageDriver(str(tmp_path)).get_container("container"))


class TestLibcloudDummy(StorageConformance):
    keeps_bytes_in_memory = True

    @pytest.fixture
    def storage(self) -> Storage:
        return adapt(DummyStorageDriver("key", "secret").create_container("container"))


class TestLibcloudMinIO(StorageConformance, AsyncStorageConformance):
    @pytest.fixture
    def storage(self, bucket: Container) -> Storage:
        return adapt(bucket)


class TestLibcloudS3(StorageConformance):
    @pytest.fixture
    def storage(self, bucket: Container, s3_driver: Callable[[str], StorageDriver]) -> Storage:
        return adapt(s3_driver("s3").get_container(bucket.name))


class TestAnyLibcloudDriver(StorageConformance):
    """By nothing but libcloud's own methods, as without obstore."""

    decides_races = False

    @pytest.fixture
    def storage(self, bucket: Container) -> Storage:
        return LibcloudStorage(bucket)


class TestObstoreMemory(StorageConformance, AsyncStorageConformance):
    keeps_bytes_in_memory = True

    @pytest.fixture
    def storage(self) -> Storage:
        return adapt(MemoryStore())


class TestObstoreLocal(StorageConformance, AsyncStorageConformance):
    keeps_attributes = False

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return adapt(LocalStore(tmp_path))


class TestObstoreS3(StorageConformance, AsyncStorageConformance):
    @pytest.fixture
    def storage(self, s3_store: S3Store) -> Storage:
        return adapt(s3_store)


class TestFsspecLocal(StorageConformance):
    keeps_attributes = False
    decides_races = False

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return adapt(LocalFileSystem(), root=str(tmp_path))


class TestFsspecMemory(StorageConformance):
    keeps_attributes = False
    keeps_bytes_in_memory = True
    decides_races = False

    @pytest.fixture
    def storage(self) -> Storage:
        return adapt(MemoryFileSystem(), root=f"/{uuid.uuid4().hex}")


class TestFsspecS3(StorageConformance):
    keeps_attributes = False
    decides_races = False

    @pytest.fixture
    def storage(self, bucket: Container, s3_filesystem: S3FileSystem) -> Storage:
        return adapt(s3_filesystem, root=f"{bucket.name}/prefix")
