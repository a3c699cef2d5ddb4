"""Storages are shown by where they are, without their secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from obstore.store import S3Store

from sqlalchemy_file.storage import LocalStorage, MemoryStorage, Storage, adapt
from tests.storage.helpers import put

SECRETS = {"access_key_id": "hunter1", "secret_access_key": "hunter2"}
STORAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a folder": (LocalStorage, "LocalStorage('{root}')"),
    "a container that is a folder": (
        lambda root: LocalStorageDriver(str(root.parent)).get_container(root.name),
        "LocalContainerStorage(<Container: name=files, provider=Local Storage>)",
    ),
    "a container": (
        lambda root: DummyStorageDriver("hunter1", "hunter2").create_container("files"),
        "LibcloudStorage(<Container: name=files, provider=Dummy Storage Provider>)",
    ),
    "a bucket": (
        lambda root: S3Store("files", region="us-east-1", **SECRETS),
        'ObstoreStorage(S3Store(bucket="files"))',
    ),
}


@pytest.mark.parametrize("name", STORAGES)
def test_a_storage_is_shown_by_where_it_is(name: str, tmp_path: Path) -> None:
    make, shown = STORAGES[name]
    (tmp_path / "files").mkdir()
    assert repr(adapt(make(tmp_path / "files"))) == shown.format(root=tmp_path / "files")


def test_a_filesystem_is_shown_with_its_root(tmp_path: Path) -> None:
    storage = adapt(LocalFileSystem(), root=str(tmp_path))
    assert repr(storage) == f"FsspecStorage(LocalFileSystem, root='{tmp_path}/')"


def test_memory_is_shown_by_how_much_is_in_it() -> None:
    storage: Storage = MemoryStorage()
    put(storage, "key")
    assert repr(storage) == "<MemoryStorage of 1 objects>"
