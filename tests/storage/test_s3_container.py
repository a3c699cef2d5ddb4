"""Containers of libcloud's S3 drivers: which settings obstore gets, and when it is not used."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from libcloud.common.aws import SignedAWSConnection
from libcloud.storage.base import Container, StorageDriver
from libcloud.storage.drivers.digitalocean_spaces import DigitalOceanSpacesStorageDriver
from libcloud.storage.drivers.google_storage import GoogleStorageDriver
from libcloud.storage.drivers.minio import MinIOStorageDriver
from libcloud.storage.drivers.ovh import OvhStorageDriver
from libcloud.storage.drivers.rgw import S3RGWStorageDriver
from libcloud.storage.drivers.s3 import S3StorageDriver, S3USWestStorageDriver
from libcloud.storage.drivers.scaleway import ScalewayStorageDriver

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import DeletionError
from sqlalchemy_file.storage import Attributes, LibcloudStorage, Storage, adapt, adapters
from sqlalchemy_file.storage.common.protocol import AsyncStorage, HasSignedURL, HasUploads
from sqlalchemy_file.storage.s3_container import S3ContainerStorage
from sqlalchemy_file.testing.objects import MEGABYTE
from tests.storage.helpers import keys, put, read
from tests.storage.server import Answer, Bucket, Request, answering

LOCAL: dict[str, Any] = {"secure": False, "host": "127.0.0.1"}


@pytest.fixture
def server() -> Iterator[tuple[int, Bucket]]:
    bucket = Bucket()
    with answering(bucket) as port:
        yield port, bucket


def added(driver: StorageDriver, **options: Any) -> Storage:
    return adapt(Container("bucket", {}, driver), **options)


# --- settings


@pytest.mark.parametrize(
    ("make", "region"),
    [
        (lambda port: S3StorageDriver("key", "secret", port=port, **LOCAL), "us-east-1"),
        (
            lambda port: S3StorageDriver("key", "secret", port=port, region="eu-west-3", **LOCAL),
            "eu-west-3",
        ),
        (lambda port: S3USWestStorageDriver("key", "secret", port=port, **LOCAL), "us-west-1"),
        (lambda port: MinIOStorageDriver("key", "secret", port=port, **LOCAL), ""),
        (
            lambda port: S3RGWStorageDriver(
                "key", "secret", port=port, signature_version="4", **LOCAL
            ),
            "default",
        ),
        (lambda port: ScalewayStorageDriver("key", "secret", port=port, **LOCAL), "fr-par"),
        (lambda port: OvhStorageDriver("key", "secret", port=port, **LOCAL), "sbg"),
    ],
    ids=["s3", "eu-west-3", "us-west-1", "minio", "ceph", "scaleway", "ovh"],
)
def test_a_driver_s_host_port_key_and_region_are_used(
    make: Callable[[int], StorageDriver], region: str, server: tuple[int, Bucket]
) -> None:
    port, bucket = server
    storage = added(make(port))
    assert isinstance(storage, S3ContainerStorage)
    put(storage, "folder/ü")
    (request,) = bucket.seen
    assert request.path == "/bucket/folder/%C3%BC"
    assert request.headers["host"] == f"127.0.0.1:{port}"
    credential = request.headers["authorization"].partition("Credential=")[2].partition(",")[0]
    assert credential.split("/")[0] == "key"
    assert credential.split("/")[2:] == [region, "s3", "aws4_request"]
    assert "x-amz-security-token" not in request.headers


def test_a_session_token_is_sent(server: tuple[int, Bucket]) -> None:
    port, bucket = server
    put(added(S3StorageDriver("key", "secret", port=port, token="token", **LOCAL)), "key")
    assert bucket.seen[0].headers["x-amz-security-token"] == "token"


def test_the_environment_does_not_take_the_place_of_a_driver_s_settings(
    server: tuple[int, Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ACCESS_KEY_ID": "other",
        "SECRET_ACCESS_KEY": "other",
        "SESSION_TOKEN": "other",
        "REGION": "other",
        "DEFAULT_REGION": "other",
        "ENDPOINT": "http://127.0.0.1:9",
        "ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "SKIP_SIGNATURE": "true",
        "VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "S3_EXPRESS": "true",
        "REQUEST_PAYER": "true",
        "BUCKET": "other",
        "UNSIGNED_PAYLOAD": "true",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    port, bucket = server
    put(added(MinIOStorageDriver("key", "secret", port=port, **LOCAL)), "key")
    (request,) = bucket.seen
    assert request.path == "/bucket/key"
    assert "Credential=key/" in request.headers["authorization"]
    assert "other" not in str(request.headers)
    assert "x-amz-request-payer" not in request.headers
    assert request.headers["x-amz-content-sha256"] != "UNSIGNED-PAYLOAD"


def test_the_environment_does_not_disable_the_condition_of_a_new_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fault(request: Request) -> Answer | None:
        return Answer(404) if request.method == "HEAD" else None

    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    bucket = Bucket(fault)
    with answering(bucket) as port:
        storage = added(MinIOStorageDriver("key", "secret", port=port, **LOCAL))
        storage.put("key", io.BytesIO(b"new"), Attributes(), exclusive=True)
    assert bucket.seen[-1].headers["if-none-match"] == "*"


@pytest.mark.parametrize("size", [5, 6 * MEGABYTE])
def test_the_environment_may_ask_for_the_checksums_that_locked_buckets_want(
    server: tuple[int, Bucket], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setenv("AWS_CHECKSUM_ALGORITHM", "sha256")
    port, bucket = server
    put(added(MinIOStorageDriver("key", "secret", port=port, **LOCAL)), "key", b"x" * size)
    bodies = [each for each in bucket.seen if each.method == "PUT"]
    assert bodies
    assert all("x-amz-checksum-sha256" in each.headers for each in bodies)


def test_a_driver_s_own_proxy_is_used(server: tuple[int, Bucket]) -> None:
    port, bucket = server
    driver: Any = MinIOStorageDriver("key", "secret", False, "far.example", 9000)
    driver.connection.set_http_proxy(f"http://127.0.0.1:{port}")
    put(added(driver), "key")
    assert bucket.seen[0].path == "http://far.example:9000/bucket/key"


def test_a_driver_made_later_does_not_redirect_the_others(server: tuple[int, Bucket]) -> None:
    port, bucket = server
    container = Container("bucket", {}, MinIOStorageDriver("key", "secret", port=port, **LOCAL))
    MinIOStorageDriver("key", "secret", host="elsewhere.invalid")  # writes it onto a class
    put(adapt(container), "key")
    assert len(bucket.seen) == 1


# --- what is carried, and what is not


class Subclass(MinIOStorageDriver):
    """A driver that a program may have made to encrypt what it stores."""


class Signing(SignedAWSConnection):
    service_name = "s3"


def _changed(name: str) -> StorageDriver:
    driver: Any = MinIOStorageDriver("key", "secret", **LOCAL)
    setattr(driver, name, getattr(driver, name))
    return driver  # type: ignore[no-any-return]


def _with_hook() -> StorageDriver:
    driver: Any = MinIOStorageDriver("key", "secret", **LOCAL)
    driver.connection.add_default_headers = dict
    return driver  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Subclass("key", "secret", **LOCAL),
        lambda: _changed("upload_object_via_stream"),
        lambda: _changed("download_object_as_stream"),
        _with_hook,
        lambda: S3RGWStorageDriver("key", "secret", signature_version="2", **LOCAL),
        lambda: DigitalOceanSpacesStorageDriver("key", "secret", signature_version="2"),
        lambda: GoogleStorageDriver("GOOG0123456789012345", "0" * 40),
    ],
    ids=["subclass", "upload", "download", "hook", "ceph 2", "spaces 2", "google"],
)
def test_a_driver_that_works_in_another_way_is_used_by_its_methods(
    make: Callable[[], StorageDriver],
) -> None:
    assert type(added(make())) is LibcloudStorage


def test_without_obstore_libcloud_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    storage = added(MinIOStorageDriver("key", "secret", **LOCAL), timeout=5, max_retries=1)
    assert type(storage) is LibcloudStorage
    assert storage.concurrency == 8


def test_settings_that_obstore_does_not_take_are_left_to_libcloud(
    server: tuple[int, Bucket], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, bucket = server
    driver: Any = MinIOStorageDriver("key", "secret", port=port, **LOCAL)
    certificate = tmp_path / "ca.pem"
    certificate.write_text("hunter2")
    driver.connection.connection.ca_cert = str(certificate)
    storage = added(driver)
    assert "is served without obstore" in caplog.text
    assert "hunter2" not in caplog.text
    storage.stat("key")
    assert bucket.methods == ["HEAD", "HEAD"]  # libcloud asks for the bucket first


def test_a_container_can_do_what_a_bucket_can(server: tuple[int, Bucket]) -> None:
    port, _ = server
    storage = added(MinIOStorageDriver("key", "secret", port=port, **LOCAL))
    assert isinstance(storage, AsyncStorage)
    assert isinstance(storage, HasUploads)
    assert isinstance(storage, HasSignedURL)
    assert storage.concurrency == 32
    url = storage.signed_url("key", expires=60)
    assert url is not None
    assert url.startswith(f"http://127.0.0.1:{port}/bucket/key?X-Amz-")
    assert "secret" not in url


def test_coroutines_use_no_thread(server: tuple[int, Bucket]) -> None:
    port, _ = server
    container = Container("bucket", {}, MinIOStorageDriver("key", "secret", port=port, **LOCAL))
    StorageManager.add_storage("media", container)

    def workers() -> int:
        return sum(each.name.startswith("sqlalchemy-file") for each in threading.enumerate())

    async def story() -> int:
        before = workers()
        await StorageManager.asave_file("key", b"bytes")
        file = await StorageManager.aget_file("media/key")
        assert await file.aread() == b"bytes"
        return workers() - before

    assert asyncio.run(story()) == 0
    assert StorageManager.get("media") is container


FORKING = """
import asyncio, io, os, sys
from libcloud.storage.base import Container
from libcloud.storage.drivers.minio import MinIOStorageDriver
from sqlalchemy_file.storage import Attributes, adapt

