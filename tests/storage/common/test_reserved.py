"""What a storage keeps about itself is no object: not listed, not stored by rows, not deleted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from obstore.store import MemoryStore

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import InvalidKeyError
from sqlalchemy_file.storage import Storage, adapt
from sqlalchemy_file.storage.common.keys import RESERVED, is_reserved
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.tracking.deletion import delete_objects
from tests.storage.helpers import keys
from tests.stores import add_memory

KEY = f"{RESERVED}a.json"


def _libcloud_folder(folder: Path) -> Any:
    (folder / "box").mkdir()
    return LocalStorageDriver(str(folder)).get_container("box")


KINDS: dict[str, Any] = {
    "memory": lambda folder: "memory://",
    "folder": lambda folder: folder.as_uri(),
    "libcloud folder": _libcloud_folder,
    "libcloud": lambda folder: DummyStorageDriver("key", "secret").create_container("dummy"),
    "obstore": lambda folder: MemoryStore(),
    "fsspec": lambda folder: DirFileSystem(str(folder), LocalFileSystem()),
}


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return adapt(KINDS[request.param](tmp_path))


def test_it_is_listed_for_those_only_who_ask_for_it(storage: Storage) -> None:
    for key in (KEY, "a", ".b"):
        storage.put(key, io.BytesIO(b"x"), Attributes())
    assert keys(storage) == [".b", "a"]
    assert [info.key for info in storage.list(".")] == [".b"]
    assert [info.key for info in storage.list(RESERVED)] == [KEY]
    storage.stat(KEY)


def test_no_file_is_stored_there() -> None:
    storage = add_memory()
    for key in (KEY, f"folder/{KEY}"):
        assert is_reserved(key)
        with pytest.raises(InvalidKeyError, match="reserved"):
            StorageManager.save_file(key, b"x")
    assert list(storage.list(RESERVED)) == []


def test_nothing_there_is_deleted_as_an_object() -> None:
    storage = add_memory()
    storage.put(KEY, io.BytesIO(b"x"), Attributes())
    storage.put("a", io.BytesIO(b"x"), Attributes())
    assert list(delete_objects([f"main/{KEY}", "main/a"])) == [f"main/{KEY}"]
    with pytest.raises(InvalidKeyError):
        StorageManager.delete_file(f"main/{KEY}")
    assert [info.key for info in storage.list(RESERVED)] == [KEY]
    assert keys(storage) == []
