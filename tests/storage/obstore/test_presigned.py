"""What obstore cannot send, read or list is asked for by presigned URLs."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from obstore.store import S3Store

from sqlalchemy_file.exceptions import (
    DeletionError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage import Attributes, adapt
from tests.storage.server import Answer, Bucket, Request, answering
from tests.storage.test_requests import served
from tests.stores import no_warnings

KINDS = ["obstore", "libcloud"]
DATES = {"Last-Modified": "Mon, 02 Feb 2026 10:00:00 GMT", "ETag": '"1"'}


@pytest.fixture(params=["threads", "coroutines"])
def call(request: pytest.FixtureRequest) -> Any:
    """Return a function that calls a method of a storage, or its coroutine."""

    async def collected(items: AsyncIterator[Any]) -> list[Any]:
        return [item async for item in items]

    def in_loop(storage: Any, method: str, *arguments: Any) -> Any:
        answer = getattr(storage, f"a{method}")(*arguments)
        if method in ("stream", "list"):
            return asyncio.run(collected(answer))
        return asyncio.run(answer)

    def in_thread(storage: Any, method: str, *arguments: Any) -> Any:
        answer = getattr(storage, method)(*arguments)
        return list(answer) if isinstance(answer, Iterator) else answer

    return in_thread if request.param == "threads" else in_loop


class Listed:
    """Answers listings, three keys at a time, by the first way or by both."""

    def __init__(self, *keys: str, versions: str = "1") -> None:
        self.keys = sorted(keys)
        self.versions = versions

    def __call__(self, request: Request) -> Answer | None:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if request.method != "GET" or parts.path.rstrip("/") != "/bucket":
            return None
        if is_second := "list-type" in query and "2" in self.versions:
            after = query.get("continuation-token") or query.get("start-after", "")
        else:
            after = query.get("marker", "")
        behind = [
            key for key in self.keys if key > after and key.startswith(query.get("prefix", ""))
        ]
        page, rest = behind[:3], behind[3:]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>1</Size>"
            "<LastModified>2026-02-02T10:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        told = f"<IsTruncated>{'true' if rest else 'false'}</IsTruncated>"
        if rest and is_second:
            told += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        return Answer(200, f"<ListBucketResult>{told}{entries}</ListBucketResult>".encode())


def _keys(kind: str, *keys: str) -> list[str]:
    return [f"prefix/{key}" if kind == "obstore" else key for key in keys]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("prefix", "after", "expected"),
    [("", None, "abcdefgh"), ("", "d", "efgh"), ("b", None, "b"), ("", "z", "")],
)
def test_a_server_that_ignores_the_second_way_to_list_is_asked_the_first_way(
    kind: str, call: Any, prefix: str, after: str | None, expected: str
) -> None:
    with served(kind, Listed(*_keys(kind, *"abcdefgh"))) as (storage, _):
        for _ in range(2):
            found = call(storage, "list", prefix, after)
            assert [info.key for info in found] == list(expected)
            assert all(info.size == 1 for info in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_knows_the_second_way_is_asked_once_whether_it_does(kind: str) -> None:
    with served(kind, Listed(*_keys(kind, *"abcd"), versions="12")) as (storage, bucket):
        for requests in (3, 2, 2):
            bucket.seen.clear()
            assert [info.key for info in storage.list()] == list("abcd")
            assert len(bucket.seen) == requests
            assert all("list-type=2" in request.path for request in bucket.seen)


def test_a_listing_that_cannot_be_completed_is_an_error(call: Any) -> None:
    keys = {"access_key_id": "key", "secret_access_key": "hunter2", "expires_at": None}
    with answering(Bucket(Listed(*"abcdefgh"))) as port:
        storage = adapt(
            "s3://bucket",
            endpoint=f"http://127.0.0.1:{port}",
            region="us-east-1",
            credential_provider=lambda: keys,
        )
        with pytest.raises(StorageError, match="listed with a secret key in the options") as caught:
            call(storage, "list")
    assert "hunter2" not in str(caught.value)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """Return what a server on localhost needs for TLS, and its certificate, which it has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    path, private = folder / "localhost.pem", folder / "key.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return context, path


