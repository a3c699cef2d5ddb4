"""Filesystems of fsspec: how they are given, addresses, errors, threads and forks."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import register_implementation
from fsspec.spec import AbstractFileSystem
from libcloud.storage.base import Container
from s3fs import S3FileSystem
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidKeyError,
    InvalidStorageError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import Attributes, Storage, adapt
from sqlalchemy_file.storage.fsspec import FsspecStorage
from sqlalchemy_file.storage.fsspec.instances import Instances, with_limits
from tests.models import Base, Paper
from tests.services.ceph import S3Server
from tests.storage.helpers import keys, names, put, read
from tests.storage.silence import silent

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


def test_an_async_session_stores_reads_and_deletes_through_s3fs(
    bucket: Container, s3_filesystem: S3FileSystem, tmp_path: Path
) -> None:
    StorageManager.add_storage("default", s3_filesystem, root=f"{bucket.name}/prefix")

    async def story() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'db'}")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            contents = [b"small", b"x" * 12 * MEGABYTE, *(b"%d" % number for number in range(10))]
            session.add_all([Paper(body=File(content=each)) for each in contents])
            await session.commit()
            found = list((await session.scalars(select(Paper).order_by(Paper.id))).all())
            assert [await each.body.file.aread() for each in found] == contents
            found[0].body = File(content=b"newer")
            await session.flush()
            await session.rollback()
            assert len(keys(StorageManager.storage())) == len(contents)
            session.add(Paper(body=File(content=b"unwanted")))
            await session.flush()
            await session.rollback()
            for each in (await session.scalars(select(Paper))).all():
                await session.delete(each)
            await session.commit()
        await engine.dispose()

    asyncio.run(story())
    assert list(bucket.list_objects()) == []
    assert list(bucket.driver.ex_iterate_multipart_uploads(bucket)) == []


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


@pytest.mark.parametrize(("exclusive", "error"), [(True, ObjectExistsError), (False, StorageError)])
def test_a_file_in_the_way_is_a_taken_key_only_where_that_must_be_new(
    tmp_path: Path, exclusive: bool, error: type[Exception]
) -> None:
    class Crowded(LocalFileSystem):
        def mv(self, path1: str, path2: str, **options: Any) -> None:
            raise FileExistsError(path2)

    storage = adapt(Crowded(), root=str(tmp_path))
    with pytest.raises(StorageError) as caught:
        storage.put("key", io.BytesIO(b""), Attributes(), exclusive=exclusive)
    assert type(caught.value) is error
    assert names(tmp_path) == []


class SaysLittle(LocalFileSystem):
    """Has one error for all that fails, as some servers have; refuses to delete what is kept."""

    protocol = "sayslittle"
    is_blind = False

    def rm_file(self, path: str) -> None:
        if path.endswith("kept"):
            raise OSError("550 failed")
        try:
            super().rm_file(path)
        except FileNotFoundError as error:
            raise OSError("550 failed") from error

    def info(self, path: str, **options: Any) -> Any:
        if self.is_blind:
            raise OSError("550 failed")
        return super().info(path, **options)


@pytest.mark.parametrize("is_blind", [False, True])
def test_what_cannot_be_deleted_is_told_from_what_is_missing(
    tmp_path: Path, *, is_blind: bool
) -> None:
    filesystem = SaysLittle(skip_instance_cache=True)
    storage = FsspecStorage(filesystem, root=str(tmp_path))
    put(storage, "kept")
    put(storage, "key")
    filesystem.is_blind = is_blind
    with pytest.raises(DeletionError) as caught:
        storage.delete(["key", "kept", "missing"])
    assert set(caught.value.failures) == ({"kept", "missing"} if is_blind else {"kept"})
    filesystem.is_blind = False
    assert keys(storage) == ["kept"]


class LosesConnection(LocalFileSystem):
    """Renames over nothing, as SFTP does, and loses its connection at the renames named."""

    lost_at: ClassVar[Collection[int]] = ()
    is_done = False
    renames = 0
    cachable = False

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        if Path(path2).exists():
            raise FileExistsError(path2)
        cls = LosesConnection
        cls.renames += 1
        is_lost = cls.renames in cls.lost_at
        if not is_lost or cls.is_done:
            super().mv(path1, path2, **options)
        if is_lost:
            raise ConnectionResetError("Connection reset by peer")


@pytest.fixture
def losing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Return a storage with an object, whose later renames may be cut off."""
    storage = adapt(LosesConnection(), root=str(tmp_path), max_retries=1)
    put(storage, "a/key", b"older")
    monkeypatch.setattr(LosesConnection, "renames", 0)
    return storage


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("lost_at", [{1}, {2}, {2, 3}, {2, 3, 4}])
def test_the_old_object_is_there_until_the_new_one_is(
    losing: Storage,
    lost_at: set[int],
    is_done: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LosesConnection, "lost_at", lost_at)
    monkeypatch.setattr(LosesConnection, "is_done", is_done)
    with pytest.raises(StorageError):
        put(losing, "a/key", b"newer")
    monkeypatch.setattr(LosesConnection, "lost_at", set())
    for storage in (losing, adapt(LosesConnection(), root=str(tmp_path))):
        assert keys(storage) == ["a/key"]
        assert [info.size for info in storage.list("a/")] == [5]
        assert read(storage, "a/key") == (b"newer" if is_done and 2 in lost_at else b"older")
        assert storage.stat("a/key").size == 5
    put(losing, "a/key", b"newest")
    assert read(losing, "a/key") == b"newest"
    assert [name for name in names(tmp_path) if "/" in name] == ["a/key"]


