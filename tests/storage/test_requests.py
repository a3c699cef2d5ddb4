"""What is asked of a server: which requests, how many, how often, and by how many connections."""

from __future__ import annotations

import asyncio
import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from libcloud.storage.base import Container
from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
from libcloud.storage.drivers.minio import MinIOStorageDriver
from s3fs import S3FileSystem

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import DeletionError, ObjectExistsError, StorageError
from sqlalchemy_file.storage import Attributes, LibcloudStorage, Storage, adapt
from tests.storage.helpers import put, read
from tests.storage.server import Answer, Bucket, Request, answering
from tests.storage.silence import silent

PLAIN = Attributes()
MEGABYTE = 1024 * 1024
FORBIDDEN = b"<Error><Code>AccessDenied</Code></Error>"


def _obstore(port: int, **options: Any) -> Storage:
    return adapt(
        "s3://bucket/prefix",
        endpoint=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key_id="key",
        secret_access_key="hunter2",
        **options,
    )


def _libcloud(port: int, **options: Any) -> Storage:
    driver = MinIOStorageDriver("key", secret="hunter2", host="127.0.0.1", port=port, secure=False)
    return adapt(Container("bucket", {}, driver), **options)


def _plain_libcloud(port: int, **options: Any) -> Storage:
    driver = MinIOStorageDriver("key", secret="hunter2", host="127.0.0.1", port=port, secure=False)
    return LibcloudStorage(Container("bucket", {}, driver), **options)


def _s3fs(port: int, **options: Any) -> Storage:
    filesystem = S3FileSystem(
        key="key",
        secret="hunter2",
        client_kwargs={"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"},
        config_kwargs={"retries": {"total_max_attempts": 1}},
        skip_instance_cache=True,
    )
    return adapt(filesystem, root="bucket/prefix", **options)


def _web(port: int, **options: Any) -> Storage:
    return adapt(f"http://127.0.0.1:{port}/bucket", **options)


KINDS: dict[str, Callable[..., Storage]] = {
    "obstore": _obstore,
    "libcloud": _libcloud,
    "s3fs": _s3fs,
}


@contextmanager
def served(
    kind: str, fault: Callable[[Request], Answer | None] = lambda request: None, **options: Any
) -> Iterator[tuple[Storage, Bucket]]:
    bucket = Bucket(fault)
    with answering(bucket) as port:
        kinds = {**KINDS, "web": _web, "plain libcloud": _plain_libcloud}
        yield kinds[kind](port, **options), bucket


# --- one request where one will do


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
def test_many_objects_are_deleted_by_one_request(kind: str) -> None:
    with served(kind) as (storage, bucket):
        storage.delete([f"key-{number}" for number in range(500)])
    (request,) = bucket.seen
    assert (request.method, "delete" in urlsplit(request.path).query) == ("POST", True)
    assert request.body.count(b"<Key>") == 500


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
@pytest.mark.parametrize("way", ["delete", "adelete"])
@pytest.mark.parametrize("status", [404, 409])
def test_a_refused_deletion_is_not_about_whether_an_object_is_there(
    kind: str, way: str, status: int
) -> None:
    def fault(request: Request) -> Answer:
        return Answer(status, b"default backend")  # a proxy's, whose server is gone

    with served(kind, fault) as (storage, bucket), pytest.raises(DeletionError) as caught:
        _delete(storage, way, ["a", "b"])
    assert all(str(status) in str(each) for each in caught.value.failures.values())
    kinds = {key: type(each) for key, each in caught.value.failures.items()}
    assert kinds == {"a": StorageError, "b": StorageError}
    assert set(bucket.methods) == {"POST"}


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
def test_only_the_objects_that_a_server_refuses_to_delete_fail(kind: str) -> None:
    def fault(request: Request) -> Answer | None:
        locked = re.search(rb"<Key>[^<]*locked</Key>", request.body)
        if locked is None:
            return None
        told = b"%b<Code>AccessDenied</Code><Message>m</Message>" % locked[0]
        return Answer(200, b"<DeleteResult><Error>%b</Error></DeleteResult>" % told)

    with served(kind, fault) as (storage, _), pytest.raises(DeletionError) as caught:
        storage.delete(["a", "locked", "z"])
    assert list(caught.value.failures) == ["locked"]


def _delete(storage: Any, way: str, keys: list[str]) -> None:
    if way == "delete":
        storage.delete(keys)
    else:
        asyncio.run(storage.adelete(keys))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_made_by_the_server(kind: str) -> None:
    with served(kind) as (storage, bucket):
        storage.copy("key", "new")
    assert "GET" not in bucket.methods
    assert [each.body for each in bucket.seen if each.method == "PUT"] == [b""]


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
def test_a_listing_begins_at_the_server_behind_a_key(kind: str) -> None:
    with served(kind) as (storage, bucket):
        assert list(storage.list(start_after="key-5")) == []
    (request,) = bucket.seen
    (after,) = parse_qs(urlsplit(request.path).query)["start-after"]
    assert after.removeprefix("prefix/") == "key-5"


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
def test_a_small_object_takes_one_request_each_way(kind: str) -> None:
    with served(kind) as (storage, bucket):
        put(storage, "key")
        assert read(storage, "key") == b"bytes"
    assert bucket.methods == ["PUT", "GET"]


