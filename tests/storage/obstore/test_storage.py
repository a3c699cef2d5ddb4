"""Stores of obstore: addresses, errors, cancellation, forks, and how they are read."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from libcloud.storage.base import Container
from obstore.store import AzureStore, HTTPStore, LocalStore, MemoryStore, S3Store
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    InvalidStorageError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import Attributes, HasSignedURL, Storage, adapt
from sqlalchemy_file.storage.obstore import ObstoreStorage
from sqlalchemy_file.storage.obstore import addresses as obstore_addresses
from tests.models import Base, Paper
from tests.services.ceph import S3Server
from tests.storage.helpers import keys, put, read
from tests.storage.server import Answer, Request, answering
from tests.storage.silence import silent

PLAIN = Attributes()
MEGABYTE = 1024 * 1024


@pytest.fixture
def storage() -> ObstoreStorage:
    return ObstoreStorage(MemoryStore())


@pytest.fixture(params=["obstore", "local"])
def added(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Return the default storage: one with coroutines of its own, then one without."""
    thing = MemoryStore() if request.param == "obstore" else (tmp_path / "root").as_uri()
    (tmp_path / "root").mkdir()
    StorageManager.add_storage("default", thing)
    return StorageManager.storage()


# --- what is added


@pytest.mark.parametrize(
    "make", [MemoryStore, lambda: HTTPStore.from_url("http://nowhere.invalid")]
)
def test_a_store_is_added_as_it_is(make: Callable[[], object]) -> None:
    store = make()
    StorageManager.add_storage("default", store)
    assert StorageManager.get() is store
    assert isinstance(StorageManager.storage(), ObstoreStorage)


def test_an_address_of_s3_is_a_bucket_and_a_prefix(bucket: Container, s3_server: S3Server) -> None:
    query = urlencode(
        {
            "endpoint": s3_server.url,
            "region": "us-east-1",
            "access_key_id": s3_server.access_key,
            "secret_access_key": s3_server.secret_key,
            "timeout": "20s",
        }
    )
    put(adapt(f"s3://{bucket.name}/some/prefix?{query}"), "key")
    assert keys(adapt(f"s3://{bucket.name}?{query}")) == ["some/prefix/key"]


def test_options_of_an_address_come_from_the_environment_too(
    bucket: Container, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    storage = adapt(f"s3://{bucket.name}?endpoint={s3_server.url}")
    put(storage, "key")
    assert keys(storage) == ["key"]


def test_an_address_may_leave_everything_to_the_environment(
    bucket: Container, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", s3_server.url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    storage = adapt(f"s3://{bucket.name}")
    put(storage, "key")
    assert keys(storage) == ["key"]


@pytest.mark.parametrize(
    ("environment", "options", "agent"),
    [
        ({"AWS_USER_AGENT": "around"}, {}, "around"),
        ({"AWS_USER_AGENT": "around"}, {"user_agent": "given"}, "given"),
        ({"AWS_USER_AGENT": "around"}, {"client_options": {"user_agent": "given"}}, "given"),
        ({"AWS_DEFAULT_HEADERS": "no dict"}, {"aws_user_agent": "given"}, "given"),
        ({}, {"AWS_USER_AGENT": "given", "aws_timeout": "20s"}, "given"),
    ],
)
def test_options_of_the_client_come_from_the_environment_unless_they_are_given(
    environment: dict[str, str],
    options: dict[str, Any],
    agent: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agents = []

    def answer(request: Request) -> Answer:
        agents.append(request.headers["user-agent"])
        return Answer(200, b"", {"ETag": '"1"'})

    with answering(answer) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        put(adapt("s3://bucket?region=us-east-1", **options), "key")
    assert agents == [agent]


def test_a_timeout_from_the_environment_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent() as (port, _):
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_READ_TIMEOUT", "300ms")
        storage = adapt("s3://bucket", skip_signature="true", region="x", max_retries=0)
        began = time.monotonic()
        with pytest.raises(StorageError, match="timed out"):
            storage.stat("key")
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket?aws_allow_http=true&aws_timeout=5s&region=x",
        "s3://bucket?AWS_ALLOW_HTTP=true&Region=x",
        "gs://bucket?google_allow_http=true&skip_signature=true",
        "az://bucket?azure_allow_http=true&account_name=a",
    ],
)
def test_options_of_the_client_may_have_the_prefix_of_a_cloud(address: str) -> None:
    assert isinstance(adapt(address), ObstoreStorage)


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket?aws_allow_http=hunter2",
        "gs://bucket?google_timeout=hunter2",
        "az://bucket?azure_connect_timeout=hunter2&account_name=a",
    ],
)
def test_an_unusable_value_behind_a_prefix_is_one_clear_error(address: str) -> None:
    with pytest.raises(
        InvalidStorageError, match=r"storage 'media': .*no store with these"
    ) as told:
        StorageManager.add_storage("media", address)
    assert "hunter2" not in "".join(traceback.format_exception(told.value))


