"""A web application on 127.0.0.1, in a thread, next to the test that asks it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.services.processes import PATIENCE


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """Serve an ASGI application until the block is left; yield its URL, without a last slash."""
    config = uvicorn.Config(app, log_level="warning", lifespan="off", **options)
    server = uvicorn.Server(config)
    # A port that it looked for itself could be somebody else's by then.
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_run, args=(server, listening), name="uvicorn", daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True  # browsers keep their connections open
        thread.join(PATIENCE)


@contextmanager
def serving_wsgi(app: Any) -> Iterator[str]:
    """Serve a WSGI application by Werkzeug's server until the block is left; yield its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="werkzeug")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(WSGIRequestHandler):
    def log_request(self, *args: Any) -> None:
        pass


def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    with listening:
        asyncio.run(_serve(server, listening))


async def _serve(server: uvicorn.Server, listening: socket.socket) -> None:
    await server.serve([listening])
    for connection in list(server.server_state.connections):
        if connection.transport is not None:
            connection.transport.abort()
    while server.server_state.connections:  # noqa: ASYNC110  they have no event for it
        await asyncio.sleep(0.01)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + PATIENCE
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("uvicorn did not start; its output says why")
        time.sleep(0.01)
