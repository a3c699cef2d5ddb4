"""What becomes of what is added as a storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from libcloud.storage.drivers.minio import MinIOStorageDriver

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage import LibcloudStorage, LocalStorage, MemoryStorage, Storage, adapt
from sqlalchemy_file.storage.adapters import SCHEMES
from tests.storage.helpers import keys, put


def test_an_address_of_a_folder_is_that_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space ü"
    storage = adapt(folder.as_uri(), create=True)
    assert isinstance(storage, LocalStorage)
    put(storage, "key")
    assert (folder / "key").read_bytes() == b"bytes"


def test_an_address_of_a_folder_that_is_missing_is_refused_and_makes_none(tmp_path: Path) -> None:
    folder = tmp_path / "tpyo"
    with pytest.raises(StorageError, match=r"there is no folder.*create=True"):
        adapt(folder.as_uri())
    assert not folder.exists()


def test_every_address_of_memory_is_a_new_storage() -> None:
    first, second = adapt("memory://"), adapt("memory://")
    put(first, "key")
    assert isinstance(second, MemoryStorage)
    assert keys(second) == []


def test_a_storage_is_itself() -> None:
    storage = MemoryStorage()
    assert adapt(storage) is storage


def test_a_storage_without_all_methods_is_refused_and_they_are_named() -> None:
    class Half:
        put = stat = stream = MemoryStorage.put

    with pytest.raises(TypeError, match=r"not Half, which lacks delete, copy, list$"):
        adapt(Half())
    with pytest.raises(TypeError, match=r"not object$"):
        adapt(object())
    with pytest.raises(TypeError, match="not the class MemoryStorage: give an object of it"):
        adapt(MemoryStorage)


def test_containers_go_by_their_driver(tmp_path: Path) -> None:
    (tmp_path / "container").mkdir()
    local = LocalStorageDriver(str(tmp_path)).get_container("container")
    assert isinstance(adapt(local), LocalStorage)
    dummy = DummyStorageDriver("key", "secret").create_container("container")
    assert isinstance(adapt(dummy), LibcloudStorage)


@pytest.mark.parametrize(
    "address",
    ["s3://key:hunter2@bucket/prefix", "relative/hunter2", "/hunter2", "hunter2:no-scheme", "",
     "file:hunter2", "http://[hunter2/"],
)  # fmt: skip
def test_an_unknown_address_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ValueError, match="the URL of this storage") as caught:
        adapt(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["file://host/folder", "file://folder", "file:///folder?x=1", "memory://name"]
)
def test_an_address_that_says_too_much_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"the URL of a (folder|storage in memory) is"):
        adapt(address)


@pytest.mark.parametrize("thing", [None, 5, b"memory://", object(), MemoryStorage])
def test_anything_else_is_refused_with_what_is_taken(thing: object) -> None:
    with pytest.raises(TypeError, match=r"libcloud Container.*'file:///srv/uploads'.*Storage, not"):
        adapt(thing)


def test_a_scheme_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "mine", lambda parts, options: MemoryStorage())
    assert isinstance(adapt("mine://anything"), Storage)


def test_adding_a_container_asks_the_storage_for_nothing() -> None:
    driver = MinIOStorageDriver("key", "secret", host="nowhere.invalid")
    from libcloud.storage.base import Container

    assert isinstance(adapt(Container("bucket", {}, driver)), LibcloudStorage)