@pytest.mark.parametrize("option", ["root_certificate", "allow_invalid_certificates", None])
def test_certificates_are_checked_as_the_options_of_the_client_say(
    certified: tuple[ssl.SSLContext, Path], call: Any, option: str | None
) -> None:
    context, path = certified
    values = {"root_certificate": path.read_bytes(), "allow_invalid_certificates": True}
    with answering(Bucket(Listed(*"abcdefgh")), context) as port:
        store = S3Store(
            "bucket",
            endpoint=f"https://localhost:{port}",
            region="us-east-1",
            access_key_id="key",
            secret_access_key="hunter2",
            client_options={option: values[option]} if option else {},
            retry_config={"max_retries": 0},
        )
        storage = adapt(store)
        if option is None:
            with pytest.raises(StorageError, match="error sending request"):
                call(storage, "list")
        else:
            assert [info.key for info in call(storage, "list")] == list("abcdefgh")


def test_a_server_that_lists_the_same_again_and_again_is_given_up(call: Any) -> None:
    def fault(request: Request) -> Answer | None:
        return Listed(*_keys("obstore", *"abcdefgh"))(Request("GET", "/bucket", {}, b"", 0))

    with (
        served("obstore", fault) as (storage, _),
        pytest.raises(StorageError, match="again and again"),
    ):
        call(storage, "list")


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_obstore_does_not_take_are_listed(kind: str, call: Any) -> None:
    keys = ["a", "a//b", "b+c d", "c", "ü&<", "x//"]
    with served(kind, Listed(*_keys(kind, *keys), versions="12")) as (storage, _):
        assert [info.key for info in call(storage, "list")] == sorted(keys)
        assert [info.key for info in call(storage, "list", "", "b")] == sorted(keys)[2:]


def _with_odd_headers(request: Request) -> Answer | None:
    if request.method not in ("GET", "HEAD") or "/key" not in request.path:
        return None
    odd = {"x-amz-meta-author": "Grüße".encode().decode("latin-1"), "Content-Type": "text/x"}
    wanted = request.headers.get("range", "bytes=0-9").removeprefix("bytes=").partition("-")
    first, last = int(wanted[0]), int(wanted[2] or 9)
    if first > 9:
        return Answer(416)
    body = b"0123456789"[first : last + 1]
    status = 206 if "range" in request.headers else 200
    span = {"Content-Range": f"bytes {first}-{last}/10"} if status == 206 else {}
    return Answer(status, body, {**DATES, **odd, **span})


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_with_metadata_beyond_ascii_is_read(kind: str, call: Any) -> None:
    with served(kind, _with_odd_headers) as (storage, bucket):
        info = call(storage, "stat", "key")
        assert info.attributes == Attributes(content_type="text/x", metadata={"author": "Grüße"})
        assert (info.size, info.etag, info.last_modified.year) == (10, "1", 2026)
        assert b"".join(call(storage, "stream", "key")) == b"0123456789"
        assert b"".join(call(storage, "stream", "key", 2, 5)) == b"234"
        assert b"".join(call(storage, "stream", "key", 7)) == b"789"
        assert call(storage, "stream", "key", 20, 30) == []
        assert call(storage, "copy", "other", "key").size == 10
    assert "hunter2" not in str(bucket.seen)


