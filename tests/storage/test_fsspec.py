"""Filesystems of fsspec: how they are given, addresses, errors, threads and forks."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import register_implementation
from libcloud.storage.base import Container
from s3fs import S3FileSystem

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    InvalidStorageError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import Attributes, adapt
from sqlalchemy_file.storage.fsspec import FsspecStorage
from tests.services.ceph import S3Server
from tests.storage.helpers import keys, names, put, read

MEGABYTE = 1024 * 1024


@pytest.fixture
def storage(tmp_path: Path) -> FsspecStorage:
    return FsspecStorage(LocalFileSystem(), root=str(tmp_path))


# --- what is added


def test_a_root_is_an_option(tmp_path: Path) -> None:
    StorageManager.add_storage("files", LocalFileSystem(), root=str(tmp_path / "new"))
    StorageManager.save_file("folder/key", b"bytes")
    assert (tmp_path / "new" / "folder" / "key").read_bytes() == b"bytes"
    assert isinstance(StorageManager.get("files"), LocalFileSystem)


def test_a_dir_filesystem_brings_its_root(tmp_path: Path) -> None:
    put(adapt(DirFileSystem(str(tmp_path), LocalFileSystem())), "key")
    put(adapt(DirFileSystem(str(tmp_path), LocalFileSystem()), root="below"), "key")
    assert names(tmp_path) == ["below", "below/key", "key"]


def test_a_filesystem_without_a_root_is_refused() -> None:
    with pytest.raises(InvalidStorageError, match=r"storage 'files': .*needs a root, such as"):
        StorageManager.add_storage("files", LocalFileSystem())


def test_a_store_of_objects_needs_a_bucket(s3_filesystem: S3FileSystem) -> None:
    with pytest.raises(InvalidStorageError, match="begins with a bucket"):
        adapt(s3_filesystem, root="/")


def test_a_filesystem_made_for_one_event_loop_is_refused() -> None:
    filesystem = AsyncFileSystem(asynchronous=True)
    with pytest.raises(InvalidStorageError, match="asynchronous=True"):
        adapt(filesystem, root="folder")


@pytest.mark.parametrize("value", [0, -1, True, "8", 1.5])
def test_a_concurrency_is_a_whole_number(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidStorageError, match="'concurrency' is a whole number"):
        adapt(LocalFileSystem(), root=str(tmp_path), concurrency=value)


def test_another_scheme_is_one_of_fsspecs(tmp_path: Path) -> None:
    storage = adapt(f"local://{tmp_path}", auto_mkdir=True, concurrency=3)
    assert isinstance(storage, FsspecStorage)
    assert storage.concurrency == 3
    put(storage, "key")
    assert names(tmp_path) == ["key"]


def test_an_address_is_not_visited_before_its_first_use() -> None:
    StorageManager.add_storage("far", "ftp://user:hunter2@127.0.0.1:9/folder", timeout=1)
    with pytest.raises(StorageError, match="storage 'far', key 'key': Connection") as caught:
        StorageManager.save_file("key", b"")
    assert "hunter2" not in f"{caught.value}{StorageManager.storage('far')!r}"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nonsense://hunter2", "begins with nonsense://.* and those of fsspec"),
        ("ftp://host/folder?timeout=hunter2", "has a query"),
        ("broken://hunter2/folder", "needs one more package"),
    ],
)
def test_an_address_that_means_nothing_is_refused(address: str, told: str) -> None:
    register_implementation(
        "broken", "sqlalchemy_file_missing.FileSystem", clobber=True, errtxt="install it"
    )
    with pytest.raises(InvalidStorageError, match=told) as caught:
        adapt(address)
    assert "hunter2" not in str(caught.value)


def test_without_fsspec_an_address_names_the_extra() -> None:
    program = """
import sys
sys.modules["fsspec"] = None
from sqlalchemy_file.exceptions import InvalidStorageError, MissingExtraError
from sqlalchemy_file.storage import StorageManager
try:
    StorageManager.add_storage("far", "sftp://host/folder")