@pytest.mark.parametrize("kind", ["obstore", "libcloud", "web"])
def test_a_range_that_is_answered_with_the_whole_object_is_cut(kind: str) -> None:
    def fault(request: Request) -> Answer:
        dates = {"Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT", "ETag": '"1"'}
        return Answer(200, b"0123456789", dates)

    async def read_in_coroutine(storage: Any) -> bytes:
        return b"".join([chunk async for chunk in storage.astream("key", 3, 6)])

    with served(kind, fault) as (storage, _):
        assert read(storage, "key", 3, 6) == b"345"
        assert read(storage, "key", 3) == b"3456789"
        assert read(storage, "key", 20, 30) == b""
        if kind != "libcloud":
            assert asyncio.run(read_in_coroutine(storage)) == b"345"


# --- parts


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
@pytest.mark.parametrize("is_awaited", [False, True])
def test_ranges_of_one_version_of_an_object_end_when_it_is_replaced(
    kind: str, *, is_awaited: bool
) -> None:
    etags = iter("112")

    def fault(request: Request) -> Answer:
        headers = {"ETag": f'"{next(etags)}"', "Content-Range": "bytes 2-4/10"}
        return Answer(206, b"234", {**headers, "Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT"})

    async def read(storage: Any) -> None:
        ranges = storage.aranges("key")
        for _ in range(2):
            assert b"".join([chunk async for chunk in ranges(2, 5)]) == b"234"
        with pytest.raises(StorageError, match="replaced while it was read"):
            await anext(ranges(2, 5))

    def read_in_thread(storage: Any) -> None:
        ranges = storage.ranges("key")
        for _ in range(2):
            assert b"".join(ranges(2, 5)) == b"234"
        with pytest.raises(StorageError, match="replaced while it was read"):
            next(ranges(2, 5))

    with served(kind, fault) as (storage, _):
        if is_awaited:
            asyncio.run(read(storage))
        else:
            read_in_thread(storage)


def test_parts_of_one_object_are_sent_at_the_same_time() -> None:
    together, under_way, most = threading.Barrier(4), set[str](), []

    def fault(request: Request) -> Answer | None:
        if request.is_part:
            under_way.add(request.path)
            most.append(len(under_way))
            together.wait(30)  # broken, and the request with it, unless four come together
            under_way.discard(request.path)
        return None

    with served("obstore", fault) as (storage, bucket):
        storage.put("key", io.BytesIO(b"x" * 40 * MEGABYTE), PLAIN)
    assert max(most) == 4
    assert sum(request.is_part for request in bucket.seen) == 8
    assert len({request.connection for request in bucket.seen if request.is_part}) <= 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_is_refused_takes_back_the_others(kind: str) -> None:
    def fault(request: Request) -> Answer | None:
        refused = request.is_part and "partNumber=2" in request.path
        return Answer(403, FORBIDDEN) if refused else None

    with served(kind, fault) as (storage, bucket):
        with pytest.raises(StorageError, match="key 'key': "):
            storage.put("key", io.BytesIO(b"x" * 16 * MEGABYTE), PLAIN)
        _wait_for(lambda: any(request.is_abort for request in bucket.seen))
    assert sum(request.is_abort for request in bucket.seen) == 1
    assert not any(request.is_completion for request in bucket.seen)


def test_a_part_that_is_refused_takes_back_the_others_of_a_coroutine() -> None:
    def fault(request: Request) -> Answer | None:
        return Answer(403, FORBIDDEN) if request.is_part else None

    with served("obstore", fault) as (storage, bucket):
        content = io.BytesIO(b"x" * 16 * MEGABYTE)
        with pytest.raises(StorageError, match="key 'key': "):
            asyncio.run(storage.aput("key", content, PLAIN))  # type: ignore[attr-defined]
        _wait_for(lambda: any(request.is_abort for request in bucket.seen))
    assert not any(request.is_completion for request in bucket.seen)


# --- what is not safe to repeat


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
def test_a_conditional_request_is_sent_once(kind: str) -> None:
    def fault(request: Request) -> Answer | None:
        if request.method == "HEAD":
            return Answer(404 if "key" in request.path else 200)
        return Answer(503)

    with (
        served(kind, fault) as (storage, bucket),
        pytest.raises(StorageError, match="503") as caught,
    ):
        storage.put("key", io.BytesIO(b"bytes"), PLAIN, exclusive=True)
    assert not isinstance(caught.value, ObjectExistsError)
    assert [each.headers.get("if-none-match") for each in bucket.seen if each.body] == ["*"]


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
@pytest.mark.parametrize("size", [5, 6 * MEGABYTE])
def test_a_key_that_is_to_be_new_is_looked_up_before_anything_is_sent(kind: str, size: int) -> None:
    with served(kind) as (storage, bucket), pytest.raises(ObjectExistsError):
        storage.put("key", io.BytesIO(b"x" * size), PLAIN, exclusive=True)
    assert set(bucket.methods) == {"HEAD"}