def test_the_connection_of_a_range_beyond_the_end_is_closed() -> None:
    with no_warnings(), served("obstore", _with_odd_headers) as (storage, _):
        assert list(storage.stream("key", 20, 30)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_an_object_with_metadata_beyond_ascii_is_taken(kind: str) -> None:
    with served(kind, _with_odd_headers) as (storage, bucket):
        for content in (b"bytes", bytes(6 * 1024 * 1024)):
            with pytest.raises(ObjectExistsError):
                storage.put("key", io.BytesIO(content), Attributes(), exclusive=True)
    assert {*bucket.methods} == {"HEAD"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_whose_connection_is_lost_is_not_taken_for_a_shorter_one(
    kind: str, call: Any
) -> None:
    def fault(request: Request) -> Answer | None:
        answer = _with_odd_headers(request)
        if answer and request.method == "GET":
            answer.headers["Content-Length"] = str(len(answer.body))
            answer.body = answer.body[:2]
        return answer

    with served(kind, fault) as (storage, _):
        for place in ((), (2, 8)):
            with pytest.raises(StorageError, match="bytes before the end"):
                call(storage, "stream", "key", *place)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("status", "error"), [(404, ObjectNotFoundError), (403, StorageError)])
def test_an_answer_to_a_presigned_request_is_told_without_its_url(
    kind: str, call: Any, status: int, error: type[Exception]
) -> None:
    def fault(request: Request) -> Answer | None:
        return Answer(status) if "X-Amz-Signature" in request.path else _with_odd_headers(request)

    with served(kind, fault) as (storage, _), pytest.raises(error) as caught:
        call(storage, "stat", "key")
    assert type(caught.value) is error
    assert "Signature" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 405])
def test_a_server_that_deletes_one_object_at_a_time_is_asked_for_each(
    kind: str, call: Any, status: int
) -> None:
    def fault(request: Request) -> Answer | None:
        return Answer(status) if request.method == "POST" else None

    with served(kind, fault) as (storage, bucket):
        call(storage, "delete", ["a", "b", "c"])
    deleted = [urlsplit(each.path).path for each in bucket.seen if each.method == "DELETE"]
    assert [path[-1] for path in deleted] == ["a", "b", "c"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_deletes_nothing_is_asked_no_more(kind: str, call: Any) -> None:
    with (
        served(kind, lambda request: Answer(405)) as (storage, bucket),
        pytest.raises(DeletionError, match="405") as caught,
    ):
        call(storage, "delete", ["a", "b", "c"])
    assert list(caught.value.failures) == ["a", "b", "c"]
    assert bucket.methods == ["POST", "DELETE"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_copies_nothing_gets_the_bytes_again(kind: str, call: Any) -> None:
    def fault(request: Request) -> Answer | None:
        return Answer(405) if "x-amz-copy-source" in request.headers else None

    with served(kind, fault) as (storage, bucket):
        assert call(storage, "copy", "key", "new").size == 5
    assert [each.body for each in bucket.seen if each.method == "PUT"] == [b"", b"bytes"]


# --- conflicts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "arguments",
    [("put", "key", b"bytes"), ("stat", "key"), ("stream", "key"), ("copy", "key", "new")],
)
def test_a_conflict_is_no_object_that_exists(
    kind: str, call: Any, arguments: tuple[Any, ...]
) -> None:
    def fault(request: Request) -> Answer:
        return Answer(409, b"<Error><Code>OperationAborted</Code></Error>")

    method, *rest = arguments
    if method == "put":
        rest = [rest[0], io.BytesIO(rest[1]), Attributes()]
    with served(kind, fault) as (storage, _), pytest.raises(StorageError) as caught:
        call(storage, method, *rest)
    assert not isinstance(caught.value, ObjectExistsError)
    assert "409 Conflict" in str(caught.value)
    assert "exists" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_of_a_key_that_must_be_new_is_an_object_that_exists(
    kind: str, status: int
) -> None:
    def fault(request: Request) -> Answer | None:
        return Answer(status if request.method == "PUT" else 404)

    with served(kind, fault) as (storage, _), pytest.raises(ObjectExistsError):
        storage.put("key", io.BytesIO(b"bytes"), Attributes(), exclusive=True)
