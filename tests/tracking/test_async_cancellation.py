"""Cancelled wherever it may be, an `AsyncSession` loses no file and leaves none over."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from obstore.store import MemoryStore
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import ContentSpentError
from tests.asynchronous import DRIVERS, add_flaky, address_for, play
from tests.counting import strike
from tests.models import Paper
from tests.scenarios.flaky import FlakyStorage
from tests.stores import contents


@pytest.fixture
def storage() -> FlakyStorage:
    return add_flaky()


@pytest.fixture(params=DRIVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address_for(request, tmp_path)


class Gate:
    """Lets a storage call begin, and holds it until the test goes on."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.go.wait(20)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 20)


async def cancel_at(gate: Gate, work: Awaitable[Any], *, times: int = 1) -> None:
    """Cancel some work while it stands at a gate, and let it through only then."""
    task = asyncio.ensure_future(work)
    await gate.reached()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.02)
    gate.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("times", [1, 3])
def test_cancelled_in_the_middle_of_an_upload_nothing_of_it_stays(
    url: str, storage: FlakyStorage, times: int
) -> None:
    async def story(session: AsyncSession) -> None:
        gate = Gate()
        storage.before("put", gate, at=2)
        session.add_all([Paper(id=10 + number, body=File(b"x")) for number in range(30)])
        await cancel_at(gate, session.commit(), times=times)
        storage.mend()
        assert contents(storage.inner) == [b"old", b"page"]
        await session.rollback()

    assert play(url, storage, story) == [b"old", b"page"]


def test_a_session_can_be_used_again_after_a_cancellation(url: str, storage: FlakyStorage) -> None:
    async def story(session: AsyncSession) -> None:
        gate = Gate()
        storage.before("put", gate)
        paper = Paper(id=2, body=File(b"again"))
        session.add(paper)
        await cancel_at(gate, session.flush())
        storage.mend()
        await session.rollback()
        session.add(paper)
        await session.commit()

    assert play(url, storage, story) == [b"again", b"old", b"page"]


def test_a_timeout_in_the_middle_of_an_upload_leaves_nothing(
    url: str, storage: FlakyStorage
) -> None:
    async def story(session: AsyncSession) -> None:
        storage.before("put", lambda: time.sleep(0.3))
        session.add_all([Paper(id=10 + number, body=File(b"x")) for number in range(30)])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.commit()
        storage.mend()
        await session.rollback()

    assert play(url, storage, story) == [b"old", b"page"]


async def silent(begun: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """Begin to send, and then never send again."""
    yield b"begun"
    if begun is not None:
        begun.set()
    await asyncio.Event().wait()


@pytest.mark.parametrize("native", [False, True])
def test_a_timeout_does_not_wait_for_a_source_that_sends_nothing_more(
    url: str, storage: FlakyStorage, native: bool
) -> None:
    used = add_native() if native else storage

    async def story(session: AsyncSession) -> None:
        session.add_all([Paper(id=2, body=File(silent())), Paper(id=3, body=File(b"x"))])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.commit()
        assert contents(used.inner if used is storage else used) == [b"old", b"page"]
        await session.rollback()

    assert play(url, used, story) == [b"old", b"page"]


def test_a_timeout_ends_an_endless_stream_at_its_next_chunk(
    url: str, storage: FlakyStorage
) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b"x"

    async def story(session: AsyncSession) -> None:
        session.add_all([Paper(id=2, body=File(endless())), Paper(id=3, body=File(b"x"))])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.commit()
        await session.rollback()

    assert play(url, storage, story) == [b"old", b"page"]


def add_native() -> Any:
    """Put a storage with native coroutines in the place of the one that was added."""
    StorageManager.clear()
    StorageManager.add_storage("main", MemoryStore())
    return StorageManager.storage("main")


class SlowHandle(io.RawIOBase):
    """Seventy megabytes that come slowly; after ten of them something happens."""

    def __init__(self) -> None:
        self.position = 0
        self.after_ten: Callable[[], None] | None = None

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = 0) -> int:
        self.position = position if whence == 0 else 70_000_000
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, size: int | None = -1, /) -> bytes:
        if self.position >= 10_000_000 and self.after_ten is not None:
            after, self.after_ten = self.after_ten, None
            after()
        time.sleep(0.02)
        taken = min(70_000_000 - self.position, 1_000_000, size or 0)
        self.position += taken
        return b"x" * taken


