"""The servers that applications run under, each with our file server in it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import flask

from tests.services.processes import free_port, private_folder, server_process, started
from tests.services.web import serving, serving_wsgi

from . import served

Server = Callable[[Path], AbstractContextManager[str]]
"""Serves the files of a folder until its block is left, and yields its URL."""

ROOT = Path(__file__).parents[2]


@contextmanager
def uvicorn(folder: Path) -> Iterator[str]:
    with serving(served.asgi) as url:
        yield url


@contextmanager
def flask_server(folder: Path) -> Iterator[str]:
    app = flask.Flask(__name__)
    app.wsgi_app = served.wsgi  # type: ignore[method-assign]
    with serving_wsgi(app) as url:
        yield url


def granian(folder: Path) -> AbstractContextManager[str]:
    options = ["--interface", "asgi", "--workers", "1", "--host", "127.0.0.1", "--port", "{port}"]
    return started(partial(_process, ["granian", *options, "tests.serving.served:asgi"], folder))


def gunicorn(folder: Path) -> AbstractContextManager[str]:
    options = ["--bind", "127.0.0.1:{port}", "--chdir", str(ROOT)]
    return started(partial(_process, ["gunicorn", *options, "tests.serving.served:wsgi"], folder))


SERVERS: dict[str, Server] = {
    "uvicorn": uvicorn,
    "granian": granian,
    "gunicorn": gunicorn,
    "flask": flask_server,
}


def uvicorn_process(**environment: str) -> AbstractContextManager[str]:
    """Run uvicorn in a process of its own, with the storage that the environment names."""
    options = ["--host", "127.0.0.1", "--port", "{port}", "--log-level", "critical"]
    module = ["uvicorn", *options, "tests.serving.served:asgi"]
    return started(partial(_process, module, None, environment=environment))


def _process(
    module: list[str],
    folder: Path | None,
    stack: ExitStack,
    environment: Mapping[str, str] | None = None,
) -> str:
    home = stack.enter_context(private_folder(module[0]))
    port = free_port()
    command = [sys.executable, "-m", *(each.format(port=port) for each in module)]
    paths = [str(ROOT / "src"), str(ROOT)]
    storage = {"SERVED_FOLDER": str(folder)} if folder else {}
    environment = {**storage, **(environment or {}), "PYTHONPATH": ":".join(paths)}
    process = server_process(command, home, partial(_answers, port), environment=environment)
    stack.enter_context(process)
    return f"http://127.0.0.1:{port}"


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
