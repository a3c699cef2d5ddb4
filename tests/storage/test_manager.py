"""Names of storages, paths of objects."""

from __future__ import annotations

import io
import threading
import traceback
from pathlib import Path

import pytest
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from libcloud.storage.types import ObjectDoesNotExistError

from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    InvalidStorageError,
    ObjectNotFoundError,
    UnknownStorageError,
)
from sqlalchemy_file.storage import LocalStorage, MemoryStorage, StorageManager
from sqlalchemy_file.storage.location import Location
from tests.storage.helpers import keys, read


class TestNames:
    def test_the_first_one_added_is_the_default(self) -> None:
        StorageManager.add_storage("first", "memory://")
        StorageManager.add_storage("second", "memory://")
        assert StorageManager.get_default() == "first"
        assert StorageManager.storage() is StorageManager.storage("first")

    def test_another_can_be_made_the_default(self) -> None:
        StorageManager.add_storage("first", "memory://")
        StorageManager.add_storage("second", "memory://")
        StorageManager.set_default("second")
        assert StorageManager.get_default() == "second"

    def test_get_returns_what_was_added(self) -> None:
        container = DummyStorageDriver("key", "secret").create_container("container")
        StorageManager.add_storage("dummy", container)
        assert StorageManager.get() is StorageManager.get("dummy") is container

    def test_a_name_is_taken_once(self) -> None:
        StorageManager.add_storage("name", "memory://")
        with pytest.raises(RuntimeError, match="Storage name has already been added"):
            StorageManager.add_storage("name", "memory://")

    def test_an_unknown_name_is_told_with_those_that_are_known(self) -> None:
        StorageManager.add_storage("first", "memory://")
        StorageManager.add_storage("other", "memory://")
        for action in (
            lambda: StorageManager.get("nope"),
            lambda: StorageManager.storage("nope"),
            lambda: StorageManager.set_default("nope"),
            lambda: StorageManager.get_file("nope/key"),
            lambda: StorageManager.delete_file("nope/key"),
            lambda: StorageManager.path("nope", "key"),
            lambda: StorageManager.save_file("key", b"", upload_storage="nope"),
        ):
            with pytest.raises(
                UnknownStorageError, match=r"nope storage has not been added.*'first', 'other'"
            ):
                action()

    def test_without_any_storage_there_is_no_default(self) -> None:
        for action in (StorageManager.get, StorageManager.get_default, StorageManager.storage):
            with pytest.raises(RuntimeError, match="No default storage has been added"):
                action()
        with pytest.raises(RuntimeError, match=r"nope storage has not been added \(added: none\)"):
            StorageManager.get("nope")

    @pytest.mark.parametrize("clear", [StorageManager.clear, StorageManager._clear])
    def test_clear_forgets_them_all(self, clear: object) -> None:
        StorageManager.add_storage("name", "memory://")
        clear()  # type: ignore[operator]
        with pytest.raises(UnknownStorageError):
            StorageManager.get_default()
        StorageManager.add_storage("name", "memory://")

    @pytest.mark.parametrize("name", ["", "/name", "name/"])
    def test_a_name_that_paths_could_not_hold_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="slash"):
            StorageManager.add_storage(name, "memory://")

    def test_what_is_no_storage_is_refused_when_it_is_added(self) -> None:
        with pytest.raises(TypeError, match="libcloud Container"):
            StorageManager.add_storage("name", None)
        with pytest.raises(UnknownStorageError):
            StorageManager.get("name")

    @pytest.mark.parametrize("address", ["nonsense://hunter2/x", "hunter2", "file://hunter2/x"])
    def test_an_address_that_means_nothing_is_refused_with_the_name(self, address: str) -> None:
        with pytest.raises(InvalidStorageError, match=r"storage 'media': the address of") as told:
            StorageManager.add_storage("media", address)
        assert told.value.storage == "media"
        assert "hunter2" not in "".join(traceback.format_exception(told.value))
        with pytest.raises(UnknownStorageError):
            StorageManager.get("media")

    def test_threads_may_add_storages_at_once(self) -> None:
        def add(number: int) -> None:
            StorageManager.add_storage(f"storage-{number}", "memory://")

        threads = [threading.Thread(target=add, args=[number]) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(StorageManager.storage(f"storage-{number}")) for number in range(30)}) == 30