except MissingExtraError as error:
    assert "storage 'far': " in str(error), error
    assert "sqlalchemy-file[fsspec]" in str(error), error
try:
    StorageManager.add_storage("far", "nonsense://host/folder")
except InvalidStorageError as error:
    assert "storage 'far': " in str(error), error
    sys.exit(0 if "sqlalchemy-file[fsspec]" in str(error) else str(error))
sys.exit("it was taken")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_fsspec_is_loaded_only_when_it_is_used() -> None:
    program = "import sys, sqlalchemy_file; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- objects


def test_a_key_is_no_pattern(storage: FsspecStorage) -> None:
    for key in ("a*", "abc", "[x]", "x", "q?"):
        put(storage, key)
    storage.delete(["a*", "[x]", "q?"])
    assert keys(storage) == ["abc", "x"]


def test_a_hidden_name_of_ours_is_no_key(storage: FsspecStorage, tmp_path: Path) -> None:
    with pytest.raises(InvalidKeyError, match="does not begin with"):
        put(storage, ".sqlalchemy-file-1")
    (tmp_path / ".sqlalchemy-file-1").write_bytes(b"left by a crash")
    assert keys(storage) == []


def test_a_key_that_others_lie_below_is_refused(storage: FsspecStorage, tmp_path: Path) -> None:
    put(storage, "a/b")
    for action in (lambda: put(storage, "a"), lambda: storage.copy("a/b", "a")):
        with pytest.raises(StorageError, match="other objects lie below this key"):
            action()
    assert names(tmp_path) == ["a", "a/b"]


def test_what_another_program_wrote_is_seen(bucket: Container, s3_filesystem: Any) -> None:
    storage = adapt(s3_filesystem, root=bucket.name)
    assert keys(storage) == []
    s3_filesystem.ls(bucket.name)  # and remembers it
    bucket.upload_object_via_stream(io.BytesIO(b"bytes"), "key")
    assert (keys(storage), read(storage, "key")) == (["key"], b"bytes")


