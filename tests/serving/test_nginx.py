"""nginx: what it answers to the table of requests, and how it sends our files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.routing import Mount

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.serving import FileServer, XAccelRedirect
from tests.services import nginx
from tests.services.processes import private_folder
from tests.services.required import require
from tests.services.web import serving

from .checking import difference
from .models import SECRET, saved
from .raw_client import RawClient
from .table import DATA, MODIFIED, ROWS

ROOT = Path(__file__).parents[2]
CLOSE = ("Connection", "close")  # it announces to keep a connection, and drops it after a 412


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder that nginx can read."""
    require(nginx)
    with private_folder("served") as folder:
        yield folder


def test_nginx_differs_from_the_table_where_that_is_explained(folder: Path) -> None:
    path = folder / "a.png"
    path.write_bytes(DATA)
    os.utime(path, (MODIFIED.timestamp(), MODIFIED.timestamp()))
    path.chmod(0o644)
    with nginx.of_folder(folder) as port:
        differences = dict(unexplained(RawClient(f"http://127.0.0.1:{port}"), "/a.png"))
    assert differences == {}


def unexplained(client: RawClient, path: str) -> Iterator[tuple[str, str]]:
    """Yield the rows that are not answered as nginx is known to answer."""
    etag = client.ask(path, lines=[CLOSE]).header("etag") or ""
    for row in ROWS:
        expected = row.nginx or row
        answer = client.ask(path, row.method, [*row.lines(etag), CLOSE])
        found = difference(answer, row.method, expected.status, expected.sent)
        if found:
            yield row.label, found


@pytest.fixture
def storage_url(folder: Path) -> str:
    return folder.as_uri()


@pytest.fixture
def front(folder: Path, files: FileServer) -> Iterator[RawClient]:
    """Return nginx before an application, with the location that the guide shows."""
    guide = (ROOT / "docs/how-to/serve.md").read_text()
    (location,) = re.findall(r"```nginx\n(.*?)```", guide, re.DOTALL)
    location = location.replace("/srv/files/", f"{folder}/")
    app = Starlette(routes=[Mount(files.path, app=files.asgi)])
    with serving(app) as url, nginx.before(url, location) as port:
        yield RawClient(f"http://127.0.0.1:{port}")


@pytest.fixture
def files() -> FileServer:
    return FileServer(secret=SECRET, delivery=XAccelRedirect("/protected/"))


@pytest.fixture
def file(engine: Engine, folder: Path) -> File:
    file = File.decode({**saved(engine, DATA, "a.png"), "content_type": "image/png"})
    path = StorageManager.storage("main").path(file["file_id"])
    path.chmod(0o644)
    os.utime(path, (MODIFIED.timestamp(), MODIFIED.timestamp()))
    return file


def test_what_nginx_sends_for_us_is_answered_as_nginx_answers(
    front: RawClient, files: FileServer, file: File
) -> None:
    ours = {row.label for row in ROWS if row.method == "OPTIONS"}
    differences = dict(unexplained(front, files.url_for(file)))
    assert differences.keys() == ours, differences


def test_what_nginx_sends_for_us_keeps_the_headers_that_protect(
    front: RawClient, files: FileServer, file: File
) -> None:
    found = front.ask(files.url_for(file, filename="grüße.png"), lines=[CLOSE])
    assert found.body == DATA
    assert "filename*=UTF-8''gr%C3%BC%C3%9Fe.png" in (found.header("content-disposition") or "")
    assert found.header("content-type") == "image/png"
    assert "sandbox" in (found.header("content-security-policy") or "")
    assert found.header("x-content-type-options") == "nosniff"
    assert found.header("cross-origin-resource-policy") == "same-origin"
    assert found.header("referrer-policy") == "no-referrer"
    assert "private" in (found.header("cache-control") or "")


def test_nobody_reaches_the_folder_of_nginx_without_us(
    front: RawClient, files: FileServer, file: File
) -> None:
    assert front.ask(f"/protected/{file['file_id']}", lines=[CLOSE]).status == 404
    assert front.ask(files.url_for(file)[:-20], lines=[CLOSE]).status == 403