where = {"host": "127.0.0.1", "port": int(sys.argv[1]), "secure": False}
storage = adapt(Container("bucket", {}, MinIOStorageDriver("key", "secret", **where)))
download = {"expires": 60, "content_type": "text/plain", "disposition": "inline"}
assert storage.signed_url("key", expires=60) and storage.signed_download("key", **download)
storage.put("key", io.BytesIO(b"bytes"), Attributes())

async def in_child():
    await storage.aput("key", io.BytesIO(b"bytes"), Attributes())
    assert b"".join([chunk async for chunk in storage.astream("key")]) == b"bytes"
    assert (await storage.astat("key")).size == 5
    assert storage.signed_url("key", expires=60) is None
    assert storage.signed_download("key", **download) is None
    assert not storage.lists_from_key

if not (child := os.fork()):
    asyncio.run(in_child())
    os._exit(3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_goes_on_through_libcloud(server: tuple[int, Bucket]) -> None:
    port, _ = server
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, str(port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr


# --- real servers


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
def test_uploads_that_were_never_completed_are_found_and_aborted(
    kind: str, bucket: Container
) -> None:
    driver: Any = bucket.driver
    for key in ("folder/%C3%BC", "folder/%C3%BC%20longer"):
        driver.connection.request(f"/{bucket.name}/{key}", method="POST", params={"uploads": ""})
    storage = adapt(bucket) if kind == "obstore" else LibcloudStorage(bucket)
    assert isinstance(storage, HasUploads)
    first, second = sorted(storage.uploads(), key=lambda upload: upload.key)
    assert (first.key, first.begun_at.tzinfo is not None) == ("folder/ü", True)
    storage.abort_upload(first)
    storage.abort_upload(first)  # one that is gone is no error
    assert list(storage.uploads()) == [second]


def test_objects_of_either_way_are_read_by_the_other(bucket: Container) -> None:
    through_obstore, plain = adapt(bucket), LibcloudStorage(bucket)
    attributes = Attributes(filename="grüße.txt", content_type="text/x", metadata={"a": "ü"})
    for number, (writer, reader) in enumerate([(through_obstore, plain), (plain, through_obstore)]):
        writer.put(f"{number}", io.BytesIO(b"bytes"), attributes)
        assert reader.stat(f"{number}").attributes == attributes
        assert read(reader, f"{number}", 1, 3) == b"yt"
    assert keys(plain) == keys(through_obstore) == ["0", "1"]
    plain.delete(["0"])
    through_obstore.delete(["1"])
    assert keys(plain) == []


def test_a_deletion_that_a_driver_refuses_is_an_error() -> None:
    def answer(request: Request) -> Answer:
        return Answer(409 if request.method == "DELETE" else 200)

    with answering(answer) as port:
        driver = MinIOStorageDriver("key", "secret", port=port, **LOCAL)
        with pytest.raises(DeletionError, match="did not delete the object"):
            LibcloudStorage(Container("bucket", {}, driver)).delete(["key"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_libcloud_s_requests_to_s3_are_repeated_too(status: int) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer(status if len(seen) < 3 else 200, headers={"ETag": '"e"'})

    with answering(answer) as port:
        driver = MinIOStorageDriver("key", "secret", port=port, **LOCAL)
        LibcloudStorage(Container("bucket", {}, driver)).stat("key")
    assert [each.method for each in seen] == ["HEAD"] * 4
