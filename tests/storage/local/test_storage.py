"""Local folders: what is on disk, and what is not."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from libcloud.storage.drivers.local import LocalStorageDriver

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidKeyError,
    InvalidStorageError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import (
    Attributes,
    HasDriverObject,
    HasPath,
    LocalStorage,
    PendingUpload,
    StorageManager,
    adapt,
)
from sqlalchemy_file.storage.common.keys import TEMPORARY
from sqlalchemy_file.storage.local import files, temporary, writing
from sqlalchemy_file.storage.local import root as local_root
from sqlalchemy_file.storage.local import storage as local_module
from sqlalchemy_file.storage.local.directories import Folder
from sqlalchemy_file.storage.local.temporary import locked
from sqlalchemy_file.storage.local.writing import synced_together
from tests.storage.helpers import PLAIN, keys, names, put, read

LAID_BY_0_7_0 = Path(__file__).parent / "laid_by_0_7_0"
GREETING = "3f1d0b6e-8f0a-4c57-9a53-6d2f0d0a1c11"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture(params=["open folders", "paths"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let folders be held open, as here, or known by their paths, as on Windows."""
    if request.param == "paths":
        monkeypatch.setattr(local_module, "CAN_HOLD", False)
    return request.param


class TestFilesOnDisk:
    def test_an_object_is_a_file_of_its_key(self, root: Path) -> None:
        storage = LocalStorage(root)
        put(storage, "a/b", b"bytes")
        assert (root / "a" / "b").read_bytes() == b"bytes"
        assert storage.path("a/b") == root / "a" / "b"
        assert isinstance(storage, HasPath)

    def test_only_the_object_is_left_after_a_put(self, root: Path) -> None:
        put(LocalStorage(root), "key", filename="name")
        assert names(root) == ["key"]

    def test_files_are_as_accessible_as_any_new_file(self, root: Path) -> None:
        put(LocalStorage(root), "key")
        (root / "plain").write_bytes(b"")
        assert stat.S_IMODE((root / "key").stat().st_mode) == stat.S_IMODE(
            (root / "plain").stat().st_mode
        )

    def test_the_last_key_of_a_folder_takes_the_folder_along(self, root: Path) -> None:
        storage = LocalStorage(root)
        for key in ("a/b/c", "a/d", "e/f"):
            put(storage, key)
        storage.delete(["a/b/c"])
        assert names(root) == ["a", "a/d", "e", "e/f"]
        storage.delete(["a/d", "e/f"])
        assert names(root) == []
        assert root.is_dir()

    def test_no_lock_file_is_left_anywhere(self, tmp_path: Path) -> None:
        folder = tmp_path / "container"
        folder.mkdir()
        container = LocalStorageDriver(str(tmp_path)).get_container("container")
        put(adapt(container), "key")
        put(adapt(container), "key", b"again")
        # libcloud's own driver locks by files of these names.
        for path in (folder, folder / "key"):
            name = hashlib.sha256(str(path).encode()).hexdigest()
            assert not Path(tempfile.gettempdir(), f"{name}.lock").exists()

    def test_a_relative_root_stays_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        storage = LocalStorage("uploads")
        monkeypatch.chdir("/")
        put(storage, "key")
        assert names(tmp_path) == ["uploads", "uploads/key"]

    def test_a_missing_root_is_made_or_refused(self, root: Path) -> None:
        with pytest.raises(StorageError, match="there is no folder"):
            LocalStorage(root, create=False)
        LocalStorage(root)
        assert root.is_dir()

    def test_a_root_that_went_away_is_not_an_empty_storage(self, root: Path) -> None:
        root.mkdir()
        storage = LocalStorage(root, create=False)
        put(storage, "key")
        root.rename(root.with_name("unmounted"))
        for action in (
            lambda: keys(storage),
            lambda: storage.stat("key"),
            lambda: storage.delete(["key"]),
            lambda: put(storage, "key"),
        ):
            with pytest.raises(StorageError, match="no folder") as caught:
                action()
            assert not isinstance(caught.value, ObjectNotFoundError)

    @pytest.mark.parametrize("create", [True, False])
    def test_a_folder_in_the_root_s_place_is_not_the_storage(
        self, root: Path, create: bool
    ) -> None:
        root.mkdir()
        storage = LocalStorage(root, create=create)
        put(storage, "key")
        disk = root.rename(root.with_name("unmounted"))
        root.mkdir()
        for action in (
            lambda: keys(storage),
            lambda: storage.delete(["key"]),
            lambda: put(storage, "other"),
        ):
            with pytest.raises(StorageError, match="not the folder that was added"):
                action()
        assert names(root) == []
        root.rmdir()
        disk.rename(root)
        storage.delete(["key"])
        assert names(root) == []

    def test_other_files_than_regular_ones_are_not_read(self, root: Path) -> None:
        storage = LocalStorage(root)
        os.mkfifo(root / "pipe")
        (root / "folder").mkdir()
        for key in ("pipe", "folder"):
            with pytest.raises(ObjectNotFoundError):
                storage.read_file(key)

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
    def test_a_file_that_is_longer_than_its_size_says_is_read_to_its_end(self) -> None:
        storage = LocalStorage("/proc/self", create=False)
        assert storage.stat("status").size == 0
        assert storage.read_file("status").startswith(b"Name:")
        assert storage.read_file("status").endswith(b"\n")

    def test_a_copy_that_breaks_off_is_an_error_and_leaves_nothing(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root)
        put(storage, "key", b"content")
        copied = os.copy_file_range

        def break_off(source: int, target: int, count: int) -> int:
            if os.lseek(target, 0, os.SEEK_CUR):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return copied(source, target, 4)

        monkeypatch.setattr(os, "copy_file_range", break_off)
        with pytest.raises(StorageError, match="EIO"):
            storage.copy("key", "new")
        assert names(root) == ["key"]

    def test_a_root_that_may_be_made_is_made_again(self, root: Path) -> None:
        storage = LocalStorage(root)
        shutil.rmtree(root)
        assert keys(storage) == []
        put(storage, "a/b")
        assert keys(storage) == ["a/b"]

    @pytest.mark.parametrize("key", ["key", "a/b"])
    def test_a_root_that_is_removed_while_a_file_is_created_is_made_again(
        self, root: Path, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root)
        put(storage, "first")
        remove_while_a_file_is_created(root, monkeypatch)
        put(storage, key)
        assert keys(storage) == [key]

    @pytest.mark.parametrize("key", ["key", "a/b"])
    def test_a_root_that_is_removed_while_a_file_is_created_is_named_in_the_error(
        self, root: Path, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root.mkdir()
        storage = LocalStorage(root, create=False)
        put(storage, "first")
        remove_while_a_file_is_created(root, monkeypatch)
        with pytest.raises(StorageError, match="there is no folder"):
            put(storage, key)

    @pytest.mark.usefixtures("either_way")
    def test_a_key_is_an_object_or_a_folder(self, root: Path) -> None:
        storage = LocalStorage(root, sidecars=True)
        put(storage, "a/b", filename="n")
        with pytest.raises(StorageError, match="other objects lie below"):
            put(storage, "a", filename="n")
        with pytest.raises(StorageError, match="needs a folder"):
            put(storage, "a/b/c", filename="n")
        with pytest.raises(ObjectNotFoundError):
            storage.stat("a")
        with pytest.raises(ObjectNotFoundError):
            read(storage, "a/b/c")
        storage.delete(["a", "a/b/c"])
        assert names(root) == ["a", "a/b", "a/b.metadata.json"]

    def test_a_name_longer_than_the_disk_takes_is_refused(self, root: Path) -> None:
        with pytest.raises(InvalidKeyError, match="longer"):
            put(LocalStorage(root), "x" * 300)

    def test_hidden_names_of_drafts_are_neither_listed_nor_taken(self, root: Path) -> None:
        storage = LocalStorage(root)
        (root / ".sqlalchemy-file-0123456789abcdef").write_bytes(b"left by a crash")
        assert keys(storage) == []
        with pytest.raises(InvalidKeyError, match="drafts"):
            put(storage, "folder/.sqlalchemy-file-mine")

    def test_files_of_other_programs_with_impossible_names_are_not_listed(self, root: Path) -> None:
        storage = LocalStorage(root)
        (root / "line\nbreak").write_bytes(b"")
        Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_bytes(b"")
        put(storage, "key")
        assert keys(storage) == ["key"]

    def test_one_that_cannot_be_deleted_does_not_spare_the_others(self, root: Path) -> None:
        storage = LocalStorage(root)
        put(storage, "a")
        put(storage, "c")
        with pytest.raises(DeletionError) as caught:
            storage.delete(["a", "../b", "c"])
        assert list(caught.value.failures) == ["../b"]
        assert keys(storage) == []


class TestNamesOnWindows:
    RESERVED = (
        *("CON", "con", "nul", "aux", "prn", "COM1", "lpt9", "com0", "CONIN$", "com¹"),
        *("nul.txt", "aux.tar.gz", "a/con", "a/con.txt/b", "nul .txt", "con/b"),
    )
    UNFIT = ("a:b", "a?", "a*", "a<b", 'a"b', "a|b", "a.", "a ", "a./b")
    FINE = ("console", "null", "a.con", "com10", "icon", "auxiliary.txt", "lpt", "a/nul-1", "com")

    @pytest.mark.parametrize("key", RESERVED + UNFIT)
    def test_a_name_that_windows_has_not_is_refused_there_only(
        self, root: Path, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root, create=True)
        put(storage, key)
        assert keys(storage) == [key]
        monkeypatch.setattr(local_root, "IS_WINDOWS", True)
        match = "for a device" if key in self.RESERVED else "no such file names"
        for action in (lambda: put(storage, key), lambda: storage.stat(key)):
            with pytest.raises(InvalidKeyError, match=match):
                action()

    @pytest.mark.parametrize("key", FINE)
    def test_others_are_taken(self, root: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local_root, "IS_WINDOWS", True)
        storage = LocalStorage(root, create=True)
        put(storage, key)
        assert keys(storage) == [key]


class TestSymbolicLinks:
    """Links below the root lead nowhere; the root itself may be one."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "secret").write_bytes(b"secret")
        return tmp_path / "outside"

    @pytest.mark.usefixtures("either_way")
    def test_a_linked_folder_is_not_entered(self, root: Path, outside: Path) -> None:
        storage = LocalStorage(root)
        put(storage, "mine", b"mine")
        (root / "link").symlink_to(outside)
        for action in (
            lambda: put(storage, "link/new"),
            lambda: put(storage, "link/deeper/new"),
            lambda: storage.put("link/new", io.BytesIO(), PLAIN, exclusive=True),
            lambda: storage.stat("link/secret"),
            lambda: storage.open_file("link/secret"),
            lambda: storage.read_file("link/secret"),
            lambda: read(storage, "link/secret"),
            lambda: storage.copy("link/secret", "copy"),
            lambda: storage.copy("mine", "link/copy"),
            lambda: list(storage.list("link/")),
            lambda: storage.delete(["link/secret"]),
        ):
            with pytest.raises(StorageError, match="a symbolic link lies there") as caught:
                action()
            assert not isinstance(caught.value, ObjectNotFoundError)
        assert keys(storage) == ["mine"]
        assert names(outside) == ["secret"]

    @pytest.mark.usefixtures("either_way")
    def test_a_link_does_not_spare_what_lies_in_other_folders(
        self, root: Path, outside: Path
    ) -> None:
        storage = LocalStorage(root)
        put(storage, "a/b/key")
        put(storage, "other/key")
        (root / "a" / "link").symlink_to(outside)
        with pytest.raises(DeletionError) as caught:
            storage.delete(["a/link/secret", "a/b/key", "other/key", "other/missing"])
        assert list(caught.value.failures) == ["a/link/secret"]
        assert keys(storage) == []

    @pytest.mark.usefixtures("either_way")
    def test_a_draft_is_not_removed_through_a_link(self, root: Path, outside: Path) -> None:
        storage = LocalStorage(root)
        for folder in (root / "link", outside):
            folder.mkdir(exist_ok=True)
            (folder / f"{TEMPORARY}left").touch()
        (draft,) = storage.uploads()
        shutil.rmtree(root / "link")
        (root / "link").symlink_to(outside)
        with pytest.raises(StorageError, match="symbolic link"):
            storage.abort_upload(draft)
        assert names(outside) == [f"{TEMPORARY}left", "secret"]

    @pytest.mark.usefixtures("either_way")
    def test_a_linked_file_is_not_read(self, root: Path, outside: Path) -> None:
        storage = LocalStorage(root)
        (root / "link").symlink_to(outside / "secret")
        for action in (storage.stat, storage.open_file, lambda key: read(storage, key)):
            with pytest.raises(StorageError, match="symbolic link"):
                action("link")
        assert keys(storage) == []
        with pytest.raises(ObjectExistsError):
            storage.put("link", io.BytesIO(), PLAIN, exclusive=True)

    @pytest.mark.usefixtures("either_way")
    def test_a_linked_file_is_replaced_and_deleted_itself(self, root: Path, outside: Path) -> None:
        storage = LocalStorage(root)
        (root / "link").symlink_to(outside / "secret")
        put(storage, "link", b"new")
        assert read(storage, "link") == b"new"
        (root / "other").symlink_to(outside / "secret")
        storage.delete(["other"])
        assert names(root) == ["link"]
        assert (outside / "secret").read_bytes() == b"secret"

    @pytest.mark.usefixtures("either_way")
    def test_a_linked_sidecar_is_not_read(self, root: Path, outside: Path) -> None:
        storage = LocalStorage(root, sidecars=True)
        put(storage, "key")
        (outside / "secret").write_text('{"filename": "secret"}')
        (root / "key.metadata.json").symlink_to(outside / "secret")
        assert storage.stat("key").attributes.filename is None

    def test_the_root_may_be_a_link(self, tmp_path: Path, outside: Path) -> None:
        (tmp_path / "link").symlink_to(outside)
        storage = LocalStorage(tmp_path / "link")
        put(storage, "folder/key")
        assert keys(storage) == ["folder/key", "secret"]

    def test_nothing_gets_out_while_folders_are_swapped_for_links(
        self, root: Path, outside: Path
    ) -> None:
        storage = LocalStorage(root, fsync=False)
        done = threading.Event()

        def swap() -> None:
            folder, away = root / "folder", root / "away"
            steps = [
                lambda: folder.mkdir(exist_ok=True),
                lambda: folder.rename(away),
                lambda: folder.symlink_to(outside),
                folder.unlink,
                lambda: shutil.rmtree(away, ignore_errors=True),
            ]
            while not done.is_set():
                for step in steps:
                    with suppress(OSError):  # the other side was faster
                        step()

        attacker = threading.Thread(target=swap)
        attacker.start()
        refused, numbers, deadline = 0, itertools.count(), time.monotonic() + 30
        # How often the two meet is up to the machine: go on until they have.
        while (number := next(numbers)) < 1500 or (not refused and time.monotonic() < deadline):
            try:
                put(storage, f"folder/{number}")
                storage.delete(["folder/secret"])
            except StorageError:
                refused += 1
        done.set()
        attacker.join()
        assert refused > 0
        assert names(outside) == ["secret"]

    def test_a_pipe_is_no_object_and_keeps_nobody_waiting(self, root: Path) -> None:
        storage = LocalStorage(root)
        os.mkfifo(root / "pipe")
        with pytest.raises(ObjectNotFoundError):
            read(storage, "pipe")
        assert keys(storage) == []


class TestModes:
    @pytest.mark.usefixtures("either_way")
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_new_files_and_folders_have_the_modes_that_were_chosen(
        self, root: Path, umask: int
    ) -> None:
        before = os.umask(umask)
        try:
            storage = LocalStorage(root, sidecars=True, file_mode=0o640, folder_mode=0o750)
            put(storage, "a/b/key", filename="name")
            storage.copy("a/b/key", "a/copy")
        finally:
            os.umask(before)
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o750}
        assert {mode for path, mode in modes.items() if path.is_file()} == {0o640}
        assert len(modes) == 7

    def test_a_draft_with_a_name_has_the_mode_too(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writing, "can_be_unnamed", lambda folder: False)
        storage = adapt(f"file://{root}", file_mode=0o600, create=True)
        put(storage, "key")
        assert stat.S_IMODE((root / "key").stat().st_mode) == 0o600

    def test_what_is_there_already_keeps_its_mode(self, root: Path) -> None:
        (root / "a").mkdir(parents=True, mode=0o755)
        root.chmod(0o755)
        storage = LocalStorage(root, folder_mode=0o700)
        put(storage, "a/key")
        assert [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "a")] == [0o755] * 2

    @pytest.mark.parametrize("mode", [600, 0o1600, -1, 0o060, 0o400, "600", 6.0, True])
    @pytest.mark.parametrize("option", ["file_mode", "folder_mode"])
    def test_what_is_no_mode_or_keeps_the_owner_out_is_refused(
        self, root: Path, option: str, mode: object
    ) -> None:
        with pytest.raises(InvalidStorageError, match=f"'{option}' is an octal number"):
            LocalStorage(root, **{option: mode})  # type: ignore[arg-type]
        assert not root.exists()

    def test_modes_are_refused_where_the_platform_has_none(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "fchmod")
        with pytest.raises(InvalidStorageError, match="no meaning on this platform"):
            LocalStorage(root, file_mode=0o600)


class TestMountsBelowTheRoot:
    """A file system of its own may lie on a folder below the root."""

    def test_one_without_files_that_have_no_name_is_written_to(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.open

        def open_as_fat_does(path: str, flags: int, *args: object, **options: object) -> int:
            inside = options.get("dir_fd")
            place = Path(f"/proc/self/fd/{inside}")
            is_unnamed = flags & os.O_TMPFILE == os.O_TMPFILE
            if is_unnamed and inside and place.readlink() == root / "mounted":
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return real(path, flags, *args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", open_as_fat_does)
        monkeypatch.setattr(Folder, "device", lambda folder: len(folder.path))
        storage = LocalStorage(root)
        put(storage, "key")
        for key in ("mounted/a", "mounted/b", "other/c"):
            put(storage, key, b"one")
            put(storage, key, b"two")
            assert read(storage, key) == b"two"
        assert names(root) == ["key", "mounted", "mounted/a", "mounted/b", "other", "other/c"]

    def test_a_folder_on_another_file_system_works_like_any_other(self, tmp_path: Path) -> None:
        script = f"""
            import io, os
            from sqlalchemy_file.storage import Attributes, LocalStorage
            storage = LocalStorage({str(tmp_path)!r}, sidecars=True)
            for key in ("mounted/a/key", "key"):
                storage.put(key, io.BytesIO(key.encode()), Attributes(filename="name"))
            storage.copy("key", "mounted/copy")
            assert os.stat("{tmp_path}/mounted/copy").st_dev != os.stat("{tmp_path}").st_dev
            assert b"".join(storage.stream("mounted/copy")) == b"key"
            print([info.key for info in storage.list()])
            storage.delete(["mounted/a/key", "mounted/copy", "key"])
            print([info.key for info in storage.list()])
        """
        done = run_with_a_mount(tmp_path / "mounted", script)
        assert done == ["['key', 'mounted/a/key', 'mounted/copy']", "[]"]


class TestDrafts:
    def test_a_root_that_is_missing_at_first_does_not_tell_that_files_need_names(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root)
        root.rmdir()
        put(storage, "first")
        with recorded(monkeypatch, "link", "replace", "unlink") as calls:
            put(storage, "second")
        assert calls == ["link"]

    def test_few_names_are_held_however_many_objects_there_are(self, root: Path) -> None:
        storage = LocalStorage(root, fsync=False)
        (root / "a").mkdir()
        for number in range(20_000):
            (root / f"{number:>040}").touch()
        (root / "a" / f"{TEMPORARY}left").touch()
        list(storage.uploads())
        tracemalloc.start()
        try:
            found = list(storage.uploads())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert [each.id for each in found] == [f"{TEMPORARY}left"]
        assert peak < 200_000, "of 20,000 names"


class TestDurability:
    def test_bytes_are_on_disk_before_their_name_and_names_before_it_returns(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root)
        put(storage, "first")
        with recorded(monkeypatch, "fsync", "link") as calls:
            put(storage, "a/b/key")
        assert calls == ["fsync file", "link", "fsync folder", "fsync folder", "fsync folder"]

    def test_a_sidecar_is_on_disk_before_its_object_has_a_name(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root, sidecars=True)
        put(storage, "first")
        with recorded(monkeypatch, "fsync", "link") as calls:
            put(storage, "key", filename="name")
        assert calls == ["fsync file", "fsync file", "link", "link", "fsync folder"]

    def test_without_fsync_nothing_is_waited_for(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root, fsync=False)
        with recorded(monkeypatch, "fsync") as calls:
            put(storage, "a/key")
            storage.delete(["a/key"])
        assert calls == []

    def test_a_deletion_is_on_disk_when_it_returns(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = LocalStorage(root)
        for key in ("a/b", "c", "d"):
            put(storage, key)
        with recorded(monkeypatch, "fsync", "unlink") as calls:
            storage.delete(["c", "d"])
        assert calls == ["unlink", "unlink", "fsync folder"]

    @pytest.mark.parametrize("unnamed", [True, False])
    @pytest.mark.parametrize("sidecars", [True, False])
    def test_a_process_killed_in_a_put_leaves_no_visible_object(
        self, root: Path, unnamed: bool, sidecars: bool
    ) -> None:
        script = f"""
            import io, sys, time
            from sqlalchemy_file.storage import Attributes, LocalStorage
            from sqlalchemy_file.storage.local import writing
            if not {unnamed}:
                writing.can_be_unnamed = lambda folder: False
            class Content(io.RawIOBase):
                def read(self, size=-1):
                    if sys.stdout.write("x") and sys.stdout.flush() is None and self.tells():
                        time.sleep(60)
                    return b"x" * 1000
                count = 0
                def tells(self):
                    self.count += 1
                    return self.count == 3
            storage = LocalStorage({str(root)!r}, sidecars={sidecars})
            storage.put("folder/key", Content(), Attributes(filename="name"))
        """
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.read(3) == b"xxx"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        storage = LocalStorage(root, sidecars=sidecars)
        assert keys(storage) == []
        if unnamed:
            assert names(root) == ["folder"]
        put(storage, "folder/key", b"now", filename="name")
        assert read(storage, "folder/key") == b"now"

    def test_a_full_disk_is_a_storage_error_and_leaves_nothing(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        script = f"""
            import io, os, resource
            from sqlalchemy_file.exceptions import StorageError
            from sqlalchemy_file.storage import Attributes, LocalStorage
            if not os.path.ismount({str(disk)!r}):  # no right to mount: a limit instead
                resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            for options in ({{}}, {{"sidecars": True}}, {{"fsync": False}}):
                storage = LocalStorage({str(disk)!r} + "/root", **options)
                storage.put("small", io.BytesIO(b"x"), Attributes(filename="name"))
                try:
                    storage.put("a/key", io.BytesIO(b"x" * (4 << 20)), Attributes(filename="name"))
                except StorageError as error:
                    print(type(error.__cause__).__name__, error)
                storage.delete(["small"])
                print(sum(len(files) for _, _, files in os.walk({str(disk)!r})))
        """
        mount = f'mount -t tmpfs -o size=1m none {disk} 2>/dev/null; exec "$0" -c "$1"'
        command = ["sh", "-c", mount, sys.executable, textwrap.dedent(script)]
        if (
            shutil.which("unshare")
            and not subprocess.run(
                ["unshare", "--mount", "true"], check=False, capture_output=True
            ).returncode
        ):
            command = ["unshare", "--mount", *command]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        assert lines[1::2] == ["0", "0", "0"], done.stdout + done.stderr
        assert all("key 'a/key'" in line for line in lines[::2])
        assert all("ENOSPC" in line or "EFBIG" in line for line in lines[::2])


class TestWithoutFilesThatHaveNoName:
    """File systems that know no ``O_TMPFILE``."""

    @pytest.fixture
    def storage(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
        monkeypatch.setattr(writing, "can_be_unnamed", lambda folder: False)
        return LocalStorage(root, sidecars=True)

    def test_an_object_is_put_overwritten_and_deleted(
        self, storage: LocalStorage, root: Path
    ) -> None:
        put(storage, "a/key", b"one", filename="one")
        put(storage, "a/key", b"two", filename="two")
        assert read(storage, "a/key") == b"two"
        assert names(root) == ["a", "a/key", "a/key.metadata.json"]
        storage.delete(["a/key"])
        assert names(root) == []

    def test_exclusive_leaves_what_is_there(self, storage: LocalStorage, root: Path) -> None:
        storage.put("key", io.BytesIO(), PLAIN, exclusive=True)
        with pytest.raises(ObjectExistsError):
            storage.put("key", io.BytesIO(), PLAIN, exclusive=True)
        assert names(root) == ["key"]

    def test_exclusive_needs_no_hard_links(
        self, storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*args: object, **kwargs: object) -> None:
            raise PermissionError(1, "as FAT says")

        monkeypatch.setattr(os, "link", no_links)
        storage.put("key", io.BytesIO(), PLAIN, exclusive=True)
        with pytest.raises(ObjectExistsError):
            storage.put("key", io.BytesIO(), PLAIN, exclusive=True)
        assert names(root) == ["key"]

    def test_content_that_fails_leaves_no_draft(self, storage: LocalStorage, root: Path) -> None:
        class Failing:
            def read(self, size: int) -> bytes:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            storage.put("a/key", Failing(), PLAIN)  # type: ignore[arg-type]
        assert [name for name in names(root) if name != "a"] == []


class TestExtendedAttributes:
    """Names and types inside the files themselves, where the file system can keep them."""

    KEPT: ClassVar[dict[str, Any]] = {
        "filename": "grüße.txt",
        "content_type": "text/plain",
        "metadata": {"a": "ü"},
    }

    @pytest.fixture
    def storage(self, root: Path, tmp_path: Path) -> LocalStorage:
        try:
            os.setxattr(tmp_path, "user.any", b"")
        except (AttributeError, OSError):
            pytest.skip("this file system has no extended attributes")
        return LocalStorage(root, create=True)

    @pytest.mark.usefixtures("either_way")
    @pytest.mark.parametrize("key", ["key", "a/b/key"])
    def test_an_object_knows_its_name_and_type(
        self, storage: LocalStorage, root: Path, key: str
    ) -> None:
        info = put(storage, key, **self.KEPT)
        assert info.attributes == storage.stat(key).attributes == Attributes(**self.KEPT)
        assert storage.copy(key, "copy").attributes == storage.stat("copy").attributes
        assert storage.stat("copy").attributes == Attributes(**self.KEPT)
        assert [name for name in names(root) if "json" in name] == []
        put(storage, key, b"again")
        assert storage.stat(key).attributes == Attributes()

    def test_a_path_opens_with_them(self, storage: LocalStorage) -> None:
        StorageManager.add_storage("main", storage)
        file = File(b"bytes", filename="a.txt")
        file.save_to_storage("main")
        with StorageManager.get_file(file["path"]) as stored:
            assert (stored.filename, stored.content_type) == ("a.txt", "text/plain")

    def test_a_draft_with_a_name_has_them_too(
        self, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writing, "can_be_unnamed", lambda folder: False)
        put(storage, "key", **self.KEPT)
        assert storage.stat("key").attributes == Attributes(**self.KEPT)

    def test_they_are_still_known_when_sidecars_are_switched_on(
        self, storage: LocalStorage, root: Path
    ) -> None:
        put(storage, "key", **self.KEPT)
        beside = LocalStorage(root, sidecars=True)
        assert beside.stat("key").attributes == Attributes(**self.KEPT)
        put(beside, "key", filename="other")
        assert beside.stat("key").attributes == Attributes(filename="other")

    def test_more_than_the_file_system_takes_is_not_said_to_be_kept(
        self, storage: LocalStorage
    ) -> None:
        info = put(storage, "key", metadata={"much": "x" * 100_000})
        assert info.attributes == storage.stat("key").attributes == Attributes()

    @pytest.mark.parametrize("value", [b"", b"{", b"[1]", b"null", b"\xff", b'{"filename": 5}'])
    def test_one_that_makes_no_sense_harms_nothing(
        self, storage: LocalStorage, root: Path, value: bytes
    ) -> None:
        put(storage, "key")
        os.setxattr(root / "key", "user.sqlalchemy_file", value)
        assert storage.stat("key").attributes.filename in {None, "5"}

    def test_headers_are_not_kept(self, storage: LocalStorage) -> None:
        info = put(storage, "key", filename="a", headers={"Cache-Control": "no-store"})
        assert info.attributes == Attributes(filename="a")


def test_a_file_system_without_extended_attributes_is_written_to_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", not_here, raising=False)
    monkeypatch.setattr(os, "getxattr", not_here, raising=False)
    storage = LocalStorage(root, create=True)
    info = put(storage, "a/key", filename="name")
    assert info.attributes == storage.stat("a/key").attributes == Attributes()


@pytest.mark.parametrize("is_linux", [True, False])
def test_notes_lie_in_hidden_files_where_there_are_no_extended_attributes(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, is_linux: bool
) -> None:
    def not_here(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(files, "_CAN", is_linux)
    for function in ("setxattr", "listxattr"):
        monkeypatch.setattr(os, function, not_here, raising=False)
    storage = LocalStorage(root, create=True)
    storage.add_note("owner", b"somebody")
    assert (storage.notes(), keys(storage)) == ({"owner": b"somebody"}, [])
    storage.remove_note("owner")
    assert (storage.notes(), names(root)) == ({}, [])


@pytest.mark.parametrize("key", ["key", f"../{TEMPORARY}x", f"a//{TEMPORARY}x"])
def test_only_a_draft_is_aborted(root: Path, key: str) -> None:
    storage = LocalStorage(root, create=True)
    put(storage, "key")
    with pytest.raises(InvalidKeyError, match="no draft"):
        storage.abort_upload(PendingUpload(key=key, id="x", begun_at=datetime.now(UTC)))
    assert keys(storage) == ["key"]


class TestSidecars:
    @pytest.fixture
    def storage(self, root: Path) -> LocalStorage:
        return LocalStorage(root, sidecars=True)

    def test_attributes_lie_beside_the_object(self, storage: LocalStorage, root: Path) -> None:
        put(storage, "key", filename="ü", content_type="text/plain", metadata={"a": "b"})
        assert json.loads((root / "key.metadata.json").read_text()) == {
            "filename": "ü",
            "content_type": "text/plain",
            "a": "b",
        }

    def test_an_object_without_attributes_has_no_sidecar(
        self, storage: LocalStorage, root: Path
    ) -> None:
        put(storage, "key", filename="first")
        put(storage, "key")
        assert names(root) == ["key"]

    def test_a_sidecar_is_no_object(self, storage: LocalStorage) -> None:
        put(storage, "key", filename="name")
        assert keys(storage) == ["key"]
        for key in ("key.metadata.json", "a.metadata.json/b"):
            with pytest.raises(InvalidKeyError, match="attributes"):
                put(storage, key)
            with pytest.raises(InvalidKeyError):
                read(storage, key)

    def test_it_is_deleted_with_its_object(self, storage: LocalStorage, root: Path) -> None:
        put(storage, "a/key", filename="name")
        storage.delete(["a/key"])
        assert names(root) == []

    def test_one_without_its_object_is_deleted_too(self, storage: LocalStorage, root: Path) -> None:
        (root / "key.metadata.json").write_text("{}")
        storage.delete(["key"])
        assert names(root) == []

    @pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"filename": 5}', "\x80"])
    def test_one_that_makes_no_sense_harms_nothing(
        self, storage: LocalStorage, root: Path, text: str
    ) -> None:
        put(storage, "key")
        (root / "key.metadata.json").write_text(text, encoding="latin-1")
        assert storage.stat("key").attributes.filename in {None, "5"}

    def test_failed_content_leaves_no_sidecar(self, storage: LocalStorage, root: Path) -> None:
        with pytest.raises(TypeError):
            storage.put("key", io.StringIO("text"), Attributes(filename="name"))  # type: ignore[arg-type]
        assert names(root) == []

    @pytest.mark.usefixtures("either_way")
    def test_one_may_be_switched_on_for_objects_whose_names_leave_no_room_for_it(
        self, root: Path
    ) -> None:
        key = f"a/{'x' * 250}"
        put(LocalStorage(root), key, b"before")
        storage = LocalStorage(root, sidecars=True)
        assert storage.stat(key).size == 6
        put(storage, key, b"again")
        with synced_together():
            put(storage, f"b/{'y' * 250}", b"synced with others")
        with pytest.raises(InvalidKeyError, match="longer than this file system takes"):
            put(storage, f"c/{'z' * 250}", filename="name")
        assert read(storage, key) == b"again"
        storage.delete([key, f"b/{'y' * 250}", "x" * 300])
        assert keys(storage) == []

    def test_an_object_and_its_sidecar_are_always_of_one_put(
        self, storage: LocalStorage, root: Path
    ) -> None:
        def write(number: int) -> None:
            for _ in range(20):
                put(storage, "key", b"%d" % number, filename=str(number))
                storage.delete(["key"])
                put(storage, "key", b"%d" % number, filename=str(number))

        writers = [threading.Thread(target=write, args=[number]) for number in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert read(storage, "key").decode() == storage.stat("key").attributes.filename


class TestLocks:
    """An object and its sidecar are published, and deleted, by one writer at a time."""

    @pytest.fixture
    def storage(self, root: Path) -> LocalStorage:
        return LocalStorage(root, sidecars=True)

    def test_whoever_reads_the_folder_keeps_nobody_waiting(
        self, storage: LocalStorage, root: Path
    ) -> None:
        fcntl = pytest.importorskip("fcntl")
        put(storage, "a/key", filename="name")
        held = [os.open(path, os.O_RDONLY) for path in (root, *root.rglob("*"))]
        for descriptor in held:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        put(storage, "a/key", filename="other")  # for ever, if one of these locks were its own
        storage.copy("a/key", "b/copy")
        storage.delete(["a/key", "b/copy"])
        for descriptor in held:
            os.close(descriptor)
        assert names(root) == []

    @pytest.mark.usefixtures("either_way")
    def test_one_writer_waits_for_the_other(self, storage: LocalStorage, root: Path) -> None:
        put(storage, "key", filename="name")
        with locked(Folder(str(root))):
            writer = threading.Thread(target=lambda: put(storage, "key", filename="other"))
            writer.start()
            writer.join(0.1)
            assert storage.stat("key").attributes.filename == "name"
        writer.join()
        assert storage.stat("key").attributes.filename == "other"
        assert names(root) == ["key", "key.metadata.json"]

    @pytest.mark.usefixtures("either_way")
    def test_one_that_a_killed_process_left_is_broken(
        self, storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(temporary, "_ABANDONED", 0.05)
        put(storage, "key")
        (root / f"{TEMPORARY}lock").touch()
        put(storage, "key", filename="name")
        assert names(root) == ["key", "key.metadata.json"]


class TestFilesOfOlderReleases:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        shutil.copytree(LAID_BY_0_7_0, tmp_path / "uploads")
        container = LocalStorageDriver(str(tmp_path)).get_container("uploads")
        StorageManager.add_storage("default", container)
        return tmp_path / "uploads"

    @pytest.mark.usefixtures("folder")
    def test_they_open_with_their_attributes(self) -> None:
        with StorageManager.get_file(f"default/{GREETING}") as file:
            assert file.read() == b"hello\n"
            assert (file.filename, file.content_type) == ("grüße.txt", "text/plain")
            assert file.object.meta_data == {"filename": "grüße.txt", "content_type": "text/plain"}

    @pytest.mark.usefixtures("folder")
    def test_those_without_attributes_open_too(self) -> None:
        with StorageManager.get_file("default/8a4c2f5d-1b7e-4e39-8c60-5f9a7b3d2e22") as file:
            assert (file.filename, file.content_type) == ("unnamed", "application/octet-stream")
            assert file.read() == b"no attributes\n"

    @pytest.mark.usefixtures("folder")
    def test_metadata_of_any_json_type_are_read(self) -> None:
        with StorageManager.get_file("default/c0ffee00-0d0c-4b1a-9f8e-7a6b5c4d3e33") as file:
            assert file.info.attributes.metadata == {"pages": "3"}

    def test_they_are_deleted_completely(self, folder: Path) -> None:
        for info in StorageManager.storage().list():
            assert StorageManager.delete_file(f"default/{info.key}") is True
        assert names(folder) == []

    def test_new_files_look_like_theirs(self, folder: Path) -> None:
        attributes = {"filename": "grüße.txt", "content_type": "text/plain"}
        StorageManager.save_file("new", b"hello\n", extra={"meta_data": attributes})
        old, new = f"{GREETING}.metadata.json", "new.metadata.json"
        assert (folder / new).read_bytes() == (folder / old).read_bytes()

    @pytest.mark.usefixtures("folder")
    def test_the_object_is_libclouds_own(self) -> None:
        assert isinstance(StorageManager.storage(), HasDriverObject)
        file = StorageManager.get_file(f"default/{GREETING}")
        assert file.object.driver.name == "Local Storage"
        assert file.object.container.name == "uploads"
        address = file.get_cdn_url()
        assert address is not None
        assert Path(address).read_bytes() == Path(file.object.get_cdn_url()).read_bytes()


def run_with_a_mount(folder: Path, script: str) -> list[str]:
    """Run a program that has a file system of its own on ``folder``; return what it prints."""
    folder.mkdir()
    private = ["unshare", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*private, "true"], check=False).returncode:
        pytest.skip("no right to mount a file system")
    mount = f'mount -t tmpfs -o size=1m none {folder} && exec "$0" -c "$1"'
    command = [*private, "sh", "-c", mount, sys.executable, textwrap.dedent(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def remove_while_a_file_is_created(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove a folder once, between its look-up and the creation of a file without a name."""
    real = os.open

    def open_late(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE != os.O_TMPFILE:
            return real(path, flags, mode, dir_fd=dir_fd)
        monkeypatch.setattr(os, "open", real)
        folder = real(path, os.O_RDONLY, dir_fd=dir_fd)
        shutil.rmtree(root)
        try:
            return real(".", flags, mode, dir_fd=folder)
        finally:
            os.close(folder)

    monkeypatch.setattr(os, "open", open_late)


class recorded:  # noqa: N801
    """Record what is done by some functions of `os`, while they do it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *functions: str) -> None:
        self._patch = monkeypatch
        self._functions = functions
        self._calls: list[str] = []

    def __enter__(self) -> list[str]:
        for name in self._functions:
            self._patch.setattr(os, name, self._recorder(name))
        return self._calls

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _recorder(self, name: str) -> object:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            described = name
            if name == "fsync":
                folder = stat.S_ISDIR(os.fstat(args[0]).st_mode)  # type: ignore[arg-type]
                described = "fsync folder" if folder else "fsync file"
            self._calls.append(described)
            return real(*args, **kwargs)

        return call
