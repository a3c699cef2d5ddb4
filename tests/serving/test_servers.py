"""The table of requests, over a socket, under the servers that applications run under."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.serving.target import RequestFacts

from .checking import difference, received
from .models import saved
from .raw_client import RawClient, Received
from .reading import answer_of
from .served import BODY_BY, files
from .servers import SERVERS
from .table import DATA, MODIFIED, ROWS, Row

OWN = {"date", "server", "connection", "keep-alive", BODY_BY}
"""Headers that the servers themselves add."""


TOO_LONG = {f"GET Range: {'bytes=' + '0-0,' * 13}0-"}
"""A line of 10 KB, which gunicorn refuses by itself (431)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[str, str]]:
    """Return the name of a running server, and its URL."""
    with SERVERS[request.param](folder) as url:
        yield request.param, url


@pytest.fixture
def name(server: tuple[str, str]) -> str:
    return server[0]


@pytest.fixture
def url(server: tuple[str, str]) -> str:
    return server[1]


@pytest.fixture
def storage_url(folder: Path) -> str:
    return folder.as_uri()


@pytest.fixture
def client(url: str) -> Iterator[RawClient]:
    with closing(RawClient(url)) as client:
        yield client


@pytest.fixture
def file(engine: Engine) -> File:
    """Return the file of the table, with its type and date."""
    described = {"content_type": "image/png", "uploaded_at": MODIFIED.isoformat()}
    return File.decode({**saved(engine, DATA, "a.png"), **described})


def test_every_row_is_answered_as_the_core_plans_it(
    name: str, client: RawClient, file: File
) -> None:
    path = files.url_for(file)
    whole = client.ask(path)
    etag = whole.header("etag") or ""
    differences = {}
    for row in ROWS:
        answer = client.ask(path, row.method, row.lines(etag))
        found = difference(answer, row.method, row.status, row.sent)
        if found is None:
            found = unlike_the_core(answer, row, file, etag)
        if found:
            differences[row.label] = found
    assert differences.keys() == (TOO_LONG if name == "gunicorn" else set()), differences


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=-5", "items=0-9"])
def test_an_empty_file_is_sent_whole(
    client: RawClient, engine: Engine, method: str, asked: str
) -> None:
    answer = client.ask(files.url_for(saved(engine, b"", "a.txt")), method, [("Range", asked)])
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("content-length") == "0"
    assert answer.header("content-range") is None


def test_who_sends_a_whole_file(name: str, client: RawClient, file: File) -> None:
    sent_by = client.ask(files.url_for(file)).header(BODY_BY)
    expected = {"uvicorn": "http.response.body", "granian": "http.response.pathsend"}
    assert sent_by == expected.get(name)


def test_a_file_cut_short_on_disk_never_arrives_as_a_whole_one(
    client: RawClient, engine: Engine
) -> None:
    file = saved(engine, b"x" * 1_000_000, "a.bin")
    path = files.url_for(file)
    assert len(client.ask(path).body) == 1_000_000
    os.truncate(StorageManager.storage("main").path(file["file_id"]), 600_000)
    assert client.ask(path).status == 503
    assert client.ask(path, lines=[("Range", "bytes=500000-")]).status == 503


def test_a_file_cut_short_while_it_is_sent_never_arrives_as_a_whole_one(
    url: str, engine: Engine
) -> None:
    file, size = saved(engine, b"x", "a.bin"), 64_000_000  # more than all buffers hold
    place = StorageManager.storage("main").path(file["file_id"])
    os.truncate(place, size)
    large = File.decode({**file, "size": size, "checksum": None})
    address = urlsplit(url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect((address.hostname, address.port))
        request = f"GET {files.url_for(large)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        client.sendall(request.encode())
        received = [len(client.recv(1000))]
        os.truncate(place, 1_000_000)
        with suppress(ConnectionResetError):
            while chunk := client.recv(1_000_000):
                received.append(len(chunk))
    assert 1000 <= sum(received) < size


def unlike_the_core(answer: Received, row: Row, file: File, etag: str) -> str | None:
    """Return how the headers differ from those that the core plans, or None."""
    request = RequestFacts(
        row.method, files.url_for(file).removeprefix(files.url), row.joined(etag), {}
    )
    planned = received(answer_of(files.answering(request)).plan).headers
    sent = [pair for pair in answer.headers if pair[0] not in OWN]
    if _comparable(sent) == _comparable(planned):
        return None
    return f"headers {sorted(sent)}, planned {sorted(planned)}"


def _comparable(headers: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the headers without what differs from answer to answer."""
    return {
        (name, value.partition("=")[0] if name in ("cache-control", "content-type") else value)
        for name, value in headers
    }
