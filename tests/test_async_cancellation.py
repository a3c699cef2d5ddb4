"""Cancelled wherever it may be, an `AsyncSession` loses no file and leaves none over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.changes import records_in
from tests.scenarios.flaky import FlakyStorage
from tests.stores import contents


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "asynchronous_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())
    pages: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))


@pytest.fixture
def storage() -> FlakyStorage:
    """A storage in memory that can be told to be slow."""
    storage = FlakyStorage(MemoryStorage())
    StorageManager.add_storage("main", storage)
    return storage


@pytest.fixture(params=["aiosqlite", "asyncpg"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "aiosqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/x.db"
    address = make_url(request.getfixturevalue("postgresql_server"))
    asynchronous = address.set(drivername="postgresql+asyncpg")
    return asynchronous.render_as_string(hide_password=False)


@asynccontextmanager
async def database(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        yield engine
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
    finally:
        await engine.dispose()


async def files(engine: AsyncEngine, storage: FlakyStorage) -> list[bytes]:
    """Return what the storage holds, sure that it is what the rows name."""
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT body, pages FROM asynchronous_paper"))
        paths = [
            path for row in rows for raw in row for one in records_in(raw) for path in one["files"]
        ]
    assert sorted(paths) == sorted(f"main/{info.key}" for info in storage.inner.list())
    return contents(storage.inner)


Story = Callable[[AsyncSession], Awaitable[None]]


def play(url: str, storage: FlakyStorage, story: Story) -> list[bytes]:
    """Play a story in one session on a new table, and return the bytes that are left."""

    async def main() -> list[bytes]:
        async with database(url) as engine:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                session.add(Paper(id=1, body=File(b"old"), pages=[File(b"page")]))
                await session.commit()
                await story(session)
            return await files(engine, storage)

    return asyncio.run(main())


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