def test_an_object_that_is_set_aside_is_deleted(
    losing: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LosesConnection, "lost_at", {2, 3, 4})
    with pytest.raises(StorageError):
        put(losing, "a/key", b"newer")
    losing.delete(["a/key"])
    monkeypatch.setattr(LosesConnection, "lost_at", set())
    assert keys(losing) == []
    with pytest.raises(ObjectNotFoundError):
        losing.stat("a/key")
    assert [name for name in names(tmp_path) if name.startswith("a/")] == []


def test_names_of_what_is_set_aside_are_no_keys(losing: Storage) -> None:
    for key in (".sqlalchemy-file-old-a", "a/.sqlalchemy-file-old-b", ".sqlalchemy-file-x/c"):
        with pytest.raises(InvalidKeyError, match="does not begin with"):
            put(losing, key)


def test_a_wrong_secret_of_s3fs_is_told_with_its_reason(
    s3_server: S3Server, bucket: Container
) -> None:
    place = {"endpoint_url": s3_server.url, "region_name": "us-east-1"}
    for login, code in (
        ({"key": s3_server.access_key, "secret": "hunter2"}, "SignatureDoesNotMatch"),
        ({"key": "nobody", "secret": "hunter2"}, "InvalidAccessKeyId"),
    ):
        filesystem = S3FileSystem(**login, client_kwargs=place, skip_instance_cache=True)
        storage = adapt(filesystem, root=bucket.name)
        for action in (
            lambda: put(storage, "key"),  # noqa: B023
            lambda: keys(storage),  # noqa: B023
            lambda: storage.delete(["a", "b"]),  # noqa: B023
        ):
            with pytest.raises(StorageError, match="refused access: check the keys") as caught:
                action()
            assert code in str(caught.value)
            assert "hunter2" not in str(caught.value)
            assert "None" not in str(caught.value)
        with pytest.raises(StorageError, match="Forbidden"):
            storage.stat("key")


def test_a_filesystem_that_cannot_copy_is_copied_through_here(tmp_path: Path) -> None:
    class Plain(LocalFileSystem):
        def cp_file(self, path1: str, path2: str, **options: Any) -> None:
            raise NotImplementedError

    storage = adapt(Plain(), root=str(tmp_path))
    put(storage, "key", b"bytes")
    assert storage.copy("key", "folder/new").size == 5
    assert names(tmp_path) == ["folder", "folder/new", "key"]


def _told(instances: Instances, words: str) -> str:
    return instances.message(OSError(words))


def test_secrets_are_masked_wherever_they_stand_among_the_arguments() -> None:
    class Remote(AbstractFileSystem):
        def __init__(self, host: str, password: str, *more: str, **options: Any) -> None:
            super().__init__(**options)

    options = {"client_kwargs": {"aws_secret_access_key": "hunter3", "endpoint_url": "url"}}
    instances = Instances(Remote, ("host", "hunter2", "hunter4", "hunter5"), options)
    words = "host said url hunter2, hunter3, hunter4 and hunter5"
    assert _told(instances, words) == "host said url ***, ***, *** and ***"


