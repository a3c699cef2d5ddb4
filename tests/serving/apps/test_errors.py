"""Errors of a storage that were answered."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.storage import ObjectInfo
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.serving.models import SECRET, record


class Failing(MemoryStorage):
    """A storage that fails, and knows its errors as long as others do."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[weakref.ref[StorageError]] = []

    def stat(self, key: str) -> ObjectInfo:
        raise self._error()

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        raise self._error()

    def _error(self) -> StorageError:
        error = StorageError("out of order", key="key")
        self.errors.append(weakref.ref(error))
        return error


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def storage() -> Failing:
    storage = Failing()
    StorageManager.add_storage("main", storage)
    return storage


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_error_that_was_answered_in_a_thread_is_not_kept(storage: Failing, method: str) -> None:
    answered: list[str] = []
    server = FileServer(secret=SECRET, url="")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": server.url_for(record())}
    list(server.wsgi(environ, lambda status, _headers: answered.append(status)))
    assert answered == ["503 Service Unavailable"]
    assert [error() for error in storage.errors] == [None]


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_error_that_was_answered_by_a_coroutine_is_not_kept(
    storage: Failing, method: str
) -> None:
    answered: list[int | None] = []
    server = FileServer(secret=SECRET, url="")
    scope = {"type": "http", "method": method, "path": server.url_for(record()), "headers": []}

    async def send(message: Any) -> None:
        answered.append(message.get("status"))

    async def run() -> None:
        await server.asgi(scope, asyncio.Event().wait, send)
        async with asyncio.timeout(10):
            while storage.errors[0]():  # noqa: ASYNC110  the thread that has raised it goes on
                await asyncio.sleep(0.001)

    asyncio.run(run())
    assert answered == [503, None]