@pytest.mark.parametrize("size", [6 * MEGABYTE, 12 * MEGABYTE])
def test_a_content_that_fails_leaves_no_parts_behind(
    bucket: Container, s3_filesystem: S3FileSystem, size: int
) -> None:
    class Failing(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            if not (chunk := super().read(count)):
                raise ZeroDivisionError
            return chunk

    storage = adapt(s3_filesystem, root=bucket.name)
    with pytest.raises(ZeroDivisionError):
        storage.put("key", Failing(b"x" * size), Attributes())
    assert list(bucket.driver.ex_iterate_multipart_uploads(bucket)) == []
    assert keys(storage) == []


def test_the_manager_uses_it_from_coroutines(bucket: Container, s3_filesystem: Any) -> None:
    StorageManager.add_storage("default", s3_filesystem, root=bucket.name)

    async def story() -> list[bytes]:
        saving = [StorageManager.asave_file(f"{n}", b"%d" % n) for n in range(8)]
        await asyncio.gather(*saving)
        files = [await StorageManager.aget_file(f"default/{n}") for n in range(8)]
        return [await file.aread() for file in files]

    assert asyncio.run(story()) == [b"%d" % number for number in range(8)]


# --- errors


def test_a_bucket_that_is_missing_is_not_taken_for_a_missing_object(
    s3_filesystem: S3FileSystem,
) -> None:
    StorageManager.add_storage("media", s3_filesystem, root="no-such-bucket")
    storage = StorageManager.storage()
    actions: list[Callable[[], object]] = [
        lambda: put(storage, "key"),
        lambda: storage.stat("key"),
        lambda: list(storage.stream("key")),
        lambda: storage.delete(["key"]),
        lambda: keys(storage),
        lambda: storage.copy("key", "new"),
    ]
    for action in actions:
        with pytest.raises(StorageError, match="bucket or container does not exist") as caught:
            action()
        assert not isinstance(caught.value, ObjectNotFoundError)
    with pytest.raises(StorageError, match="storage 'media', key 'key': the bucket"):
        StorageManager.save_file("key", b"")


def test_a_wrong_secret_is_one_clear_error(bucket: Container, s3_server: S3Server) -> None:
    filesystem = S3FileSystem(
        key=s3_server.access_key,
        secret="hunter2",
        client_kwargs={"endpoint_url": s3_server.url, "region_name": "us-east-1"},
        skip_instance_cache=True,
    )
    StorageManager.add_storage("media", filesystem, root=bucket.name)
    with pytest.raises(StorageError, match="storage 'media', key 'key'") as caught:
        StorageManager.save_file("key", b"bytes")
    assert "hunter2" not in str(caught.value)
    assert s3_server.access_key not in str(caught.value)


def test_a_filesystem_that_cannot_write_says_so() -> None:
    class ReadOnly(MemoryFileSystem):
        protocol = "readonly"

        def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
            if mode != "rb":
                raise NotImplementedError
            return super()._open(path, mode, **options)

    with pytest.raises(StorageError, match="cannot do that"):
        put(adapt(ReadOnly(), root=f"/{uuid.uuid4().hex}"), "key")


def test_a_server_that_renames_over_nothing_is_helped(tmp_path: Path) -> None:
    class Cautious(LocalFileSystem):
        def mv(self, path1: str, path2: str, **options: Any) -> None:
            if Path(path2).exists():
                raise FileExistsError(path2)
            super().mv(path1, path2, **options)

    storage = adapt(Cautious(), root=str(tmp_path))
    put(storage, "key", b"older")
    put(storage, "key", b"newer")
    assert read(storage, "key") == b"newer"
    with pytest.raises(ObjectExistsError):
        storage.put("key", io.BytesIO(b""), Attributes(), exclusive=True)
    assert names(tmp_path) == ["key"]


def test_a_filesystem_that_cannot_copy_is_copied_through_here(tmp_path: Path) -> None:
    class Plain(LocalFileSystem):
        def cp_file(self, path1: str, path2: str, **options: Any) -> None:
            raise NotImplementedError

    storage = adapt(Plain(), root=str(tmp_path))
    put(storage, "key", b"bytes")
    assert storage.copy("key", "folder/new").size == 5
    assert names(tmp_path) == ["folder", "folder/new", "key"]


# --- threads and processes


class Counting(LocalFileSystem):
    made: list[int] = []  # noqa: RUF012  of all instances

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.made.append(threading.get_ident())


@pytest.fixture
def counted() -> Iterator[list[int]]:
    Counting.made.clear()
    yield Counting.made
    Counting.clear_instance_cache()


def test_a_sync_filesystem_is_made_once_a_thread(counted: list[int], tmp_path: Path) -> None:
    storage = adapt(Counting(), root=str(tmp_path))

    def work() -> None:
        for number in range(3):
            put(storage, f"{threading.get_ident()}-{number}")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work()
    assert len(counted) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_makes_new_filesystems(bucket: Container, s3_server: S3Server) -> None:
    program = f"""
import io, os, signal, sys, warnings
from s3fs import S3FileSystem
from sqlalchemy_file.storage import Attributes, adapt
warnings.simplefilter("ignore")
filesystem = S3FileSystem(
    key={s3_server.access_key!r}, secret={s3_server.secret_key!r},
    client_kwargs={{"endpoint_url": {s3_server.url!r}, "region_name": "us-east-1"}},
)
storage = adapt(filesystem, root={bucket.name!r})
storage.put("parent", io.BytesIO(b"x"), Attributes())
if not (child := os.fork()):
    signal.alarm(30)
    storage.put("child", io.BytesIO(b"x"), Attributes())
    os._exit([info.key for info in storage.list()] != ["child", "parent"])
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
storage.put("again", io.BytesIO(b"x"), Attributes())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
