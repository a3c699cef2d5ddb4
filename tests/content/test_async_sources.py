"""Asynchronous content: what only an event loop can read is stored, or refused with advice."""

from __future__ import annotations

import asyncio
import io
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import BodyPartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy
from obstore.store import MemoryStore
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import ContentSpentError
from sqlalchemy_file.storage.common import streams
from tests.asynchronous import DRIVERS, add_flaky, address_for, play
from tests.models import Base, Paper
from tests.scenarios.flaky import FlakyStorage
from tests.stores import add_memory, contents, keys, no_warnings, sqlite

DATA = bytes(range(256)) * 5000
"""More than is kept in memory."""


@pytest.fixture
def storage() -> FlakyStorage:
    return add_flaky()


@pytest.fixture(params=DRIVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address_for(request, tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/x.db"


async def sent(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


class AsyncReader:
    """What aiofiles opens: a file whose methods are coroutines."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self.name = "folder/read.txt"

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self._stream.read(size)

    async def seekable(self) -> bool:
        return True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("line by line is slow")
        yield b""


async def _opened(data: bytes, folder: Path) -> Any:
    await anyio.Path(folder / "opened.bin").write_bytes(data)
    return await anyio.open_file(folder / "opened.bin", "rb")


async def _part(data: bytes, folder: Path) -> BodyPartReader:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), limit=2**24, loop=loop)
    stream.feed_data(data + b"\r\n--boundary--")
    stream.feed_eof()
    return BodyPartReader(b"--boundary", CIMultiDictProxy(CIMultiDict()), stream)


async def _stream(data: bytes, folder: Path) -> StreamReader:
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), limit=2**24)
    stream.feed_data(data)
    stream.feed_eof()
    return stream


async def _iterator(data: bytes, folder: Path) -> AsyncIterator[bytes]:
    return sent(data[:9], b"", data[9:])


async def _reader(data: bytes, folder: Path) -> AsyncReader:
    return AsyncReader(data)


async def _upload(data: bytes, folder: Path) -> UploadFile:
    return UploadFile(io.BytesIO(data), filename="star.txt")


async def _close(content: Any) -> None:
    """Close what was opened above: it was not closed by reading it."""
    if isinstance(content, anyio.AsyncFile):
        assert not content.wrapped.closed
        await content.aclose()


KINDS = {
    "iterator": _iterator,
    "reader": _reader,
    "anyio's file": _opened,
    "aiohttp's part": _part,
    "aiohttp's stream": _stream,
    "Starlette's upload": _upload,
}


# --- in a session


@pytest.mark.parametrize("data", [b"", b"short", DATA], ids=len)
@pytest.mark.parametrize("kind", KINDS)
def test_asynchronous_content_is_stored(
    sqlite_url: str, storage: FlakyStorage, kind: str, data: bytes, tmp_path: Path
) -> None:
    async def story(session: AsyncSession) -> None:
        content = await KINDS[kind](data, tmp_path)
        session.add(Paper(id=2, body=File(content)))
        with no_warnings():
            await session.commit()
        await _close(content)

    assert play(sqlite_url, storage, story) == sorted([data, b"old", b"page"])


def test_it_is_stored_whichever_way_it_comes_into_a_row(url: str, storage: FlakyStorage) -> None:
    async def story(session: AsyncSession) -> None:
        pages = [File(sent(b"page 1")), File(b"page 2"), File(AsyncReader(b"page 3"))]
        session.add(Paper(id=2, body=File(sent(b"single")), pages=pages))
        session.add(Paper(id=3, body=sent(b"not ", b"even a File")))
        await session.flush()
        rows = [{"id": 10 + n, "body": File(sent(b"bulk %d" % n))} for n in range(3)]
        await session.execute(insert(Paper), [*rows, {"id": 20, "body": sent(b"bulk 3")}])
        await session.commit()

    bulk = [b"bulk %d" % number for number in range(4)]
    pages = [b"page 1", b"page 2", b"page 3"]
    expected = [*bulk, *pages, b"single", b"not even a File", b"old", b"page"]
    assert play(url, storage, story) == sorted(expected)


def test_a_reader_gives_its_name(sqlite_url: str, storage: FlakyStorage) -> None:
    assert File(AsyncReader(b"x"))["filename"] == "read.txt"


def test_one_source_in_two_files_is_not_torn_in_two(sqlite_url: str, storage: FlakyStorage) -> None:
    async def story(session: AsyncSession) -> None:
        source = sent(*[b"%d" % n for n in range(9)])
        iterator = iter([b"%d" % n for n in range(9)])
        for number, one in enumerate([source, source, iterator, iterator]):
            session.add(Paper(id=2 + number, body=File(one)))
        await session.commit()

    expected = [b"", b"", b"012345678", b"012345678", b"old", b"page"]
    assert play(sqlite_url, storage, story) == expected


async def _failing() -> AsyncIterator[bytes]:
    yield b"some"
    raise ConnectionResetError("the client went away")


def test_a_source_that_fails_raises_its_own_error_and_leaves_nothing(
    url: str, storage: FlakyStorage
) -> None:
    async def story(session: AsyncSession) -> None:
        failing = Paper(id=3, body=File(_failing()))
        session.add_all([Paper(id=2, body=File(sent(b"x"))), failing])
        with pytest.raises(ConnectionResetError, match="went away") as caught:
            await session.commit()
        assert "for body" in caught.value.__notes__[0]
        await session.rollback()
        session.add(failing)
        with pytest.raises(ContentSpentError, match="cannot be read again"):
            await session.commit()
        await session.rollback()

    assert play(url, storage, story) == [b"old", b"page"]


async def _text() -> AsyncIterator[Any]:
    yield "text"


def test_text_is_refused(sqlite_url: str, storage: FlakyStorage) -> None:
    async def story(session: AsyncSession) -> None:
        session.add(Paper(id=2, body=File(_text())))
        with pytest.raises(TypeError, match="yield bytes, not str"):
            await session.commit()
        await session.rollback()

    assert play(sqlite_url, storage, story) == [b"old", b"page"]


# --- several at the same time


def test_asynchronous_sources_of_a_flush_are_read_at_the_same_time(
    url: str, storage: FlakyStorage
) -> None:
    async def story(session: AsyncSession) -> None:
        meeting = asyncio.Barrier(6)

        async def waiting() -> AsyncIterator[bytes]:
            await asyncio.wait_for(meeting.wait(), 20)
            yield b"x"

        pages = [File(waiting()) for _ in range(3)]
        session.add_all([Paper(id=10 + n, body=File(waiting())) for n in range(3)])
        session.add(Paper(id=2, pages=pages))
        await session.commit()

    assert play(url, storage, story) == [b"old", b"page", *[b"x"] * 6]


def test_no_more_than_a_few_sources_are_read_at_the_same_time(
    sqlite_url: str, storage: FlakyStorage
) -> None:
    now, most = 0, 0
    eight = asyncio.Event()

    async def counted() -> AsyncIterator[bytes]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 8:
            eight.set()
        await asyncio.wait_for(eight.wait(), 20)
        await asyncio.sleep(0.01)  # in which a ninth could begin
        now -= 1
        yield b"x"

    async def story(session: AsyncSession) -> None:
        session.add_all([Paper(id=10 + n, body=File(counted())) for n in range(30)])
        await session.commit()

    play(sqlite_url, storage, story)
    assert most == 8


@pytest.mark.parametrize("asynchronous", [False, True])
def test_iterators_of_a_flush_are_read_at_the_same_time(
    sqlite_url: str, storage: FlakyStorage, asynchronous: bool
) -> None:
    meeting = threading.Barrier(6, timeout=20)

    def waiting() -> Iterator[bytes]:
        meeting.wait()
        yield b"x"

    def papers() -> list[Paper]:
        return [Paper(id=10 + n, body=File(waiting())) for n in range(6)]

    async def story(session: AsyncSession) -> None:
        session.add_all(papers())
        await session.commit()

    if asynchronous:
        play(sqlite_url, storage, story)
        return
    engine = sqlite(Base)
    with Session(engine) as session:
        session.add_all(papers())
        session.commit()
    engine.dispose()
    assert contents(storage.inner) == [b"x"] * 6


# --- on disk


def test_what_does_not_fit_into_memory_is_not_written_by_the_event_loop(
    sqlite_url: str, storage: FlakyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: set[int] = set()

    class Watched(streams.tempfile.SpooledTemporaryFile):  # type: ignore[type-arg, name-defined]
        def write(self, data: Any) -> int:
            written: int = super().write(data)
            self.watch()
            return written

        def writelines(self, lines: Any) -> None:
            super().writelines(lines)
            self.watch()

        def watch(self) -> None:
            if self._rolled:
                on_disk.add(threading.get_ident())

    monkeypatch.setattr(streams.tempfile, "SpooledTemporaryFile", Watched)

    async def story(session: AsyncSession) -> None:
        session.add(Paper(id=2, body=File(sent(*[b"x" * 100_000] * 25))))
        await session.commit()

    play(sqlite_url, storage, story)
    assert on_disk
    assert threading.get_ident() not in on_disk


def test_a_long_source_is_never_whole_in_memory(
    sqlite_url: str, storage: FlakyStorage, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    StorageManager.clear()
    StorageManager.add_storage("main", (tmp_path / "root").as_uri())

    async def story(session: AsyncSession) -> None:
        tracemalloc.start()
        try:
            long = (b"x" * 100_000 for _ in range(320))
            session.add(Paper(id=2, body=File(_sent_from(long))))
            await session.commit()
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()

    stored = play(sqlite_url, StorageManager.storage(), story)
    assert max(map(len, stored)) == 32_000_000


async def _sent_from(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# --- where nobody can await it


SOURCES: dict[str, Callable[[], Any]] = {
    "iterator": lambda: sent(b"a", b"b"),
    "reader": lambda: AsyncReader(b"ab"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_plain_session_refuses_it_with_advice(kind: str, tmp_path: Path) -> None:
    storage = add_memory()
    engine = sqlite(Base)
    file = File(SOURCES[kind]())
    with Session(engine) as session, no_warnings():
        for _ in range(2):
            session.add_all([Paper(id=1, body=File(b"x")), Paper(id=2, pages=[file])])
            message = ""
            try:
                session.commit()
            except TypeError as error:
                message = str(error)
            session.rollback()
            assert "an AsyncSession only: give the File its bytes" in message
    engine.dispose()
    assert keys(storage) == []

    async def story(session: AsyncSession) -> None:  # it is as it was
        session.add(Paper(id=2, body=file))
        await session.commit()

    stored = play(f"sqlite+aiosqlite:///{tmp_path}/x.db", storage, story)
    assert stored == [b"ab", b"old", b"page"]


# --- outside of sessions


@pytest.fixture(params=["memory", "obstore"])
def added(request: pytest.FixtureRequest) -> Any:
    """Return the default storage: one that threads wait for, then one with coroutines."""
    StorageManager.add_storage("main", MemoryStore() if request.param == "obstore" else "memory://")
    return StorageManager.storage()


@pytest.mark.parametrize("data", [b"", b"short", DATA], ids=len)
@pytest.mark.parametrize("kind", KINDS)
def test_asave_file_takes_asynchronous_content(
    added: Any, kind: str, data: bytes, tmp_path: Path
) -> None:
    async def save() -> None:
        content = await KINDS[kind](data, tmp_path)
        extra = {"content_type": "text/x-own"}
        stored = await StorageManager.asave_file("key", content, extra=extra)
        assert (stored.size, stored.content_type) == (len(data), "text/x-own")
        await _close(content)

    with no_warnings():
        asyncio.run(save())
    assert contents(added) == [data]


def test_a_source_that_fails_in_asave_file_leaves_nothing(added: Any) -> None:
    with pytest.raises(ConnectionResetError, match="went away"), no_warnings():
        asyncio.run(_saved(_failing()))
    assert keys(added) == []


def test_asave_file_does_not_wait_for_a_source_that_is_cancelled(added: Any) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.Event().wait()

    async def save() -> None:
        async with asyncio.timeout(0.1):
            await _saved(silent())

    with pytest.raises(TimeoutError):
        asyncio.run(save())
    assert keys(added) == []


async def _saved(content: Any) -> None:
    await StorageManager.asave_file("key", content)


@pytest.mark.parametrize("kind", SOURCES)
def test_save_file_refuses_it_with_advice(added: Any, kind: str) -> None:
    with pytest.raises(TypeError, match="await asave_file, or give its bytes"), no_warnings():
        StorageManager.save_file("key", SOURCES[kind]())
    assert keys(added) == []