def test_a_timeout_stops_a_large_upload_to_a_native_storage_in_its_middle(
    url: str, storage: FlakyStorage
) -> None:
    used, content = add_native(), SlowHandle()

    async def story(session: AsyncSession) -> None:
        session.add(Paper(id=2, body=File(content)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                content.after_ten = partial(strike, limit, asyncio.get_running_loop())
                await session.commit()
        assert 10_000_000 <= (position := content.position) < 60_000_000
        await asyncio.sleep(0.1)
        assert content.position == position  # nobody reads on
        assert contents(used) == [b"old", b"page"]
        await session.rollback()

    assert play(url, used, story) == [b"old", b"page"]


def test_a_session_can_be_used_again_after_a_source_was_cancelled(
    url: str, storage: FlakyStorage
) -> None:
    async def story(session: AsyncSession) -> None:
        begun = asyncio.Event()
        paper = Paper(id=2, body=File(silent(begun)))
        session.add(paper)
        task = asyncio.ensure_future(session.flush())
        await begun.wait()
        for _ in range(3):
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await session.rollback()
        session.add(paper)
        with pytest.raises(ContentSpentError, match="give the File a new one"):
            await session.flush()
        await session.rollback()
        paper.body = File(b"again")
        session.add(paper)
        await session.commit()

    assert play(url, storage, story) == [b"again", b"old", b"page"]


@pytest.mark.parametrize("times", [1, 3])
def test_cancelled_in_the_middle_of_the_deletions_after_a_commit_they_are_finished(
    url: str, storage: FlakyStorage, times: int
) -> None:
    async def story(session: AsyncSession) -> None:
        gate = Gate()
        storage.before("delete", gate, at=1)
        paper = await session.get_one(Paper, 1)
        paper.body = File(b"new")
        paper.pages = None

        async def commit_and_go_on() -> None:
            await session.commit()
            await asyncio.sleep(20)

        await cancel_at(gate, commit_and_go_on(), times=times)

    assert play(url, storage, story) == [b"new"]


def test_a_timeout_that_comes_during_the_deletions_does_not_strike_after_its_block(
    url: str, storage: FlakyStorage
) -> None:
    """The commit has succeeded; whatever the task does later is none of that timeout's business."""

    async def story(session: AsyncSession) -> None:
        (await session.get_one(Paper, 1)).body = File(b"new")
        async with asyncio.timeout(None) as limit:
            storage.before("delete", partial(strike, limit, asyncio.get_running_loop()), at=1)
            await session.commit()
        for _ in range(3):
            await asyncio.sleep(0.01)
        session.add(Paper(id=2, body=File(b"later")))
        await session.commit()

    assert play(url, storage, story) == [b"later", b"new", b"page"]


@pytest.mark.parametrize("url", ["asyncpg"], indirect=True)  # aiosqlite leaves its lock behind
def test_cancelled_in_a_statement_nothing_of_the_transaction_stays(
    url: str, storage: FlakyStorage
) -> None:
    async def story(session: AsyncSession) -> None:
        session.add(Paper(id=2, body=File(b"new")))
        await session.flush()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.execute(text("SELECT pg_sleep(20)"))
        await session.close()

    assert play(url, storage, story) == [b"old", b"page"]


@pytest.mark.parametrize("url", ["aiosqlite"], indirect=True)
# SQLAlchemy 2.0 closes the connection before its driver comes to the statement: where that commits
# at once, nobody can know it, and the object is left to the sweep.
@pytest.mark.parametrize(
    "commits_at_once", [False] if sqlalchemy.__version__.startswith("2.0.") else [False, True]
)
def test_cancelled_before_the_driver_has_begun_a_transaction_the_storage_holds_what_rows_name(
    url: str, storage: FlakyStorage, commits_at_once: bool
) -> None:
    async def story(session: AsyncSession) -> None:
        gate, connection = Gate(), await session.connection()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.create_function("hold", 0, gate)
        if commits_at_once:
            driver.isolation_level = None
        held = driver.execute("SELECT hold()")

        @event.listens_for(connection.sync_connection, "before_cursor_execute", once=True)
        def stand_before_it(*_arguments: Any) -> None:
            held.send(None)  # the driver's thread has the INSERT in its queue, and waits

        session.add(Paper(id=2, body=File(b"new")))
        await cancel_at(gate, session.flush())
        held.close()
        await session.close()

    new = [b"new"] if commits_at_once else []
    assert play(url, storage, story) == [*new, b"old", b"page"]
