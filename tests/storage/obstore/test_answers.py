"""Presigned URLs with the type and the disposition of the answer signed into them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from libcloud.storage.base import Container
from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
from obstore.store import GCSStore, S3Store
from werkzeug.test import Client

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.storage import HasSignedDownload, Storage, adapt
from sqlalchemy_file.storage.obstore import ObstoreStorage
from tests.services import azurite
from tests.services.azurite import AzureServer
from tests.services.ceph import S3Server
from tests.services.required import require
from tests.storage.helpers import put

KEYS = ("plain", "folder/a b", "ä/ö+%20(1)~.txt")
TYPE = "application/pdf"
DISPOSITION = "attachment; filename=\"gru_e, 1.pdf\"; filename*=UTF-8''gr%C3%BC%C3%9Fe%2C%201.pdf"


@pytest.fixture(scope="module")
def azure_server() -> Iterator[AzureServer]:
    require(azurite)
    with azurite.running() as server:
        yield server


@pytest.fixture
def azure(azure_server: AzureServer) -> ObstoreStorage:
    place: dict[str, Any] = {"host": "127.0.0.1", "port": azure_server.port, "secure": False}
    name = f"signed-{uuid.uuid4().hex[:12]}"
    AzureBlobsStorageDriver(azure_server.account, azure_server.key, **place).create_container(name)
    address = f"az://{name}?account_name={azure_server.account}&endpoint={azure_server.url}"
    storage = adapt(address, account_key=azure_server.key)
    assert isinstance(storage, ObstoreStorage)
    return storage


def require_answer(storage: Storage, key: str) -> None:
    put(storage, key, b"content", content_type="text/plain")
    assert isinstance(storage, HasSignedDownload)
    url = storage.signed_download(key, expires=60, content_type=TYPE, disposition=DISPOSITION)
    assert url is not None
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"content"), answer.text
    assert answer.headers["Content-Type"] == TYPE
    assert answer.headers["Content-Disposition"] == DISPOSITION
    assert requests.get(url.replace("pdf", "xml"), timeout=10).status_code == 403
    part = requests.get(url, headers={"Range": "bytes=1-2"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"on")


@pytest.mark.parametrize("key", KEYS)
def test_s3_answers_with_what_was_signed(s3_store: S3Store, key: str) -> None:
    require_answer(adapt(s3_store), key)


def test_a_container_of_libcloud_signs_through_obstore_s3(bucket: Container) -> None:
    require_answer(adapt(bucket), "plain")


@pytest.mark.parametrize("key", KEYS)
def test_azure_answers_with_what_was_signed(azure: ObstoreStorage, key: str) -> None:
    require_answer(azure, key)


def test_a_secret_of_the_environment_signs_too_s3(
    s3_store: S3Store, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    store = S3Store(
        str(s3_store.config["bucket"]),
        endpoint=s3_server.url,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    require_answer(adapt(store), "of the environment")


def test_a_redirect_of_the_file_server_is_answered_by_the_bucket_s3(s3_store: S3Store) -> None:
    StorageManager.add_storage("bucket", s3_store)
    put(StorageManager.storage("bucket"), "key", b"<script>", content_type="text/html")
    file = File.decode({
        "path": "bucket/key", "upload_storage": "bucket", "file_id": "key", "saved": True,
        "filename": "grüße.html", "content_type": "text/html", "size": 8,
    })  # fmt: skip
    server = FileServer(secret="0123456789abcdef", delivery="redirect")
    url = server.url_for(file, disposition="inline").removeprefix(server.url)
    found = Client(server.wsgi).get(url)
    assert (found.status_code, found.data) == (302, b"")
    answer = requests.get(found.headers["Location"], timeout=10)
    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")


def test_a_url_stays_as_it_is_where_nothing_can_be_added(s3_store: S3Store) -> None:
    from sqlalchemy_file.storage.obstore.signing import with_answer

    address = "https://bucket.example/key?X-Amz-Signature=0123&X-Amz-Credential=a/b/c/d/e"
    assert with_answer(s3_store, address, TYPE, DISPOSITION) == address
    store = GCSStore("bucket", skip_signature=True)
    assert with_answer(store, address, TYPE, DISPOSITION) == address