def test_no_panic_of_obstore_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    # A name that obstore knows and this package does not, as a later release may have.
    known = obstore_addresses._CLIENT_OPTIONS - {"http2_only"}
    monkeypatch.setattr(obstore_addresses, "_CLIENT_OPTIONS", known)
    with pytest.raises(InvalidStorageError, match=r"these options \(http2_only\)"):
        adapt("s3://bucket?http2_only=true")


@pytest.mark.parametrize(
    "address", ["gs://bucket/prefix?skip_signature=true", "az://container?account_name=account"]
)
def test_addresses_of_other_clouds_are_known(address: str) -> None:
    assert isinstance(adapt(address), ObstoreStorage)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("s3://key:hunter2@bucket", "contains a login"),
        ("s3://?secret_access_key=hunter2", "must look like s3://bucket"),
        ("s3://bucket#hunter2", "must look like s3://bucket"),
        ("s3://bucket?regoin=hunter2", "allows no option 'regoin'"),
        ("s3://bucket?skip_signature=hunter2", r"these options \(skip_signature\)"),
        ("s3://bucket?timeout=hunter2", r"these options \(timeout\)"),
        ("az://container?account_name=a&account_key=hunter2", "account_key"),
        ("gs://bucket?service_account_key=hunter2", "service_account_key"),
    ],
)
def test_an_unusable_address_is_refused_without_its_secrets(address: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"the URL of this storage.*{told}") as caught:
        adapt(address)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


def test_without_obstore_an_address_names_the_extra() -> None:
    # In a process of its own: modules of Rust are not loaded twice.
    program = """
import sys
sys.modules["obstore"] = None
from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.storage import StorageManager
try:
    StorageManager.add_storage("media", "s3://bucket?region=x")
except MissingExtraError as error:
    words = ("storage 'media': ", "s3://", "sqlalchemy-file[obstore]")
    sys.exit(0 if all(word in str(error) for word in words) else str(error))
sys.exit("it was taken")
"""
    ignoring = ["-W", "ignore::DeprecationWarning"]  # of forks beside threads, from 3.12 on
    command = [sys.executable, *ignoring, "-c", program]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_obstore_is_loaded_only_when_it_is_used() -> None:
    program = "import sys, sqlalchemy_file; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- errors


def test_a_bucket_that_is_missing_is_not_taken_for_a_missing_object(s3_server: S3Server) -> None:
    storage = ObstoreStorage(_store(s3_server, "no-such-bucket"))
    actions: list[Callable[[], object]] = [
        lambda: put(storage, "key"),
        lambda: storage.stat("key"),
        lambda: list(storage.stream("key")),
        lambda: storage.delete(["key", "other"]),
        lambda: storage.delete(["key"]),
        lambda: keys(storage),
        lambda: storage.copy("key", "new"),
    ]
    for action in actions:
        with pytest.raises(StorageError, match="bucket or container does not exist") as caught:
            action()
        assert not isinstance(caught.value, ObjectNotFoundError)


