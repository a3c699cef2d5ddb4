"""The WSGI application: what it keeps after an answer."""

from __future__ import annotations

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


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_error_of_a_storage_that_was_answered_is_not_kept(method: str) -> None:
    storage, answered = Failing(), []
    StorageManager.add_storage("main", storage)
    server = FileServer(secret=SECRET, url="")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": server.url_for(record())}
    list(server.wsgi(environ, lambda status, _headers: answered.append(status)))
    assert answered == ["503 Service Unavailable"]
    assert [error() for error in storage.errors] == [None] * len(storage.errors)
    assert storage.errors
