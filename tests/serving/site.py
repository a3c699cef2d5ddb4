"""A small web site with a file server, which notes what browsers ask it for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from sqlalchemy_file.serving import FileServer
from tests.services.web import serving


class Exchange(NamedTuple):
    """A request for a file, and the status of its answer."""

    url: str
    headers: dict[str, str]
    status: int


class Site:
    """An ASGI application with ``html`` at its root, stored files, and a place to report to.

    ``careless`` holds files by name, each with a content type, that are served without any
    protection.
    """

    def __init__(self, files: FileServer) -> None:
        self.url = ""
        self.html = ""
        self.exchanges: list[Exchange] = []
        self.reports: list[str] = []
        self.careless: dict[str, tuple[bytes, str]] = {}
        self._files = files.asgi
        self._app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/report/{name:path}", self._report),
                Route("/careless/{name:path}", self._careless),
                Mount(files.path, app=self._noting),
            ]
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(self.html)

    async def _report(self, request: Request) -> Response:
        self.reports.append(request.path_params["name"])
        return Response()

    async def _careless(self, request: Request) -> Response:
        content, kind = self.careless[request.path_params["name"]]
        return Response(content, media_type=kind)

    async def _noting(self, scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            if message["type"] == "http.response.start":
                names = {name.decode(): value.decode() for name, value in scope["headers"]}
                self.exchanges.append(Exchange(scope["path"], names, message["status"]))
            await send(message)

        await self._files(scope, receive, note)


@contextmanager
def open_site(files: FileServer) -> Iterator[Site]:
    """Serve a site until the block is left."""
    site = Site(files)
    with serving(site) as url:
        site.url = url
        yield site