def test_a_wrong_secret_is_one_clear_error(bucket: Container, s3_server: S3Server) -> None:
    storage = ObstoreStorage(_store(s3_server, bucket.name, secret="hunter2"))
    with pytest.raises(StorageError, match="SignatureDoesNotMatch") as caught:
        put(storage, "key")
    assert "hunter2" not in str(caught.value)
    assert "<?xml" not in str(caught.value)


def test_without_credentials_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with answering(lambda request: Answer(403)) as port:
        address = f"http://127.0.0.1:{port}"
        store = S3Store("bucket", metadata_endpoint=address, client_options={"allow_http": True})
        with pytest.raises(StorageError, match="there are no credentials in the options"):
            put(ObstoreStorage(store), "key", b"")


def test_a_header_that_obstore_does_not_send_is_refused(storage: ObstoreStorage) -> None:
    with pytest.raises(StorageError, match=r"no header 'X-Own'.*Cache-Control"):
        storage.put("key", io.BytesIO(b""), Attributes(headers={"X-Own": "1"}))


def test_a_line_break_in_a_header_is_refused(storage: ObstoreStorage) -> None:
    with pytest.raises(StorageError, match="cannot carry"):
        storage.put("key", io.BytesIO(b""), Attributes(headers={"Cache-Control": "a\r\nb: c"}))


def test_headers_are_sent(s3_store: S3Store) -> None:
    headers = {"cache-control": "max-age=60", "Content-Disposition": "attachment"}
    ObstoreStorage(s3_store).put("key", io.BytesIO(b""), Attributes(headers=headers))
    kept = s3_store.get("key").attributes
    assert (kept["Cache-Control"], kept["Content-Disposition"]) == ("max-age=60", "attachment")


def test_missing_objects_among_many_do_not_spare_the_others(tmp_path: Path) -> None:
    storage = ObstoreStorage(LocalStore(tmp_path))
    for number in range(5):
        put(storage, f"key-{number}")
    storage.delete(["missing", *(f"key-{number}" for number in range(5)), "folder/missing"])
    assert keys(storage) == []


# --- content


