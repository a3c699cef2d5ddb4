"""Applications for servers that run in processes of their own: they import this module.

``SERVED_FOLDER`` is the folder of the one storage, or ``SERVED_URL`` its URL.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from sqlalchemy_file import StorageManager
from sqlalchemy_file.serving import FileServer
from tests.serving.models import SECRET

BODY_BY = "x-body-by"
"""A header that tells which message carried the body."""

files = FileServer(secret=SECRET)
wsgi = DispatcherMiddleware(NotFound(), {files.path: files.wsgi})
_mounted = Starlette(routes=[Mount(files.path, app=files.asgi)])


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    started: list[Any] = []

    async def note(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.append(message)
            return
        for start in started:
            kind = message["type"].encode()
            await send({**start, "headers": [*start["headers"], (BODY_BY.encode(), kind)]})
        started.clear()
        await send(message)

    await _mounted(scope, receive, note)


if folder := os.environ.get("SERVED_FOLDER"):
    StorageManager.add_storage("main", Path(folder).as_uri())
if address := os.environ.get("SERVED_URL"):
    StorageManager.add_storage("main", address)
