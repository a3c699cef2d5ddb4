"""Containers of libcloud: what the drivers are made to do, and what they are spared."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from libcloud.common.types import LibcloudError
from libcloud.storage.base import Container, StorageDriver
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from libcloud.storage.drivers.minio import MinIOStorageDriver
from obstore.exceptions import BaseError

from sqlalchemy_file.exceptions import (
    DeletionError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import (
    Attributes,
    HasDriverObject,
    LibcloudStorage,
    LocalStorage,
    Storage,
    adapt,
)
from sqlalchemy_file.storage.s3_container import S3ContainerStorage
from sqlalchemy_file.testing.objects import MEGABYTE
from tests.services.ceph import S3Server
from tests.storage.helpers import PLAIN, keys, names, put, read
from tests.storage.server import Answer, Bucket, Request, answering

MakeDriver = Callable[..., StorageDriver]
XML = '<?xml version="1.0"?><Error><Code>{}</Code><Message>m</Message></Error>'


@pytest.fixture(params=["obstore", "libcloud"])
def storage(request: pytest.FixtureRequest, bucket: Container) -> LibcloudStorage:
    """Return a container as it is added to the manager, and as it is without obstore."""
    if request.param == "libcloud":
        return LibcloudStorage(bucket)
    storage = adapt(bucket)
    assert isinstance(storage, S3ContainerStorage)
    return storage


class TestRequests:
    """How many requests each verb takes, through obstore."""

    @pytest.fixture
    def served(self) -> Iterator[tuple[Storage, Bucket]]:
        bucket = Bucket()
        with answering(bucket) as port:
            driver = MinIOStorageDriver("key", "secret", False, "127.0.0.1", port)
            yield adapt(Container("bucket", {}, driver)), bucket

    def test_a_small_object_is_stored_in_one(self, served: tuple[Storage, Bucket]) -> None:
        storage, bucket = served
        put(storage, "key", b"x" * 100_000, filename="ü")
        put(storage, "empty", b"")
        put(storage, "5 MB", b"x" * 5 * MEGABYTE)
        assert bucket.methods == ["PUT", "PUT", "PUT"]

    def test_a_large_one_in_parts(self, served: tuple[Storage, Bucket]) -> None:
        storage, bucket = served
        put(storage, "key", b"x" * 12 * MEGABYTE)
        assert bucket.methods == ["POST", "PUT", "PUT", "PUT", "POST"]

    def test_reading_is_one_and_so_is_what_is_known(self, served: tuple[Storage, Bucket]) -> None:
        storage, bucket = served
        read(storage, "key")
        read(storage, "key", 5, 5)
        storage.stat("key")
        assert bucket.methods == ["GET", "HEAD"]

    def test_a_copy_moves_no_bytes_through_here(self, served: tuple[Storage, Bucket]) -> None:
        storage, bucket = served
        storage.copy("key", "new")
        assert bucket.methods == ["PUT", "HEAD"]

    def test_a_thousand_are_deleted_by_one(self, served: tuple[Storage, Bucket]) -> None:
        storage, bucket = served
        storage.delete([f"key-{number}" for number in range(1000)])
        assert bucket.methods == ["POST"]

    def test_what_obstore_cannot_carry_goes_through_libcloud(
        self, served: tuple[Storage, Bucket]
    ) -> None:
        storage, bucket = served
        put(storage, "key", extra={"acl": "public-read"})
        put(storage, "key", headers={"X-Amz-Tagging": "a=b"})
        asyncio.run(storage.aput("key", io.BytesIO(b"bytes"), Attributes(extra={"acl": "private"})))  # type: ignore[attr-defined]
        begun = [each for each in bucket.seen if "uploads" in each.path]
        assert [each.headers.get("x-amz-acl") for each in begun] == ["public-read", None, "private"]
        assert begun[1].headers["x-amz-tagging"] == "a=b"


class TestAttributes:
    def test_headers_and_options_reach_the_storage(
        self, storage: LibcloudStorage, bucket: Container, s3_server: S3Server
    ) -> None:
        put(
            storage,
            "key",
            content_type="text/x-sort",
            extra={"acl": "public-read"},
            headers={"Cache-Control": "max-age=7", "content-type": "text/other"},
        )
        connection = http.client.HTTPConnection(s3_server.host, s3_server.port, timeout=10)
        connection.request("GET", f"/{bucket.name}/key")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"bytes")
        assert answer.headers["Cache-Control"] == "max-age=7"
        assert answer.headers.get_all("Content-Type") == ["text/x-sort"]
        connection.close()

    @pytest.mark.parametrize(
        "headers", [{"X": "a\r\nY: b"}, {"X\r\nY": "b"}, {"X": "ü"}, {"X Y": "b"}, {"X": "a\0"}]
    )
    def test_a_header_that_smuggles_in_another_is_refused(
        self, storage: LibcloudStorage, headers: dict[str, str]
    ) -> None:
        with pytest.raises(StorageError, match="header"):
            put(storage, "key", headers=headers)
        assert keys(storage) == []

    def test_a_content_type_cannot_smuggle_in_a_header(self, storage: LibcloudStorage) -> None:
        put(storage, "key", content_type="text/plain\r\nX-Amz-Acl: public-read")
        assert storage.stat("key").attributes.content_type == (
            "text/plain\r\nX-Amz-Acl: public-read"
        )

    def test_names_are_as_older_releases_wrote_them(
        self, storage: LibcloudStorage, bucket: Container
    ) -> None:
        put(storage, "key", filename="name.txt", content_type="text/plain", metadata={"a": "b"})
        found = bucket.get_object("key")
        assert found.extra["content_type"] == "text/plain"
        # Ceph makes hyphens of underscores, so that "content_type" is not among them.
        assert found.meta_data["filename"] == "name.txt"
        assert found.meta_data["a"] == "b"

    def test_what_older_releases_wrote_is_read_as_it_is(
        self, storage: LibcloudStorage, bucket: Container
    ) -> None:
        bucket.upload_object_via_stream(
            io.BytesIO(b"bytes"),
            "key",
            extra={
                "content_type": "text/plain",
                "meta_data": {"filename": "100%41 sure.txt", "content_type": "text/plain"},
            },
        )
        attributes = storage.stat("key").attributes
        assert attributes == Attributes(filename="100%41 sure.txt", content_type="text/plain")

    def test_the_object_is_libclouds_with_its_metadata_readable(
        self, storage: LibcloudStorage
    ) -> None:
        put(storage, "key", filename="日本.txt", content_type="text/plain", metadata={"a": "ü"})
        assert isinstance(storage, HasDriverObject)
        found = storage.driver_object("key")
        assert (found.name, found.size) == ("key", 5)
        assert found.meta_data == {
            "filename": "日本.txt",
            "content_type": "text/plain",
            "a": "ü",
        }
        assert b"".join(found.as_stream()) == b"bytes"
        with pytest.raises(ObjectNotFoundError):
            storage.driver_object("missing")

    def test_compressed_content_is_not_unpacked(self, storage: LibcloudStorage) -> None:
        packed = gzip.compress(b"text " * 1000)
        put(storage, "key", packed, headers={"Content-Encoding": "gzip"})
        assert read(storage, "key") == packed
        assert read(storage, "key", 3, 9) == packed[3:9]


class TestLargeObjects:
    @pytest.mark.parametrize("size", [6, 11])
    def test_an_upload_that_fails_is_aborted(
        self, storage: LibcloudStorage, bucket: Container, size: int
    ) -> None:
        class Failing(io.BytesIO):
            def read(self, count: int | None = -1, /) -> bytes:
                return super().read(count) or self.fail()

            def fail(self) -> bytes:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            storage.put("key", Failing(b"x" * size * MEGABYTE), PLAIN)
        assert pending_uploads(bucket) == []
        assert keys(storage) == []

    def test_an_upload_refused_at_its_end_is_aborted(
        self, storage: LibcloudStorage, bucket: Container
    ) -> None:
        put(storage, "key")
        with pytest.raises(ObjectExistsError):
            storage.put("key", io.BytesIO(b"x" * 6 * MEGABYTE), PLAIN, exclusive=True)
        assert pending_uploads(bucket) == []

    def test_more_objects_than_a_page_are_listed_and_deleted(
        self, storage: LibcloudStorage
    ) -> None:
        expected = [f"key {number:04} ü" for number in range(1010)]
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda key: put(storage, key, b""), expected))
        assert keys(storage) == expected
        assert [info.key for info in storage.list("key 1", "key 1003 ü")] == expected[1004:]
        storage.delete(expected)
        assert keys(storage) == []


class TestFailures:
    def test_a_missing_bucket_is_not_a_missing_object(self, s3_driver: MakeDriver) -> None:
        storage = adapt(Container("no-such-bucket", {}, s3_driver()))
        for action in (
            lambda: storage.stat("key"),
            lambda: read(storage, "key"),
            lambda: put(storage, "key"),
            lambda: put(storage, "key", b"x" * 6 * MEGABYTE),
            lambda: storage.delete(["key"]),
            lambda: storage.delete(["key", "other"]),
            lambda: storage.copy("key", "new"),
            lambda: keys(storage),
        ):
            with pytest.raises(StorageError, match=r"bucket.*no-such-bucket") as caught:
                action()
            assert not isinstance(caught.value, ObjectNotFoundError)

    def test_a_wrong_secret_is_refused_and_not_told(
        self, s3_driver: MakeDriver, bucket: Container
    ) -> None:
        driver = s3_driver(secret="not-the-secret")
        storage = adapt(driver.get_container(bucket.name))
        for action in (
            lambda: put(storage, "key"),
            lambda: read(storage, "key"),
            lambda: keys(storage),
            lambda: storage.stat("key"),
        ):
            with pytest.raises(StorageError, match="403") as caught:
                action()
            assert "not-the-secret" not in str(caught.value)
            assert driver.key not in str(caught.value)

    def test_a_storage_that_is_down_is_a_storage_error_with_its_cause(
        self, s3_driver: MakeDriver
    ) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        storage = adapt(Container("bucket", {}, s3_driver(port=port)))
        for action in (lambda: put(storage, "key"), lambda: read(storage, "key")):
            with pytest.raises(StorageError, match=r"key 'key': .*Connection refused") as caught:
                action()
            assert isinstance(caught.value.__cause__, BaseError)
        with pytest.raises(DeletionError) as deletion:
            storage.delete(["a", "b"])
        assert set(deletion.value.failures) == {"a", "b"}
        assert all(isinstance(each, StorageError) for each in deletion.value.failures.values())

    def test_a_storage_that_never_answers_is_given_up(self, s3_driver: MakeDriver) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            driver = s3_driver(port=silent.getsockname()[1])
            driver.connection.timeout = 0.3
            driver.connection.connect()
            storage = adapt(Container("bucket", {}, driver))
            for action in (lambda: put(storage, "key"), lambda: read(storage, "key")):
                with pytest.raises(StorageError, match="timed out"):
                    action()


class TestAnswersOfOddServers:
    @pytest.fixture
    def served(self) -> Iterator[Callable[[Callable[[Request], Answer]], LibcloudStorage]]:
        """Return a function that makes a storage of a server that answers like its argument."""
        servers = []

        def serve(answer: Callable[[Request], Answer]) -> LibcloudStorage:
            server = answering(answer)
            port = server.__enter__()
            servers.append(server)
            driver = MinIOStorageDriver("key", "secret", False, "127.0.0.1", port)
            storage = adapt(Container("bucket", {}, driver), max_retries=0)
            assert isinstance(storage, S3ContainerStorage)
            return storage

        yield serve
        for server in servers:
            server.__exit__(None, None, None)

    def test_a_range_answered_with_the_whole_object_is_cut(self, served: Any) -> None:
        storage = served(lambda request: Answer(200, b"0123456789"))
        assert read(storage, "key", 3, 6) == b"345"
        assert read(storage, "key", 3) == b"3456789"
        assert read(storage, "key", 20, 30) == b""

    @pytest.mark.parametrize("status", [300, 400, 403, 404, 409, 416, 500, 503])
    def test_the_body_of_an_error_is_never_content(self, served: Any, status: int) -> None:
        storage = served(lambda request: Answer(status, b"<html>not content</html>"))
        with pytest.raises(StorageError):
            read(storage, "key")
        with pytest.raises(StorageError):
            put(storage, "key")
        with pytest.raises(StorageError):
            keys(storage)

    def test_a_body_that_breaks_off_is_an_error(self, served: Any) -> None:
        storage = served(lambda request: Answer(200, b"0123", {"Content-Length": "10"}))
        with pytest.raises(StorageError, match="body error"):
            read(storage, "key")

    def test_an_error_told_after_200_is_an_error(self, served: Any) -> None:
        def answer(request: Request) -> Answer:
            if request.path.endswith("uploads=") or "partNumber" in request.path:
                body = b"<R><UploadId>u</UploadId></R>"
                return Answer(200, body, {"ETag": '"e"'})
            if request.method == "DELETE":
                aborted.append(request.path)
                return Answer(204)
            return Answer(200, XML.format("InternalError").encode())

        aborted: list[str] = []
        storage = served(answer)
        with pytest.raises(StorageError, match="InternalError"):
            put(storage, "large", b"x" * 6 * MEGABYTE)
        assert len(aborted) == 1
        with pytest.raises(StorageError, match="InternalError"):
            storage.copy("a", "b")

    def test_a_server_without_copies_has_them_made_through_here(self, served: Any) -> None:
        stored: dict[str, bytes] = {"/bucket/a": b"bytes"}

        def answer(request: Request) -> Answer:
            if "x-amz-copy-source" in request.headers:
                return Answer(501, XML.format("NotImplemented").encode())
            if request.method == "PUT":
                stored[request.path] = request.body
            return Answer(200, stored[request.path.partition("?")[0]], {"ETag": '"e"'})

        served(answer).copy("a", "b")
        assert stored["/bucket/b"] == b"bytes"

    def test_a_server_that_deletes_no_many_is_asked_one_by_one(self, served: Any) -> None:
        deleted = []

        def answer(request: Request) -> Answer:
            if request.method == "POST":
                return Answer(405, XML.format("MethodNotAllowed").encode())
            if request.method != "DELETE":
                return Answer(200)
            deleted.append(request.path.partition("?")[0])
            return Answer(403 if deleted[-1].endswith("b") else 204)

        with pytest.raises(DeletionError) as caught:
            served(answer).delete(["a", "b", "c"])
        assert list(caught.value.failures) == ["b"]
        assert deleted == ["/bucket/a", "/bucket/b", "/bucket/c"]

    def test_a_server_that_knows_no_conditions_is_asked_without(self, served: Any) -> None:
        asked = []

        def answer(request: Request) -> Answer:
            if request.method == "HEAD":
                return Answer(404)
            asked.append("if-none-match" in request.headers)
            return Answer(501 if asked[-1] else 200, headers={"ETag": '"e"'})

        served(answer).put("key", io.BytesIO(b""), PLAIN, exclusive=True)
        assert asked == [True, False]

    def test_keys_of_a_server_that_encodes_none_are_taken_as_they_are(self, served: Any) -> None:
        body = (
            b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a+b%20</Key>"
            b"<Size>1</Size><LastModified>2026-01-02T03:04:05.678Z</LastModified>"
            b"</Contents></ListBucketResult>"
        )
        assert keys(served(lambda request: Answer(200, body))) == ["a+b%20"]

    @pytest.mark.parametrize("name", ["x-amz-meta-filename", "Content-Disposition"])
    def test_an_object_whose_headers_are_not_ascii_is_read_and_copied(
        self, served: Any, name: str
    ) -> None:
        def answer(request: Request) -> Answer:
            if request.method not in ("GET", "HEAD"):
                return bucket(request)
            headers = {"ETag": '"e"', name: "\xe9.txt"}
            if "range" in request.headers:
                return Answer(206, b"345", {**headers, "Content-Range": "bytes 3-5/10"})
            return Answer(200, b"0123456789", headers)

        async def read_in_coroutine() -> bytes:
            await storage.astat("key")
            return b"".join([chunk async for chunk in storage.astream("key", 3, 6)])

        bucket = Bucket()
        storage = served(answer)
        assert read(storage, "key") == b"0123456789"
        assert storage.stat("key").size == 10
        assert asyncio.run(read_in_coroutine()) == b"345"
        assert storage.copy("key", "new").size == 10
        assert asyncio.run(storage.acopy("key", "new")).size == 10

    def test_keys_that_obstore_does_not_take_are_listed(self, served: Any) -> None:
        entry = (
            "<Contents><Key>{}</Key><Size>1</Size><ETag>e</ETag>"
            "<LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents>"
        )
        found = ["a", "b//c", "d"]

        def answer(request: Request) -> Answer:
            entries = "".join(map(entry.format, found))
            space = "http://s3.amazonaws.com/doc/2006-03-01/"
            body = f"<R xmlns='{space}'><IsTruncated>false</IsTruncated>{entries}</R>"
            return Answer(200, body.encode())

        async def listed(storage: Any) -> list[str]:
            return [info.key async for info in storage.alist()]

        assert keys(served(answer)) == found
        assert asyncio.run(listed(served(answer))) == found


class TestClones:
    def test_a_driver_made_later_does_not_redirect_the_others(
        self, storage: LibcloudStorage
    ) -> None:
        # libcloud's constructor writes the host onto the class of the connection.
        MinIOStorageDriver("key", "secret", host="elsewhere.invalid")
        put(storage, "key")
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(read, storage, "key").result() == b"bytes"

    def test_no_thread_uses_the_driver_of_another(
        self, storage: LibcloudStorage, bucket: Container
    ) -> None:
        put(storage, "key")
        together = threading.Barrier(4)

        def own_driver() -> object:
            together.wait()
            return storage.driver_object("key").driver

        with ThreadPoolExecutor(4) as threads:
            drivers = [each.result() for each in [threads.submit(own_driver) for _ in range(4)]]
        connections = {driver.connection.connection for driver in [*drivers, bucket.driver]}  # type: ignore[attr-defined]
        assert len(connections) == 5

    def test_a_forked_child_has_connections_of_its_own(self, storage: LibcloudStorage) -> None:
        put(storage, "parent", b"parent's")
        put(storage, "child", b"child's")
        child = os.fork()
        if not child:
            right = all(read(storage, "child") == b"child's" for _ in range(50))
            os._exit(0 if right else 1)
        assert all(read(storage, "parent") == b"parent's" for _ in range(50))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_the_dummy_driver_is_never_cloned(self) -> None:
        driver = DummyStorageDriver("key", "secret")
        container = driver.create_container("container")
        put(adapt(container), "key", b"bytes", filename="name")
        assert driver.get_object("container", "key").size == 5
        assert driver.get_meta_data()["object_count"] == 1
        assert read(adapt(container), "key") == b"bytes"
        adapt(container).delete(["key"])
        assert driver.get_meta_data()["object_count"] == 0

    def test_a_dummy_object_of_somebody_else_says_that_it_has_no_bytes(self) -> None:
        container = DummyStorageDriver("key", "secret").create_container("container")
        container.upload_object_via_stream(b"1234", "key")  # type: ignore[arg-type]
        assert adapt(container).stat("key").size == 4
        with pytest.raises(StorageError, match="keeps no bytes"):
            read(adapt(container), "key")


class TestDriversThatLackSomething:
    def test_metadata(self, s3_driver: MakeDriver, bucket: Container) -> None:
        class WithoutMetadata(MinIOStorageDriver):
            def upload_object_via_stream(self, *args: Any, **kwargs: Any) -> Any:
                if "meta_data" in kwargs["extra"]:
                    raise LibcloudError("no metadata here", self)
                return super().upload_object_via_stream(*args, **kwargs)

        storage = LibcloudStorage(Container(bucket.name, {}, like(s3_driver(), WithoutMetadata)))
        put(storage, "key", filename="name", content_type="text/plain")
        assert read(storage, "key") == b"bytes"
        assert storage.stat("key").attributes == Attributes(content_type="text/plain")

    def test_ranges(self, s3_driver: MakeDriver, bucket: Container) -> None:
        class WithoutRanges(MinIOStorageDriver):
            def download_object_range_as_stream(self, *args: Any, **kwargs: Any) -> Any:
                raise NotImplementedError

        storage = LibcloudStorage(Container(bucket.name, {}, like(s3_driver(), WithoutRanges)))
        put(storage, "key", b"0123456789")
        assert read(storage, "key", 3, 6) == b"345"

    def test_a_refused_upload_is_told_by_its_first_cause(
        self, s3_driver: MakeDriver, bucket: Container
    ) -> None:
        class Refusing(MinIOStorageDriver):
            def upload_object_via_stream(self, *args: Any, **kwargs: Any) -> Any:
                raise LibcloudError(f"refused {sorted(kwargs['extra'])}", self)

        storage = LibcloudStorage(Container(bucket.name, {}, like(s3_driver(), Refusing)))
        with pytest.raises(StorageError, match="meta_data"):
            put(storage, "key", filename="name")

    def test_a_missing_container_is_told(self, s3_driver: MakeDriver) -> None:
        storage = LibcloudStorage(Container("no-such-bucket", {}, s3_driver()))
        with pytest.raises(StorageError, match="no container 'no-such-bucket'"):
            storage.stat("key")


class TestLocalContainers:
    def test_they_are_written_by_our_own_code(self, tmp_path: Path) -> None:
        (tmp_path / "container").mkdir()
        storage = adapt(LocalStorageDriver(str(tmp_path)).get_container("container"))
        assert isinstance(storage, LocalStorage)
        assert isinstance(storage, HasDriverObject)
        put(storage, "a/key", filename="name")
        assert names(tmp_path) == [
            "container",
            "container/a",
            "container/a/key",
            "container/a/key.metadata.json",
        ]
        found = storage.driver_object("a/key")
        assert (found.name, found.size, found.driver.name) == ("a/key", 5, "Local Storage")
        assert found.meta_data == {"filename": "name"}

    def test_a_driver_that_a_program_changed_is_used_as_it_is(self, tmp_path: Path) -> None:
        class Rotating(LocalStorageDriver):
            def upload_object_via_stream(self, iterator: Any, *args: Any, **kwargs: Any) -> Any:
                turned = io.BytesIO(iterator.read()[::-1])
                return super().upload_object_via_stream(turned, *args, **kwargs)

        (tmp_path / "container").mkdir()
        driver = Rotating(str(tmp_path), ex_use_locking=False)
        put(adapt(driver.get_container("container")), "key", b"bytes")
        assert (tmp_path / "container" / "key").read_bytes() == b"setyb"


def like(driver: Any, subclass: type[StorageDriver]) -> Any:
    """Return a driver of another class with the settings of this one."""
    return subclass(
        driver.key,
        driver.secret,
        secure=False,
        host=driver.connection.host,
        port=driver.connection.port,
    )


def pending_uploads(bucket: Container) -> list[str]:
    driver: Any = bucket.driver
    return [upload.key for upload in driver.ex_iterate_multipart_uploads(bucket)]