def test_content_may_be_an_object_of_obstore_itself(s3_store: S3Store) -> None:
    StorageManager.add_storage("from", MemoryStore())
    StorageManager.add_storage("to", s3_store)
    StorageManager.save_file("large", b"x" * 12 * MEGABYTE, "from")
    stored = StorageManager.save_file("large", StorageManager.get_file("from/large"), "to")
    assert stored.size == 12 * MEGABYTE

    async def copy_many() -> None:
        opened = [StorageManager.get_file("to/large") for _ in range(6)]
        saving = [StorageManager.asave_file(f"{n}", each, "to") for n, each in enumerate(opened)]
        await asyncio.wait_for(asyncio.gather(*saving), 60)

    asyncio.run(copy_many())
    sizes = {info.size for info in StorageManager.storage("to").list()}
    assert sizes == {12 * MEGABYTE}


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("size", [6 * MEGABYTE, 40 * MEGABYTE])
def test_a_cancelled_upload_leaves_no_parts_behind(
    s3_store: S3Store, bucket: Container, size: int, exclusive: bool
) -> None:
    storage = ObstoreStorage(s3_store)

    async def cancelled() -> None:
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def chunks() -> Iterator[bytes]:
            for _ in range(size // MEGABYTE):
                yield b"x" * MEGABYTE
            loop.call_soon_threadsafe(sent.set)
            for _ in range(100):
                yield b"x" * MEGABYTE

        content = _Chunks(chunks())
        task = asyncio.ensure_future(storage.aput("key", content, PLAIN, exclusive=exclusive))
        await asyncio.wait_for(sent.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert list(bucket.driver.ex_iterate_multipart_uploads(bucket)) == []
    assert keys(storage) == []


@pytest.mark.parametrize("size", [0, 7, 40])
def test_a_content_that_fails_leaves_no_parts_behind(
    s3_store: S3Store, bucket: Container, size: int
) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(size):
            yield b"x" * MEGABYTE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ObstoreStorage(s3_store).put("key", _Chunks(chunks()), PLAIN)
    assert list(bucket.driver.ex_iterate_multipart_uploads(bucket)) == []


def test_of_two_exclusive_coroutines_one_wins(s3_store: S3Store) -> None:
    storage = ObstoreStorage(s3_store)

    async def both() -> list[object]:
        puts = [storage.aput("key", io.BytesIO(b"x"), PLAIN, exclusive=True) for _ in range(2)]
        return list(await asyncio.gather(*puts, return_exceptions=True))

    outcomes = asyncio.run(both())
    assert sum(isinstance(outcome, ObjectExistsError) for outcome in outcomes) == 1


# --- signed addresses


def test_a_signed_address_allows_one_method_for_a_while(s3_store: S3Store) -> None:
    storage = ObstoreStorage(s3_store)
    assert isinstance(storage, HasSignedURL)
    put_address = storage.signed_url("folder/ü", expires=timedelta(minutes=1), method="PUT")
    get_address = storage.signed_url("folder/ü", expires=timedelta(minutes=1))
    assert put_address is not None
    assert get_address is not None
    assert requests.put(put_address, data=b"bytes", timeout=10).status_code == 200
    assert requests.get(get_address, timeout=10).content == b"bytes"
    assert requests.put(get_address, data=b"other", timeout=10).status_code == 403
    assert read(storage, "folder/ü") == b"bytes"


def test_only_clouds_sign(storage: ObstoreStorage, s3_store: S3Store) -> None:
    assert storage.signed_url("key", expires=timedelta(minutes=1)) is None
    cloud = ObstoreStorage(s3_store)
    for expires, method in ((timedelta(0), "GET"), (timedelta(minutes=1), "POST")):
        with pytest.raises(ValueError, match="a URL is signed for one of GET"):
            cloud.signed_url("key", expires=expires, method=method)
    with pytest.raises(InvalidKeyError):
        cloud.signed_url("../key", expires=timedelta(minutes=1))


def test_a_number_of_seconds_and_up_to_seven_days_are_signed(s3_store: S3Store) -> None:
    storage = ObstoreStorage(s3_store)
    put(storage, "key", b"bytes")
    for expires in (300, 300.0, timedelta(minutes=5), timedelta(days=7), 7 * 86400):
        address = storage.signed_url("key", expires=expires)
        assert address is not None
        assert requests.get(address, timeout=10).content == b"bytes"


def test_a_time_that_no_server_takes_is_refused_at_once() -> None:
    keys = {"access_key_id": "a", "secret_access_key": "b", "region": "us-east-1"}
    storage = ObstoreStorage(S3Store("bucket", **keys))
    for expires in (timedelta(days=8), 7 * 86400 + 1):
        with pytest.raises(ValueError, match="more than 7 days"):
            storage.signed_url("key", expires=expires)
    for expires in (0, -1, 0.5, timedelta(0)):
        with pytest.raises(ValueError, match="still to come"):
            storage.signed_url("key", expires=expires)
    for expires in ("300", None, True):
        with pytest.raises(TypeError, match="timedelta or a number of seconds"):
            storage.signed_url("key", expires=expires)  # type: ignore[arg-type]


def test_azure_signs_for_longer() -> None:
    storage = ObstoreStorage(
        AzureStore(
            "container", account_name="me", account_key="a2V5", endpoint="http://localhost:1"
        )
    )
    assert storage.signed_url("key", expires=timedelta(days=30)) is not None


# --- reading from coroutines


def test_the_manager_saves_opens_and_deletes_from_coroutines(added: Storage) -> None:
    async def story() -> bytes:
        saved = await StorageManager.asave_file("folder/key", b"some bytes")
        assert saved.size == 10
        opened = await StorageManager.aget_file("default/folder/key")
        data = await opened.aread()
        assert await StorageManager.adelete_file("default/folder/key")
        with pytest.raises(ObjectNotFoundError, match="storage 'default', key 'folder/key'"):
            await StorageManager.aget_file("default/folder/key")
        return data

    assert asyncio.run(story()) == b"some bytes"
    assert keys(added) == []


def test_a_coroutine_reads_on_where_the_file_stands(added: Storage) -> None:
    put(added, "key", b"0123456789")

    async def story() -> list[bytes]:
        file = await StorageManager.aget_file("default/key")
        parts = [await file.aread(2), await file.aread(3), file.read(1), await file.aread(0)]
        file.seek(1)
        return [*parts, await file.aread(2), await file.aread(), await file.aread(), file.read()]

    assert asyncio.run(story()) == [b"01", b"234", b"5", b"", b"12", b"3456789", b"", b""]


def test_a_coroutine_streams_what_is_left_in_chunks(added: Storage) -> None:
    put(added, "key", bytes(range(256)) * 10_000)

    async def story() -> list[bytes]:
        file = await StorageManager.aget_file("default/key")
        await file.aread(1)
        return [chunk async for chunk in file.astream(1_000_000)]

    chunks = asyncio.run(story())
    assert [len(chunk) for chunk in chunks] == [1_000_000, 1_000_000, 559_999]
    assert b"".join(chunks) == (bytes(range(256)) * 10_000)[1:]


def test_reading_in_order_is_one_request() -> None:
    storage = _Counting(MemoryStore())
    StorageManager.add_storage("counting", storage)
    put(storage, "key", b"x" * 100)

    async def story() -> int:
        file = await StorageManager.aget_file("counting/key")
        return sum([len(await file.aread(10)) for _ in range(10)])

    assert asyncio.run(story()) == 100
    assert storage.streams == 1


# --- sessions and processes


def test_an_async_session_stores_reads_and_deletes(s3_store: S3Store, tmp_path: Path) -> None:
    StorageManager.add_storage("default", s3_store)

    async def story() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'db'}")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            contents = [b"small", b"x" * 12 * MEGABYTE]
            session.add_all([Paper(body=File(content=each)) for each in contents])
            await session.commit()
            found = list((await session.scalars(select(Paper).order_by(Paper.id))).all())
            assert [await each.body.file.aread() for each in found] == contents
            await session.delete(found[0])
            await session.rollback()
            assert len(keys(StorageManager.storage())) == 2
            for each in found:
                await session.delete(each)
            await session.commit()
        await engine.dispose()

    asyncio.run(story())
    assert keys(StorageManager.storage()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_forked_after_the_first_use_says_what_to_do() -> None:
    program = """
import io, os, signal, sys
from obstore.store import MemoryStore
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage import Attributes, adapt

def use():
    adapt(MemoryStore()).put("key", io.BytesIO(b""), Attributes())

def in_child(expected):
    if not (child := os.fork()):
        signal.alarm(20)
        try:
            use()
            told = ""
        except StorageError as error:
            told = str(error)
        os._exit(not (expected in told and bool(told) == bool(expected)))
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(f"the child was expected to say {expected!r}")

in_child("")
use()
in_child("'spawn' or 'forkserver'")
"""
    silent = "-Wignore:This process:DeprecationWarning"  # of any fork with threads, in Python 3.12
    command = [sys.executable, silent, "-c", program]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


class _Counting(ObstoreStorage):
    streams = 0

    async def astream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        self.streams += 1
        async for chunk in super().astream(key, start, end):
            yield chunk


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks

    def read(self, size: int | None = -1, /) -> bytes:
        return next(self._chunks, b"")


def _store(server: S3Server, bucket: str, *, secret: str | None = None) -> S3Store:
    return S3Store(
        bucket,
        endpoint=server.url,
        region="us-east-1",
        access_key_id=server.access_key,
        secret_access_key=secret or server.secret_key,
        client_options={"allow_http": True},
    )
