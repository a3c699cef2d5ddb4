"""Responses for the routes of an application, in the frameworks that people use."""

from __future__ import annotations

import asyncio
from typing import Any

import flask
import pytest
import quart
from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware
from litestar import Litestar, route
from litestar import Request as LitestarRequest
from litestar.handlers import asgi
from litestar.testing import TestClient as LitestarClient
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from sqlalchemy_file import StorageManager
from sqlalchemy_file.integrations import flask as flask_integration
from sqlalchemy_file.integrations import litestar as litestar_integration
from sqlalchemy_file.integrations import quart as quart_integration
from sqlalchemy_file.integrations.starlette import FileResponse
from sqlalchemy_file.serving import FileServer

from .models import SECRET, saved

CONTENT = bytes(range(256)) * 40
OPTIONS: Any = {"resource_policy": "same-site", "disposition": "inline", "filename": "b.bin"}


def starlette_client(file: Any, server: FileServer) -> Any:
    async def download(request: Request) -> FileResponse:
        return FileResponse(request, file, headers={"X-Own": "yes"}, **OPTIONS)

    app = Starlette(
        routes=[
            Route("/own", download, methods=["GET", "HEAD"]),
            Mount(server.path, app=server.asgi),
        ]
    )
    return TestClient(app)


def test_a_task_of_a_response_runs_after_its_answer(engine: Engine) -> None:
    done: list[str] = []
    task = BackgroundTask(done.append, "sent")
    file = saved(engine, CONTENT, "letter.bin")

    async def download(request: Request) -> FileResponse:
        return FileResponse(request, file, background=task)

    client = TestClient(Starlette(routes=[Route("/own", download)]))
    assert client.get("/own").content == CONTENT
    assert done == ["sent"]


def test_headers_and_cookies_that_are_set_on_a_response_are_sent(engine: Engine) -> None:
    file = saved(engine, CONTENT, "letter.bin")

    async def download(request: Request) -> FileResponse:
        response = FileResponse(request, file, headers={"Cache-Control": "no-store"})
        response.headers["X-Own"] = "yes"
        response.set_cookie("seen", "1")
        response.set_cookie("by", "me")
        return response

    found = TestClient(Starlette(routes=[Route("/own", download)])).get("/own")
    assert found.headers["X-Own"] == "yes"
    assert found.headers["Cache-Control"] == "no-store"
    assert (found.cookies["seen"], found.cookies["by"]) == ("1", "me")
    assert found.headers["Content-Length"] == str(len(found.content)) == str(len(CONTENT))


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("OPTIONS", 204)])
def test_other_methods_send_no_file(engine: Engine, method: str, status: int) -> None:
    file = saved(engine, CONTENT, "letter.bin")

    async def download(request: Request) -> FileResponse:
        return FileResponse(request, file)

    app = Starlette(routes=[Route("/own", download, methods=["POST", "OPTIONS"])])
    found = TestClient(app).request(method, "/own")
    assert (found.status_code, found.content) == (status, b"")
    assert found.headers["Allow"] == "GET, HEAD, OPTIONS"


def flask_client(file: Any, server: FileServer) -> Any:
    app = flask.Flask(__name__)

    @app.get("/own")
    def download() -> Any:
        response = flask_integration.send_file(file, **OPTIONS)
        response.headers["X-Own"] = "yes"
        return response

    app.wsgi_app = _mounted(app.wsgi_app, server)
    return _FlaskClient(app.test_client())


def _mounted(application: Any, server: FileServer) -> Any:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(application, {server.path: server.wsgi})


class _FlaskClient:
    """Flask's client, whose responses look like those of Starlette's."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def request(self, method: str, url: str, headers: dict[str, str]) -> Any:
        response = self._client.open(url, method=method, headers=headers)
        response.content = response.data
        return response


def quart_client(file: Any, server: FileServer) -> Any:
    app = quart.Quart(__name__)

    @app.get("/own")
    async def download() -> Any:
        response = await quart_integration.send_file(file, **OPTIONS)
        response.headers["X-Own"] = "yes"
        return response

    app.asgi_app = AsyncioDispatcherMiddleware({server.path: server.asgi, "": app.asgi_app})
    return TestClient(app)


def test_quart_may_send_a_file_for_longer_than_a_page(engine: Engine) -> None:
    file = saved(engine, CONTENT, "letter.bin")

    async def timeout() -> float | None:
        async with quart.Quart(__name__).test_request_context("/own"):
            response = await quart_integration.send_file(file)
            assert await response.get_data(as_text=False) == CONTENT
            return response.timeout

    assert asyncio.run(timeout()) is None


def litestar_client(file: Any, server: FileServer) -> Any:
    @route("/own", http_method=["GET", "HEAD"])
    async def download(request: LitestarRequest) -> litestar_integration.FileResponse:
        return litestar_integration.FileResponse(request, file, headers={"X-Own": "yes"}, **OPTIONS)

    @asgi(server.path, is_mount=True, copy_scope=True)
    async def files(scope: Any, receive: Any, send: Any) -> None:
        await server.asgi(scope, receive, send)

    return LitestarClient(Litestar([download, files], openapi_config=None))


CLIENTS = {
    "starlette": starlette_client,
    "flask": flask_client,
    "quart": quart_client,
    "litestar": litestar_client,
}


@pytest.fixture(params=CLIENTS.values(), ids=CLIENTS)
def make_client(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("where", ["own", "mounted"])
def test_a_file_is_sent_whole_in_ranges_and_not_at_all(
    make_client: Any, engine: Engine, where: str
) -> None:
    file = saved(engine, CONTENT, "a.bin")
    server = FileServer(secret=SECRET)
    client = make_client(file, server)
    url = "/own" if where == "own" else server.url_for(file)

    def get(method: str = "GET", **headers: str) -> Any:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.request(method, url, headers=given)

    whole = get()
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert whole.headers["Content-Length"] == str(len(CONTENT))
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    part = get(Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, CONTENT[100:200])
    several = get(Range="bytes=0-9,100-109")
    assert several.headers["Content-Type"].startswith("multipart/byteranges")
    assert several.headers["Content-Length"] == str(len(several.content))
    head = get("HEAD", Range="bytes=0-9")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(CONTENT))
    same = get(If_None_Match=whole.headers["ETag"])
    assert (same.status_code, same.content) == (304, b"")
    if where == "own":
        assert whole.headers["X-Own"] == "yes"
        assert whole.headers["Cache-Control"] == "private, no-cache"
        assert whole.headers["Cross-Origin-Resource-Policy"] == "same-site"
        # Its type runs code for all we know, so it is saved and not shown.
        assert whole.headers["Content-Disposition"] == 'attachment; filename="b.bin"'


def test_an_object_that_is_gone_is_not_found(make_client: Any, engine: Engine) -> None:
    file = saved(engine, CONTENT, "a.bin")
    client = make_client(file, FileServer(secret=SECRET))
    StorageManager.delete_file(file["path"])
    found = client.request("GET", "/own", headers={})
    assert found.status_code == 404
    assert found.headers["Content-Type"] == "application/problem+json"
