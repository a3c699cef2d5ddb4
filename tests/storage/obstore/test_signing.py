"""Presigned URLs of Google's keys, and the client options of requests by presigned URLs."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from obstore.store import GCSStore, S3Store
from werkzeug.test import Client

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.storage import adapt
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.storage.obstore.presigned import timeout_of
from tests.serving.models import SECRET, record
from tests.storage.helpers import put
from tests.storage.server import Answer, Request
from tests.storage.test_requests import served


@pytest.fixture(scope="module")
def account() -> str:
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps(
        {
            "type": "service_account",
            "private_key": text,
            "private_key_id": "1",
            "client_email": "tests@example.iam.gserviceaccount.com",
            "client_id": "1",
        }
    )


@pytest.mark.parametrize("key", ["a/plain-1_2~.txt", "a b", "größe.pdf"])
def test_keys_that_obstore_escapes_are_signed_for_google(account: str, key: str) -> None:
    storage: Any = adapt(GCSStore("bucket", prefix="media", service_account_key=account))
    url = storage.signed_url(key, expires=60)
    assert unquote(urlsplit(url).path) == f"/bucket/media/{key}"
    assert "X-Goog-Signature=" in url


@pytest.mark.parametrize("key", [f"a{character}b" for character in "+:?#%&=,;!*'()@$[]"])
def test_keys_that_obstore_does_not_escape_are_not_signed_for_google(
    account: str, key: str
) -> None:
    storage: Any = adapt(GCSStore("bucket", service_account_key=account))
    assert storage.signed_url(key, expires=60) is None
    assert (
        storage.signed_download(key, expires=60, content_type="a/b", disposition="inline") is None
    )


def test_a_file_whose_key_cannot_be_signed_is_streamed() -> None:
    class Unsigned(MemoryStorage):
        def signed_url(self, key: str, **_: Any) -> None:
            return None

    StorageManager.add_storage("main", Unsigned())
    put(StorageManager.storage("main"), "key", bytes(100))
    server = FileServer(secret=SECRET, delivery="redirect")
    found = Client(server.wsgi).get(server.url_for(record()).removeprefix(server.url))
    assert (found.status_code, found.data) == (200, bytes(100))


def _odd(request: Request) -> Answer | None:
    """Answer with metadata that obstore does not read."""
    if "X-Amz-Signature" in request.path:
        return None
    return Answer(200, b"bytes", {"x-amz-meta-author": "Gr\xfc\xdfe", "ETag": '"1"'})


def test_requests_by_presigned_urls_have_the_headers_of_the_store() -> None:
    options = {"default_headers": {"X-Own": "own"}, "user_agent": "tests/1", "max_retries": 0}
    with served("obstore", _odd, **options) as (storage, bucket):
        storage.stat("key")
    sent = [request for request in bucket.seen if "X-Amz-Signature" in request.path]
    assert [(each.headers["x-own"], each.headers["user-agent"]) for each in sent] == [
        ("own", "tests/1")
    ]


def test_requests_by_presigned_urls_have_the_timeout_of_the_store() -> None:
    def stalls(request: Request) -> Answer | None:
        answer = _odd(request)
        return answer or Answer(200, b"by", {"Content-Length": "5", "ETag": '"1"'}, stalls=True)

    with served("obstore", stalls, read_timeout=0.3, max_retries=0) as (storage, _):
        began = time.monotonic()
        with pytest.raises(StorageError) as raised:
            b"".join(storage.stream("key"))
        assert isinstance(raised.value.__cause__, TimeoutError)
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (None, 30),
        ({}, 30),
        ({"timeout": timedelta(hours=1)}, 3600),
        ({"timeout": timedelta(hours=1), "read_timeout": timedelta(seconds=90.5)}, 90.5),
        ({"read_timeout": "2min"}, 120),
        ({"timeout": "1day 5sec", "read_timeout": "300ms"}, 0.3),
    ],
)
def test_the_timeout_of_a_store_is_the_shorter_of_those_for_reading(
    options: Any, seconds: float
) -> None:
    store = S3Store("bucket", region="us-east-1", client_options=options)
    assert timeout_of(store) == pytest.approx(seconds)