def test_a_longer_secret_is_masked_as_a_whole() -> None:
    options = {"password": "hunter", "client_kwargs": {"auth": ["user", "hunter2"]}}
    assert _told(Instances(MemoryFileSystem, (), options), "no hunter2!") == "no ***!"


# --- connections that are lost, servers that stall


class Mortal(LocalFileSystem):
    """A folder behind connections that can be cut."""

    made: list[Mortal] = []  # noqa: RUF012  of all instances
    is_down = False
    asked = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_cut = False
        self.made.append(self)

    @classmethod
    def cut(cls) -> None:
        for each in cls.made:
            each.is_cut = True

    def _ask(self) -> None:
        Mortal.asked += 1
        if self.is_cut or self.is_down:
            raise EOFError

    def info(self, path: str, **options: Any) -> Any:
        self._ask()
        return super().info(path, **options)

    def rm_file(self, path: str) -> None:
        self._ask()
        super().rm_file(path)

    def find(self, path: str, **options: Any) -> Any:
        self._ask()
        return super().find(path, **options)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[FsspecStorage]:
    Mortal.asked = 0
    yield FsspecStorage(Mortal(), root=str(tmp_path))
    Mortal.made.clear()
    Mortal.clear_instance_cache()


@pytest.mark.parametrize(
    "action",
    [
        lambda storage: storage.stat("key"),
        lambda storage: read(storage, "key"),
        keys,
        lambda storage: storage.delete(["key", "other"]),
        lambda storage: put(storage, "new"),
        lambda storage: storage.copy("key", "new"),
    ],
    ids=["stat", "stream", "list", "delete", "put", "copy"],
)
def test_a_connection_that_was_lost_meanwhile_is_made_anew(
    mortal: FsspecStorage, action: Callable[[FsspecStorage], object]
) -> None:
    put(mortal, "key")
    Mortal.cut()
    action(mortal)
    assert len(Mortal.made) == 2


def test_a_connection_that_breaks_in_a_put_is_not_used_again(mortal: FsspecStorage) -> None:
    class Cutting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            Mortal.cut()
            return super().read(size)

    with pytest.raises(StorageError, match="key 'key': EOFError"):
        mortal.put("key", Cutting(b"bytes"), Attributes(), exclusive=True)
    assert put(mortal, "key").size == 5
    assert keys(mortal) == ["key"]


def test_a_server_that_is_gone_is_not_asked_about_each_key_to_delete(tmp_path: Path) -> None:
    Mortal.asked = 0
    storage = FsspecStorage(Mortal(), root=str(tmp_path), max_retries=1)
    put(storage, "key-0")
    Mortal.asked, Mortal.is_down = 0, True
    try:
        with pytest.raises(DeletionError) as caught:
            storage.delete([f"key-{number}" for number in range(100)])
    finally:
        Mortal.is_down = False
        Mortal.made.clear()
    assert len(caught.value.failures) == 100
    assert Mortal.asked == 2
    assert names(tmp_path) == ["key-0"]