def test_a_large_object_is_never_there_before_it_is_complete() -> None:
    def fault(request: Request) -> Answer | None:
        return Answer(404) if request.method in ("HEAD", "GET") else None

    with served("obstore", fault) as (storage, bucket):
        storage.put("key", io.BytesIO(b"x" * 6 * MEGABYTE), PLAIN, exclusive=True)
    assert [each for each in bucket.seen if each.method == "PUT" and not each.is_part] == []
    asked = [each.method for each in bucket.seen if not each.is_part]
    # HEAD is followed by GET, whose answer tells a missing object from a missing bucket.
    assert asked == ["HEAD", "POST", "HEAD", "GET", "POST"]


@pytest.mark.parametrize("way", ["put", "aput"])
def test_a_key_that_is_taken_meanwhile_is_refused_before_the_completion(way: str) -> None:
    def fault(request: Request) -> Answer | None:
        is_first = not any(each.is_part for each in bucket.seen)
        return Answer(404) if request.method == "HEAD" and is_first else None

    with served("obstore", fault) as (storage, bucket):
        content = io.BytesIO(b"x" * 6 * MEGABYTE)
        with pytest.raises(ObjectExistsError):
            if way == "put":
                storage.put("key", content, PLAIN, exclusive=True)
            else:
                native: Any = storage
                asyncio.run(native.aput("key", content, PLAIN, exclusive=True))
        _wait_for(lambda: any(request.is_abort for request in bucket.seen))
    assert not any(request.is_completion for request in bucket.seen)
    assert sum(request.is_abort for request in bucket.seen) == 1


# --- servers that stop in the middle


def _half(request: Request) -> Answer | None:
    if request.method != "GET":
        return None
    sizes = {"Content-Length": str(8 * MEGABYTE), "ETag": '"1"'}
    dates = {"Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT"}
    return Answer(200, b"x" * MEGABYTE, {**sizes, **dates}, stalls=True)


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
@pytest.mark.parametrize("way", ["read", "aread", "astream"])
def test_a_server_that_stops_in_the_middle_is_given_up(kind: str, way: str) -> None:
    async def read_in_coroutine() -> None:
        file = await StorageManager.aget_file("media/key")
        if way == "aread":
            await file.aread()
        else:
            async for _ in file.astream():
                pass

    limits = {"timeout": 0.5} if kind == "libcloud" else {"read_timeout": 0.5}
    with served(kind, _half, **limits, max_retries=1) as (storage, _):
        StorageManager.add_storage("media", storage)
        began = time.monotonic()
        with pytest.raises(StorageError, match="storage 'media', key 'key'"):
            if way == "read":
                StorageManager.get_file("media/key").read()
            else:
                asyncio.run(read_in_coroutine())
        assert time.monotonic() - began < 20


def test_a_driver_other_than_s3_has_a_time_limit_too() -> None:
    with silent() as (port, taken):
        driver = AzureBlobsStorageDriver(
            "account",
            secret="aHVudGVyMg==",
            host="127.0.0.1",
            port=port,
            secure=False,
        )
        StorageManager.add_storage("blobs", Container("container", {}, driver), timeout=0.3)
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"storage 'blobs', key 'key': .*[Tt]imed? ?out"):
            StorageManager.get_file("blobs/key")
        assert time.monotonic() - began < 20
        assert taken


# --- connections


def test_a_thread_uses_one_connection_of_libcloud_for_all_its_requests() -> None:
    with served("plain libcloud") as (storage, bucket):
        for number in range(5):
            put(storage, f"key-{number}")
            read(storage, f"key-{number}")
            storage.stat(f"key-{number}")
        assert len(bucket.connections) == 1
        other = threading.Thread(target=lambda: [storage.stat("key") for _ in range(5)])
        other.start()
        other.join()
    assert len(bucket.connections) == 2


def test_event_loops_and_threads_share_the_connections_of_obstore() -> None:
    async def some(storage: Any) -> None:
        for _ in range(4):
            await asyncio.gather(*(storage.astat(f"key-{number}") for number in range(4)))

    with served("obstore") as (storage, bucket):
        for _ in range(3):
            asyncio.run(some(storage))
        storage.stat("key")
    assert len(bucket.seen) == 3 * 16 + 1
    assert len(bucket.connections) <= 8


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["obstore", "libcloud", "plain libcloud"])
@pytest.mark.parametrize("status", [400, 409])
def test_an_answer_that_says_nothing_of_an_object_is_no_missing_object(
    kind: str, status: int
) -> None:
    with served(kind, lambda request: Answer(status)) as (storage, _):
        for action in (lambda: storage.stat("key"), lambda: read(storage, "key")):
            with pytest.raises(StorageError, match=str(status)) as caught:
                action()
            assert type(caught.value) is StorageError
        with pytest.raises(DeletionError):
            storage.delete(["key"])
