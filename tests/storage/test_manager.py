"""Names of storages, paths of objects."""

from __future__ import annotations

import asyncio
import io
import threading
import traceback
from pathlib import Path

import pytest
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from libcloud.storage.types import ObjectDoesNotExistError

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    InvalidStorageError,
    ObjectNotFoundError,
    StorageError,
    UnknownStorageError,
)
from sqlalchemy_file.storage import LocalStorage, MemoryStorage, StorageManager, StoredFile
from sqlalchemy_file.storage.common.keys import Location
from sqlalchemy_file.testing import FaultyStorage, fails
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
        with pytest.raises(
            RuntimeError, match="Storage name has already been added; pass replace="
        ):
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

    @pytest.mark.parametrize("name", ["a\nb", "\x00", "a\x7f", "a\u2028b", "\udc80"])
    def test_a_name_has_no_control_characters(self, name: str) -> None:
        with pytest.raises(ValueError, match="control characters"):
            StorageManager.add_storage(name, MemoryStorage())
        assert StorageManager.names() == []

    def test_what_is_no_storage_is_refused_when_it_is_added(self) -> None:
        with pytest.raises(TypeError, match="libcloud Container"):
            StorageManager.add_storage("name", None)
        with pytest.raises(UnknownStorageError):
            StorageManager.get("name")

    @pytest.mark.parametrize("address", ["nonsense://hunter2/x", "hunter2", "file://hunter2/x"])
    def test_an_address_that_means_nothing_is_refused_with_the_name(self, address: str) -> None:
        with pytest.raises(InvalidStorageError, match=r"storage 'media': the URL of") as told:
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
        with pytest.raises(RuntimeError, match=f"'{second}' cannot be added next to '{first}'"):
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

    @pytest.mark.parametrize("path", ["xyz", "", "/xyz"])
    def test_a_path_without_a_storage_is_told_what_a_path_is(self, path: str) -> None:
        for action in (
            StorageManager.get_file,
            StorageManager.delete_file,
            StorageManager.view,
            StorageManager.exists,
        ):
            with pytest.raises(UnknownStorageError, match=r"is no path of an object.*'store'"):
                action(path)

    def test_whether_an_object_exists_is_told(self, storage: MemoryStorage) -> None:
        async def asked(path: str) -> bool:
            return await StorageManager.aexists(path)

        StorageManager.save_file("key", b"")
        for path, is_there in (("store/key", True), ("store/other", False)):
            assert StorageManager.exists(path) is is_there
            assert asyncio.run(asked(path)) is is_there
        failing = FaultyStorage(storage)
        failing.inject("stat", fails())
        StorageManager.add_storage("failing", failing)
        with pytest.raises(StorageError, match="storage 'failing'"):
            StorageManager.exists("failing/key")

    def test_a_file_tells_whether_its_object_exists(self, storage: MemoryStorage) -> None:
        file = File(b"bytes")
        assert not file.exists()
        file.save_to_storage("store")
        assert file.exists()
        assert asyncio.run(file.aexists())
        storage.delete([file["file_id"]])
        assert not file.exists()
        assert not asyncio.run(file.aexists())


class TestReplacing:
    def test_a_path_is_a_folder(self, tmp_path: Path) -> None:
        StorageManager.add_storage("folder", tmp_path / "uploads", create=True)
        StorageManager.save_file("key", b"bytes")
        assert (tmp_path / "uploads" / "key").read_bytes() == b"bytes"
        assert StorageManager.get("folder") == tmp_path / "uploads"

    def test_a_storage_is_replaced_when_asked_for_only(self) -> None:
        first, second = MemoryStorage(), MemoryStorage()
        StorageManager.add_storage("main", first)
        with pytest.raises(RuntimeError, match="Storage main has already been added"):
            StorageManager.add_storage("main", second)
        StorageManager.add_storage("main", second, replace=True)
        assert StorageManager.storage("main") is second
        StorageManager.add_storage("new", first, replace=True)
        assert StorageManager.names() == ["main", "new"]
        with pytest.raises(RuntimeError, match="cannot be added next to"):
            StorageManager.add_storage("main/a", first, replace=True)

    def test_a_storage_is_another_one_in_a_block(self) -> None:
        first = MemoryStorage()
        StorageManager.add_storage("main", first)
        with StorageManager.override("main", "memory://") as other:
            StorageManager.save_file("key", b"")
            assert StorageManager.storage("main") is other
        assert StorageManager.storage("main") is first
        assert (keys(first), keys(other)) == ([], ["key"])

    def test_a_name_of_a_block_ends_with_it_even_if_it_fails(self) -> None:
        with pytest.raises(ZeroDivisionError), StorageManager.override("test", MemoryStorage()):
            assert StorageManager.get_default() == "test"
            raise ZeroDivisionError
        assert StorageManager.names() == []
        with pytest.raises(UnknownStorageError, match="No default storage"):
            StorageManager.get_default()

    def test_blocks_nest(self) -> None:
        with StorageManager.override("main", "memory://") as outer:
            with StorageManager.override("main", "memory://") as inner:
                assert StorageManager.storage() is inner
            assert StorageManager.storage() is outer


class TestOldPrograms:
    """Names of release 0.7 that programs use though they begin with an underscore."""

    def test_the_containers_are_read_and_forgotten(self) -> None:
        container = DummyStorageDriver("key", "secret").create_container("container")
        StorageManager.add_storage("first", container)
        StorageManager.add_storage("second", "memory://")
        assert dict(StorageManager._storages) == {"first": container, "second": "memory://"}
        assert "first" in StorageManager._storages
        assert len(StorageManager._storages) == 2
        assert "'second': 'memory://'" in repr(StorageManager._storages)
        assert StorageManager._default_storage_name == "first"
        StorageManager._default_storage_name = "second"
        assert StorageManager.get_default() == "second"
        StorageManager._storages.pop("second")
        assert StorageManager.get_default() == "first"
        StorageManager._storages.clear()
        assert StorageManager.names() == []

    def test_they_are_set(self) -> None:
        container = DummyStorageDriver("key", "secret").create_container("container")
        StorageManager._storages = {"main": container}
        assert StorageManager.get("main") is container
        StorageManager._storages["other"] = container
        assert StorageManager.names() == ["main", "other"]
        StorageManager._storages = {}
        StorageManager._default_storage_name = None
        with pytest.raises(RuntimeError, match="No default storage"):
            StorageManager.get_default()

    def test_nothing_to_save_is_a_value_error_whatever_was_added(self) -> None:
        for save in (StorageManager.save_file, lambda name: asyncio.run(_asaved(name))):
            with pytest.raises(ValueError, match="Either content or content_path"):
                save("id")

    def test_a_stored_file_is_made_of_a_libcloud_object(self, tmp_path: Path) -> None:
        (tmp_path / "container").mkdir()
        container = LocalStorageDriver(str(tmp_path)).get_container("container")
        StorageManager.add_storage("main", container)
        StorageManager.save_file("key", b"bytes", extra={"meta_data": {"filename": "a.txt"}})
        stored = StoredFile(container.get_object("key"))
        assert (stored.read(), stored.filename, stored.object.name) == (b"bytes", "a.txt", "key")
        stored.filename = "b.txt"
        stored.content_type = "text/plain"
        assert (stored.filename, stored.content_type) == ("b.txt", "text/plain")
        with pytest.raises(TypeError, match="a storage and a key, or of an object of libcloud"):
            StoredFile(MemoryStorage())


async def _asaved(name: str) -> object:
    return await StorageManager.asave_file(name)