class TestPaths:
    def test_a_path_is_split_at_its_last_slash(self) -> None:
        assert StorageManager.resolve("a/b/c") == ("a/b", "c")
        assert StorageManager._get_storage_and_file_id("a/b") == ("a", "b")

    def test_behind_the_name_that_was_added(self) -> None:
        StorageManager.add_storage("a", "memory://")
        assert StorageManager.resolve("a/b/c") == ("a", "b/c")
        StorageManager.clear()
        StorageManager.add_storage("a/b", "memory://")
        assert StorageManager.resolve("a/b/c") == ("a/b", "c")

    @pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d")])
    def test_names_that_make_a_path_ambiguous_are_refused(self, names: tuple[str, str]) -> None:
        first, second = names
        StorageManager.add_storage(first, "memory://")
        with pytest.raises(RuntimeError, match=f"'{second}' cannot be added beside '{first}'"):
            StorageManager.add_storage(second, "memory://")
        assert StorageManager.names() == [first]

    def test_names_that_begin_alike_within_a_part_are_not(self) -> None:
        for name in ("a", "ab", "a-b", "b/a", "b/ab"):
            StorageManager.add_storage(name, "memory://")
            assert StorageManager.resolve(f"{name}/c/d") == (name, "c/d")

    def test_a_record_s_path_keeps_its_meaning_whatever_is_added(self) -> None:
        path = Location("a/b", "c")
        StorageManager.add_storage("a", "memory://")
        assert StorageManager.resolve(path) == ("a/b", "c")
        with pytest.raises(UnknownStorageError, match="a/b storage has not been added"):
            StorageManager.view(path)

    def test_path_and_resolve_are_inverse(self) -> None:
        StorageManager.add_storage("a/b", "memory://")
        for key in ("c", "c/d", "a/b"):
            assert StorageManager.resolve(StorageManager.path("a/b", key)) == ("a/b", key)

    def test_a_key_that_leaves_its_container_is_refused(self) -> None:
        StorageManager.add_storage("a", "memory://")
        for key in ("../b", "/b", "b\0"):
            with pytest.raises(InvalidKeyError):
                StorageManager.path("a", key)

    def test_a_path_without_a_slash_has_no_storage(self) -> None:
        StorageManager.add_storage("a", "memory://")
        with pytest.raises(UnknownStorageError):
            StorageManager.get_file("a")


class TestFiles:
    @pytest.fixture(autouse=True)
    def storage(self) -> MemoryStorage:
        StorageManager.add_storage("store", MemoryStorage())
        return StorageManager.get()  # type: ignore[no-any-return]

    @pytest.mark.parametrize(
        "content",
        [b"bytes", "bytes", bytearray(b"bytes"), io.BytesIO(b"bytes"), iter([b"by", b"tes"])],
        ids=lambda content: type(content).__name__,
    )
    def test_content_of_any_kind_is_saved(self, storage: MemoryStorage, content: object) -> None:
        file = StorageManager.save_file("key", content)
        assert (file.name, file.size, file.read()) == ("key", 5, b"bytes")
        assert read(storage, "key") == b"bytes"

    def test_a_path_is_read_and_closed(self, storage: MemoryStorage, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"bytes")
        StorageManager.save_file("key", content_path=str(tmp_path / "file"))
        assert read(storage, "key") == b"bytes"
        with pytest.raises(FileNotFoundError):
            StorageManager.save_file("other", content_path=tmp_path / "missing")

    def test_a_file_of_the_callers_is_left_open_where_it_was_read_to(self) -> None:
        content = io.BytesIO(b"skipped, stored")
        content.seek(9)
        assert StorageManager.save_file("key", content).read() == b"stored"
        assert not content.closed

    def test_nothing_to_save_is_refused(self) -> None:
        with pytest.raises(ValueError, match="Either content or content_path must be specified"):
            StorageManager.save_file("key")

    def test_empty_content_is_content(self, storage: MemoryStorage) -> None:
        assert StorageManager.save_file("key", b"").size == 0
        assert keys(storage) == ["key"]

    def test_a_file_opened_as_text_is_refused(self) -> None:
        with pytest.raises(TypeError, match="'rb'"):
            StorageManager.save_file("key", io.StringIO("text"))

    def test_extra_and_headers_are_attributes(self, storage: MemoryStorage) -> None:
        StorageManager.save_file(
            "key",
            b"",
            extra={
                "content_type": "text/plain",
                "meta_data": {"filename": "name", "pages": 3, "none": None},
                "acl": "private",
            },
            headers={"Cache-Control": "no-store"},
        )
        attributes = storage.stat("key").attributes
        assert (attributes.filename, attributes.content_type) == ("name", "text/plain")
        assert attributes.metadata == {"pages": "3"}
        assert attributes.extra == {"acl": "private"}
        assert attributes.headers == {"Cache-Control": "no-store"}

    def test_metadata_is_deprecated_and_means_extra(self, storage: MemoryStorage) -> None:
        with pytest.warns(DeprecationWarning, match="metadata attribute is deprecated"):
            StorageManager.save_file("key", b"", metadata={"a": "b"})
        assert storage.stat("key").attributes.metadata == {"a": "b"}

    def test_a_missing_object_is_not_found_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "container").mkdir()
        container = LocalStorageDriver(str(tmp_path)).get_container("container")
        StorageManager.add_storage("container", container)
        StorageManager.add_storage("folder", LocalStorage(tmp_path / "folder"))
        for name in ("store", "container", "folder"):
            with pytest.raises(ObjectNotFoundError, match=f"storage '{name}', key 'missing'"):
                StorageManager.get_file(f"{name}/missing")
            with pytest.raises(ObjectDoesNotExistError):
                StorageManager.get_file(f"{name}/missing")

    def test_a_deleted_file_is_gone_and_may_be_deleted_again(self, storage: MemoryStorage) -> None:
        StorageManager.save_file("key", b"")
        assert StorageManager.delete_file("store/key") is True
        assert StorageManager.delete_file("store/key") is True
        assert keys(storage) == []
