"""A bucket that dies while a server sends its objects: no answer is short."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from random import Random
from urllib.parse import urlencode, urlsplit

import pytest
from obstore.store import S3Store

from sqlalchemy_file import StorageManager
from tests.crash.faulty_line import FaultyLine
from tests.scenarios.s3 import Bucket
from tests.services.ceph import S3Server

from .models import record
from .served import files
from .servers import uvicorn_process

CONTENT = Random(1).randbytes(6_000_000) * 10  # more than the buffers of all connections
PART = CONTENT[:6_000_000]


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    name = f"dying-{uuid.uuid4()}"
    with closing(Bucket(s3_server, name)) as bucket:
        bucket.create()
    store = S3Store(
        name,
        endpoint=s3_server.url,
        region="us-east-1",
        access_key_id=s3_server.access_key,
        secret_access_key=s3_server.secret_key,
        client_options={"allow_http": True},
    )
    store.put("large", CONTENT)
    store.put("small", PART)
    return name


def line_to(server: S3Server, cuts: float) -> FaultyLine:
    return FaultyLine(server.host, server.port, 7, cuts=cuts, delay=0)


@contextmanager
def served(s3_server: S3Server, bucket: str, line: FaultyLine) -> Iterator[str]:
    """Run a server whose bucket is at the other end of a line; yield its address."""
    StorageManager.add_storage("main", "memory://")  # here, where URLs are only signed
    options = {"region": "us-east-1", "read_timeout": 5, "max_retries": 1, "retry_timeout": 5}
    query = urlencode({"endpoint": f"http://127.0.0.1:{line.port}", **options})
    keys = {"AWS_ACCESS_KEY_ID": s3_server.access_key}
    keys["AWS_SECRET_ACCESS_KEY"] = s3_server.secret_key
    with uvicorn_process(SERVED_URL=f"s3://{bucket}?{query}", **keys) as url:
        yield urlsplit(url).netloc


@contextmanager
def asked(server: str, key: str, size: int, **headers: str) -> Iterator[HTTPResponse]:
    file = record(path=f"main/{key}", file_id=key, size=size)
    with closing(HTTPConnection(server, timeout=60)) as client:
        client.request("GET", files.url_for(file), headers=headers)
        yield client.getresponse()


def test_a_bucket_that_dies_cuts_the_connection_and_is_unavailable_from_then_on(
    s3_server: S3Server, bucket: str
) -> None:
    with ExitStack() as alive:
        line = alive.enter_context(line_to(s3_server, cuts=0))
        with served(s3_server, bucket, line) as server:
            with asked(server, "large", len(CONTENT)) as answer:
                assert answer.status == 200
                received = answer.read(100_000)
                alive.close()
                with pytest.raises((HTTPException, OSError)):
                    received += answer.read()
            assert CONTENT.startswith(received)
            with asked(server, "large", len(CONTENT)) as later:
                assert later.status in (503, 504)
                assert later.headers["Content-Type"] == "application/problem+json"


def test_over_a_bad_line_no_answer_is_short(s3_server: S3Server, bucket: str) -> None:
    def download(number: int) -> bool:
        start = number * 1000
        headers = {"Range": f"bytes={start}-"} if number % 2 else {}
        with asked(server, "small", len(PART), **headers) as answer:
            try:
                body = answer.read()
            except (HTTPException, OSError):
                return False
            if answer.status in (503, 504):
                return False
            assert answer.status == (206 if number % 2 else 200)
            assert body == (PART[start:] if number % 2 else PART)
            return True

    with (
        line_to(s3_server, cuts=0.003) as line,
        served(s3_server, bucket, line) as server,
        ThreadPoolExecutor(12) as clients,
    ):
        assert not all(clients.map(download, range(12)))
