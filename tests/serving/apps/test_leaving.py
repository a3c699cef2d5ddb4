"""Clients that leave in the middle of a download."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from sqlalchemy_file import StorageManager
from sqlalchemy_file.integrations.starlette import FileResponse
from sqlalchemy_file.serving.target import Target
from sqlalchemy_file.storage import Attributes, ObjectInfo
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.services.web import serving
from tests.serving.models import saved
from tests.serving.raw_client import RawClient
from tests.serving.served import files
from tests.serving.servers import flask_server, uvicorn

SIZE = 1 << 40


class EndlessStorage(MemoryStorage):
    """A storage whose object never ends; it tells when nobody reads it any more."""

    def __init__(self) -> None:
        super().__init__()
        self.put("key", io.BytesIO(), Attributes())
        self.released = threading.Event()

    def stat(self, key: str) -> ObjectInfo:
        return replace(super().stat(key), size=SIZE)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(64 * 1024)
        finally:
            self.released.set()


class EndlessAsyncStorage(EndlessStorage):
    """The same, with coroutines of its own."""

    async def astream(self, key: str, start: int = 0, end: int | None = None) -> Any:
        try:
            while True:
                yield bytes(64 * 1024)
        finally:
            self.released.set()


@pytest.mark.parametrize(
    ("server", "storage"),
    [(uvicorn, EndlessStorage), (uvicorn, EndlessAsyncStorage), (flask_server, EndlessStorage)],
)
@pytest.mark.parametrize("received", [100, 3_000_000])
def test_nothing_more_is_read_for_a_client_that_has_left(
    storage: Any, server: Any, received: int, tmp_path: Path
) -> None:
    endless = storage()
    StorageManager.add_storage("main", endless)
    target = Target("main", "key", "application/octet-stream", "a.bin", "attachment", SIZE)
    with server(tmp_path) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as client:
            client.sendall(f"GET {_url(target)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            while received > 0:
                received -= len(client.recv(65536))
            assert not endless.released.is_set()
        assert endless.released.wait(10)


def _url(target: Target) -> str:
    expires = datetime(2126, 1, 1, tzinfo=UTC)
    return f"{files.url}/{files._signer.sign(target, expires)}/a.bin"


async def through(request: Any, call_next: Any) -> Any:
    return await call_next(request)


@pytest.mark.parametrize("url", ["own", "mounted"])
def test_who_stays_gets_everything_through_a_middleware_too(engine: Engine, url: str) -> None:
    content = bytes(range(256)) * 8000
    file = saved(engine, content, "a.bin")

    async def own(request: Request) -> Response:
        return FileResponse(request, file)

    app = Starlette(
        routes=[Route("/own", own), Mount(files.path, app=files.asgi)],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=through)],
    )
    path = "/own" if url == "own" else files.url_for(file)
    assert TestClient(app).get(path).content == content
    with serving(app) as address, closing(RawClient(address)) as client:
        assert client.ask(path).body == content
        assert client.ask(path, lines=[("Range", "bytes=-1000000")]).body == content[-1_000_000:]
