"""Storages that hang: their requests end, and take nothing with them."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import urlsplit

import pytest

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving import FileServer, budget, event_loop
from sqlalchemy_file.serving.http import ByteRange
from sqlalchemy_file.storage import Attributes, ObjectInfo
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.services.web import serving
from tests.serving.models import SECRET, record
from tests.serving.reading import astream

CONTENT = bytes(range(251)) * 6000
SIZE = len(CONTENT)
HALF = 512 * 1024


class Hanging(MemoryStorage):
    """A storage whose threads hang, at a position of the content, until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.at: int | None = None
        self.is_stat_hanging = False
        self.let_go = threading.Event()
        self.put("key", io.BytesIO(CONTENT), Attributes())

    def stat(self, key: str) -> ObjectInfo:
        if self.is_stat_hanging:
            self.let_go.wait()
        return super().stat(key)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        for chunk in super().stream(key, start, end):
            if self.at is not None and start >= self.at:
                self.let_go.wait()
            start += len(chunk)
            yield chunk


class HangingAsync(Hanging):
    """The same, with coroutines of its own."""

    async def astat(self, key: str) -> ObjectInfo:
        if self.is_stat_hanging:
            await asyncio.sleep(3600)
        return super().stat(key)

    async def astream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        for chunk in MemoryStorage.stream(self, key, start, end):
            if self.at is not None and start >= self.at:
                await asyncio.sleep(3600)
            start += len(chunk)
            yield chunk

    async def _unused(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    aput = adelete = acopy = _unused

    def alist(self, prefix: str = "", start_after: str | None = None) -> Any:
        raise NotImplementedError


@pytest.fixture(params=[Hanging, HangingAsync])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    monkeypatch.setattr(event_loop, "TIMEOUT", 0.1)
    storage: Hanging = request.param()
    StorageManager.add_storage("main", storage)
    yield storage
    storage.let_go.set()


@contextmanager
def asked(storage: Hanging, size: int | None = SIZE) -> Iterator[HTTPResponse]:
    """Yield the answer of a real server to a request for the object."""
    server = FileServer(secret=SECRET, url="")
    with serving(server.asgi) as url:
        client = HTTPConnection(urlsplit(url).netloc, timeout=10)
        with closing(client):
            client.request("GET", server.url_for(record(size=size)))
            yield client.getresponse()
        storage.let_go.set()


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_storage_that_hangs_before_the_first_byte_is_a_gateway_timeout(
    storage: Hanging, size: int | None
) -> None:
    storage.at, storage.is_stat_hanging = 0, size is None
    with asked(storage, size) as answer:
        assert answer.status == 504
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_storage_that_hangs_in_the_middle_cuts_the_connection(storage: Hanging) -> None:
    storage.at = HALF
    with asked(storage) as answer:
        assert answer.status == 200
        with pytest.raises(IncompleteRead):
            answer.read()


def test_streams_that_hang_are_given_back_to_other_downloads(
    storage: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "STREAMS", 2)
    monkeypatch.setattr(budget, "SLICES", 2)

    async def run() -> None:
        storage.at = HALF
        found = await asyncio.gather(*(whole() for _ in range(6)), return_exceptions=True)
        assert {type(each) for each in found} == {StorageError}
        storage.at = None
        assert await asyncio.gather(*(whole() for _ in range(6))) == [CONTENT] * 6
        storage.let_go.set()

    asyncio.run(run())


def test_a_storage_whose_calls_all_hang_takes_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_loop, "TIMEOUT", 0.1)
    monkeypatch.setattr(event_loop, "MOST_HANGING", 2)
    storage = Hanging()
    storage.at = 0
    StorageManager.add_storage("main", storage)

    async def run() -> None:
        for _ in range(2):
            with pytest.raises(StorageError, match="did not answer"):
                await whole()
        monkeypatch.setattr(event_loop, "TIMEOUT", 3600)
        with pytest.raises(StorageError, match="did not answer"):
            await whole()
        storage.let_go.set()
        while event_loop._hanging["main"]:  # noqa: ASYNC110  a thread ends
            await asyncio.sleep(0.01)
        assert await whole() == CONTENT

    asyncio.run(run())


async def whole() -> bytes:
    chunks = await astream("main", "key", [ByteRange(0, SIZE)])
    return b"".join([chunk async for chunk in chunks])


def test_a_request_that_can_be_cancelled_is_when_it_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_loop, "TIMEOUT", 0.01)
    cancelled = []

    async def ranges(start: int, end: int) -> AsyncGenerator[bytes, None]:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append((start, end))
            raise
        yield b""

    async def run() -> None:
        taken = event_loop.chunks_in_time("main", "key", ranges, 1, 5, can_be_cancelled=True)
        with pytest.raises(StorageError, match="did not answer") as raised:
            await anext(taken)
        assert isinstance(raised.value.__cause__, TimeoutError)

    asyncio.run(run())
    assert cancelled == [(1, 5)]