@pytest.mark.parametrize("option", ["timeout", "read_timeout"])
def test_a_server_of_ftp_that_stalls_is_given_up(option: str) -> None:
    with silent() as (port, taken):
        address = f"ftp://user:hunter2@127.0.0.1:{port}/folder"
        StorageManager.add_storage("far", address, **{option: 0.3}, max_retries=1)
        began = time.monotonic()
        with pytest.raises(StorageError, match="storage 'far', key 'key': timed out") as caught:
            StorageManager.get_file("far/key")
        assert time.monotonic() - began < 20
        assert len(taken) == 2
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("option", ["timeout", "read_timeout"])
def test_a_bucket_of_s3fs_that_stalls_is_given_up(option: str) -> None:
    with silent() as (port, taken):
        StorageManager.add_storage(
            "far",
            "s3a://bucket/prefix",
            key="key",
            secret="hunter2",
            endpoint_url=f"http://127.0.0.1:{port}",
            client_kwargs={"region_name": "us-east-1"},
            **{option: 0.2},
        )
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"storage 'far', key 'key': .*timeout") as caught:
            StorageManager.get_file("far/key")
        assert time.monotonic() - began < 30
        assert len(taken) == 5  # as often as s3fs tries, and botocore not once more
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("scheme", "given", "made"),
    [
        ("ftp", {}, {"timeout": 60}),
        ("ftp", {"read_timeout": timedelta(seconds=5)}, {"timeout": 5}),
        ("ftp", {"timeout": 7, "read_timeout": 5}, {"timeout": 7}),
        ("sftp", {}, {"timeout": 5, "banner_timeout": 60, "auth_timeout": 60}),
        (
            "ssh",
            {"connect_timeout": 3, "read_timeout": 9, "auth_timeout": 1},
            {"timeout": 3, "banner_timeout": 9, "auth_timeout": 1},
        ),
        ("smb", {"connect_timeout": 3, "username": "me"}, {"timeout": 3, "username": "me"}),
        ("hdfs", {"read_timeout": "its own"}, {"read_timeout": "its own"}),
    ],
)
def test_time_limits_are_told_by_the_names_of_each_filesystem(
    scheme: str, given: dict[str, Any], made: dict[str, Any]
) -> None:
    assert with_limits(scheme, given) == made


def test_time_limits_are_set_beside_other_settings_of_botocore() -> None:
    own = {"max_pool_connections": 3, "read_timeout": 7}
    made = with_limits("s3a", {"config_kwargs": own, "connect_timeout": 2})["config_kwargs"]
    assert made == {**own, "connect_timeout": 2, "retries": {"total_max_attempts": 1}}


def test_a_connection_over_ssh_that_is_signed_in_has_a_time_limit_too() -> None:
    limits: list[float] = []

    class Channel:
        settimeout = limits.append

    class Remote(AbstractFileSystem):  # as fsspec's own, which needs paramiko
        protocol = "sftp", "ssh"

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ftp = self

        def get_channel(self) -> Any:
            return Channel

    Instances(Remote, (), with_limits("sftp", {"read_timeout": 7})).get()
    Instances(Remote, (), {}).get()
    assert limits == [7]


@pytest.mark.parametrize("value", [0, -1, "5", True, None])
def test_a_time_limit_is_a_number_of_seconds(value: object) -> None:
    with pytest.raises(InvalidStorageError, match=r"storage 'far': .*'read_timeout' is a number"):
        StorageManager.add_storage("far", "ftp://host/folder", read_timeout=value)


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
def test_a_forked_process_makes_new_filesystems_that_are_for_one_thread(tmp_path: Path) -> None:
    program = f"""
import io, os, signal
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy_file.storage import Attributes, Storage, adapt

class Connected(LocalFileSystem):
    def __init__(self, **options):
        super().__init__(**options)
        self.made_in = os.getpid()

    def info(self, path, **options):
        assert self.made_in == os.getpid(), "the connection of another process"
        return super().info(path, **options)

storage = adapt(Connected(), root={str(tmp_path)!r})
"""
    _run_and_fork(program)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_makes_new_filesystems(bucket: Container, s3_server: S3Server) -> None:
    program = f"""
import io, os, signal, sys, warnings
from s3fs import S3FileSystem
from sqlalchemy_file.storage import Attributes, Storage, adapt
warnings.simplefilter("ignore")
filesystem = S3FileSystem(
    key={s3_server.access_key!r}, secret={s3_server.secret_key!r},
    client_kwargs={{"endpoint_url": {s3_server.url!r}, "region_name": "us-east-1"}},
)
storage = adapt(filesystem, root={bucket.name!r})
"""
    _run_and_fork(program)


def _run_and_fork(program: str) -> None:
    """Run a program that makes a storage, in which a child of it stores something, too."""
    command = [sys.executable, "-c", program + _FORKS]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


_FORKS = """
storage.put("parent", io.BytesIO(b"x"), Attributes())
if not (child := os.fork()):
    signal.alarm(30)
    storage.put("child", io.BytesIO(b"x"), Attributes())
    os._exit([info.key for info in storage.list()] != ["child", "parent"])
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
storage.put("again", io.BytesIO(b"x"), Attributes())
"""
