"""Nothing that opens a door is told: not by an error, nor by what it was caused by."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from libcloud.storage.base import Container
from libcloud.storage.drivers.minio import MinIOStorageDriver
from s3fs import S3FileSystem

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import InvalidStorageError, StorageError
from tests.services.ceph import S3Server
from tests.storage.server import Answer, answering
from tests.storage.silence import silent

SECRET = "hunter2"


def whole(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _obstore(server: S3Server, bucket: str, secret: str) -> None:
    StorageManager.add_storage(
        "media",
        f"s3://{bucket}",
        endpoint=server.url,
        region="us-east-1",
        access_key_id=server.access_key,
        secret_access_key=secret,
    )


def _libcloud(server: S3Server, bucket: str, secret: str) -> None:
    driver = MinIOStorageDriver(
        server.access_key, secret=secret, host=server.host, port=server.port, secure=False
    )
    StorageManager.add_storage("media", Container(bucket, {}, driver))


def _s3fs(server: S3Server, bucket: str, secret: str) -> None:
    filesystem = S3FileSystem(
        key=server.access_key,
        secret=secret,
        client_kwargs={"endpoint_url": server.url, "region_name": "us-east-1"},
        skip_instance_cache=True,
    )
    StorageManager.add_storage("media", filesystem, root=bucket)


Add = Callable[[S3Server, str, str], None]
ACTIONS: list[Callable[[], Any]] = [
    lambda: StorageManager.save_file("key", b"bytes"),
    lambda: StorageManager.get_file("media/key"),
    lambda: StorageManager.delete_file("media/key"),
]


@pytest.mark.parametrize("add", [_obstore, _libcloud, _s3fs])
def test_a_wrong_secret_names_the_storage_and_is_told_nowhere(
    add: Add, bucket: Container, s3_server: S3Server
) -> None:
    add(s3_server, bucket.name, SECRET)
    for action in ACTIONS:
        with pytest.raises(StorageError, match="storage 'media'") as caught:
            action()
        assert caught.value.storage == "media"
        assert SECRET not in whole(caught.value)


@pytest.mark.parametrize("add", [_obstore, _libcloud, _s3fs])
def test_a_missing_bucket_names_the_storage_and_no_secret(add: Add, s3_server: S3Server) -> None:
    add(s3_server, "no-such-bucket", s3_server.secret_key)
    with pytest.raises(StorageError, match=r"storage 'media', key 'key': .*bucket") as caught:
        StorageManager.save_file("key", b"bytes")
    assert s3_server.secret_key not in whole(caught.value)


@pytest.mark.parametrize("status", [400, 403, 500, 307])
def test_a_signature_in_an_address_is_told_nowhere(status: int) -> None:
    with answering(lambda request: Answer(status)) as port:
        _add_signed(port)
        for action in ACTIONS:
            with pytest.raises(StorageError, match="storage 'media'") as caught:
                action()
            assert SECRET not in whole(caught.value)


def test_a_signature_in_an_address_is_told_nowhere_when_nobody_answers() -> None:
    with silent() as (port, _):
        _add_signed(port, read_timeout=0.2)
        with pytest.raises(StorageError, match=r"storage 'media'.*timed out") as caught:
            StorageManager.get_file("media/key")
        assert SECRET not in whole(caught.value)


def _add_signed(port: int, **options: Any) -> None:
    StorageManager.add_storage(
        "media",
        "az://container",
        account_name="account",
        endpoint=f"http://127.0.0.1:{port}",
        sas_key=f"sv=2024-01-01&sig={SECRET}",
        max_retries=0,
        **options,
    )


@pytest.mark.parametrize(
    "scheme_and_options",
    [
        ("s3", {"secret_access_key": SECRET, "skip_signature": SECRET}),
        ("s3", {"secret_access_key": SECRET, "proxy_url": f"::{SECRET}"}),
        ("gs", {"service_account_key": SECRET}),
        ("az", {"account_name": "a", "account_key": SECRET}),
        ("ftp", {"password": SECRET, "read_timeout": SECRET}),
    ],
    ids=["s3", "proxy", "gs", "az", "ftp"],
)
def test_an_unusable_option_is_told_without_any_value(
    scheme_and_options: tuple[str, dict[str, Any]],
) -> None:
    scheme, options = scheme_and_options
    with pytest.raises(InvalidStorageError, match="storage 'media'") as caught:
        StorageManager.add_storage("media", f"{scheme}://bucket", **options)
    assert SECRET not in whole(caught.value)


def test_a_login_in_an_address_is_told_nowhere() -> None:
    StorageManager.add_storage("far", f"ftp://user:{SECRET}@127.0.0.1:9/folder", max_retries=0)
    for action in (
        lambda: StorageManager.save_file("key", b"bytes"),
        lambda: StorageManager.get_file("far/key"),
        lambda: StorageManager.delete_file("far/key"),
    ):
        with pytest.raises(StorageError, match="storage 'far'") as caught:
            action()
        assert SECRET not in whole(caught.value)
    assert SECRET not in repr(StorageManager.storage("far"))
