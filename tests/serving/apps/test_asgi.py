"""The file server as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from obstore.store import MemoryStore
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from sqlalchemy_file import StorageManager
from sqlalchemy_file.serving import FileServer, RequestFacts
from tests.serving.models import SECRET, Base, saved
from tests.stores import sqlite

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Return an engine of rows whose files are in a storage with coroutines of its own."""
    StorageManager.add_storage("main", MemoryStore())
    engine = sqlite(Base)
    yield engine
    engine.dispose()


def client_of(files: FileServer) -> TestClient:
    return TestClient(Starlette(routes=[Mount(files.path, app=files.asgi)]))


def test_a_storage_with_coroutines_is_read_by_them(engine: Engine) -> None:
    files = FileServer(secret=SECRET)
    url = files.url_for(saved(engine, CONTENT, "a.bin"))
    client = client_of(files)
    assert client.get(url).content == CONTENT
    assert client.get(url, headers={"Range": "bytes=10-19"}).content == CONTENT[10:20]
    parts = client.get(url, headers={"Range": "bytes=0-1,500-501"})
    assert (parts.status_code, parts.content.count(b"Content-Range")) == (206, 2)
    assert client.head(url).headers["content-length"] == str(len(CONTENT))
    assert client.post(url).status_code == 405


@pytest.mark.parametrize(("allowed", "status"), [(True, 200), (False, 403)])
def test_authorize_may_be_a_coroutine_function(engine: Engine, allowed: bool, status: int) -> None:
    async def authorize(request: RequestFacts, target: Any) -> bool:
        await asyncio.sleep(0)
        return allowed

    files = FileServer(secret=SECRET, authorize=authorize)
    url = files.url_for(saved(engine, CONTENT, "a.bin"))
    assert client_of(files).get(url).status_code == status


def test_other_protocols_are_refused() -> None:
    files = FileServer(secret=SECRET)
    scope = {"type": "websocket", "path": "/"}
    with pytest.raises(RuntimeError, match="answers HTTP requests, not 'websocket'"):
        asyncio.run(files.asgi(scope, None, None))
