"""Redirects to presigned URLs, and how long a client may keep them."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from obstore.store import GCSStore, S3Store
from werkzeug.test import Client

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.serving import FileServer, Redirect
from sqlalchemy_file.storage import Attributes
from tests.serving.models import SECRET, record

RECORD = {
    "path": "bucket/key", "upload_storage": "bucket", "file_id": "key", "saved": True,
    "filename": "a.png", "content_type": "image/png", "size": 8,
}  # fmt: skip


@pytest.fixture
def file() -> File:
    """Return the record of a file in a bucket; signing a URL asks no server."""
    store = S3Store("bucket", region="us-east-1", access_key_id="key", secret_access_key="secret")
    StorageManager.add_storage("bucket", store)
    return File.decode(RECORD)


def get(server: FileServer, file: File) -> Any:
    return Client(server.wsgi).get(server.url_for(file).removeprefix(server.url))


def test_type_and_disposition_are_signed_into_the_url(file: File) -> None:
    found = get(FileServer(secret=SECRET, delivery="redirect"), file)
    assert found.status_code == 302
    query = parse_qs(urlsplit(found.headers["Location"]).query)
    assert query["response-content-type"] == ["image/png"]
    assert query["response-content-disposition"] == ['inline; filename="a.png"']
    assert "secret" not in found.headers["Location"]
    assert found.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("expires", "longest"), [(timedelta(minutes=1), 30), (timedelta(hours=9), 7.5 * 60)]
)
def test_a_redirect_does_not_outlive_its_url(
    file: File, expires: timedelta, longest: float
) -> None:
    server = FileServer(secret=SECRET, delivery=Redirect(expires))
    cache = get(server, file).headers["Cache-Control"]
    assert cache.startswith("private, max-age=")
    assert 0 < int(cache.removeprefix("private, max-age=")) <= longest


def test_a_redirect_that_the_application_allowed_is_not_kept(file: File) -> None:
    server = FileServer(secret=SECRET, delivery="redirect", authorize=lambda request, target: True)
    assert get(server, file).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(seconds=-1), timedelta(days=8)])
def test_a_redirect_that_no_bucket_would_sign_is_refused(expires: timedelta) -> None:
    with pytest.raises(ValueError, match="at most seven days"):
        Redirect(expires)


def test_a_url_is_signed_beside_the_event_loop(file: File, monkeypatch: Any) -> None:
    from starlette.testclient import TestClient

    threads = []
    original = Redirect._signed

    def signed(self: Redirect, *args: Any) -> str | None:
        threads.append(threading.current_thread().name)
        return original(self, *args)

    monkeypatch.setattr(Redirect, "_signed", signed)
    server = FileServer(secret=SECRET, delivery="redirect")
    url = server.url_for(file).removeprefix(server.url)
    found = TestClient(server.asgi, follow_redirects=False).get(url)
    assert found.status_code == 302
    assert [name.partition("_")[0] for name in threads] == ["sqlalchemy-file"]


def signed_by_google(url: str, key: rsa.RSAPublicKey) -> bool:
    """Return True if a URL has a V4 signature of this key, as Google documents it."""
    parts = urlsplit(url)
    pairs = [pair for pair in parts.query.split("&") if not pair.startswith("X-Goog-Signature=")]
    query = parse_qs(parts.query)
    canonical = "\n".join(
        ["GET", parts.path, "&".join(sorted(pairs)), f"host:{parts.netloc}", "", "host",
         "UNSIGNED-PAYLOAD"]
    )  # fmt: skip
    (moment,), (credential,) = query["X-Goog-Date"], query["X-Goog-Credential"]
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    scope = credential.partition("/")[2]
    signed = f"GOOG4-RSA-SHA256\n{moment}\n{scope}\n{hashed}"
    try:
        signature = bytes.fromhex(query["X-Goog-Signature"][0])
        key.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def test_google_accepts_the_signature_of_a_redirect() -> None:
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"private_key": private, "private_key_id": "1", "client_email": "a@example.com"}
    more = {"client_id": "1", "type": "service_account", "disable_oauth": False}
    store = GCSStore("bucket", service_account_key=json.dumps({**account, **more}))
    StorageManager.add_storage("bucket", store)
    file = File.decode({**RECORD, "path": "bucket/für/a b.png", "file_id": "für/a b.png"})
    found = get(FileServer(secret=SECRET, delivery=Redirect(timedelta(minutes=7))), file)
    url = found.headers["Location"]
    assert urlsplit(url).path == "/bucket/f%C3%BCr/a%20b.png"
    assert parse_qs(urlsplit(url).query)["X-Goog-Expires"] == ["420"]
    assert signed_by_google(url, key.public_key())
    assert not signed_by_google(url.replace("a%20b", "b%20b"), key.public_key())
    assert not signed_by_google(url.replace("Expires=420", "Expires=421"), key.public_key())


def test_files_of_a_storage_that_cannot_sign_are_streamed() -> None:
    StorageManager.add_storage("main", "memory://")
    StorageManager.storage("main").put("key", io.BytesIO(b"content"), Attributes())
    found = get(FileServer(secret=SECRET, delivery="redirect"), record(size=7))
    assert (found.status_code, found.data) == (200, b"content")
