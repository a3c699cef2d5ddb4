"""`AsyncSession` keeps the promise as `Session` does, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, make_url, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.changes import records_in
from tests.scenarios.content import FailingStream
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


# --- the basics


async def insert_one(session: AsyncSession) -> None:
    session.add(Paper(id=2, body=File(b"new"), pages=[File(iter([b"p1"])), File(b"p2")]))
    await session.commit()


async def replace(session: AsyncSession) -> None:
    paper = await session.get_one(Paper, 1)
    paper.body = File(b"new")
    assert paper.pages is not None
    paper.pages[0] = File(b"p1")
    await session.commit()


async def replace_what_was_expired(session: AsyncSession) -> None:
    paper = await session.get_one(Paper, 1)
    session.expire(paper)
    paper.body = File(b"new")  # does no I/O, which would fail here
    await session.commit()


async def delete_one(session: AsyncSession) -> None:
    await session.delete(await session.get_one(Paper, 1))
    await session.commit()


async def roll_back(session: AsyncSession) -> None:
    await session.delete(await session.get_one(Paper, 1))
    session.add(Paper(id=2, body=File(b"new")))
    await session.flush()
    await session.rollback()


async def leave_without_commit(session: AsyncSession) -> None:
    session.add(Paper(id=2, body=File(b"new")))
    await session.flush()


async def savepoints(session: AsyncSession) -> None:
    async with session.begin_nested():
        session.add(Paper(id=2, body=File(b"kept")))
    undone = await session.begin_nested()
    (await session.get_one(Paper, 1)).body = File(b"undone")
    await session.flush()
    await undone.rollback()
    await session.commit()


async def bulk(session: AsyncSession) -> None:
    await session.execute(insert(Paper), [{"id": 2, "body": b"a"}, {"id": 3, "body": File(b"b")}])
    await session.execute(update(Paper).where(Paper.id == 2).values(body=File(b"c")))
    await session.execute(delete(Paper).where(Paper.id == 1))
    await session.commit()


def _broken() -> FailingStream:
    return FailingStream(b"x" * 99)


async def a_refused_row(session: AsyncSession) -> None:
    with pytest.raises(ConnectionResetError):
        session.add_all([Paper(id=2, body=File(b"x")), Paper(id=3, body=File(_broken()))])
        await session.commit()
    await session.rollback()


STORIES: dict[Story, list[bytes]] = {
    insert_one: [b"new", b"old", b"p1", b"p2", b"page"],
    replace: [b"new", b"p1"],
    replace_what_was_expired: [b"new", b"page"],
    delete_one: [],
    roll_back: [b"old", b"page"],
    leave_without_commit: [b"old", b"page"],
    savepoints: [b"kept", b"old", b"page"],
    bulk: [b"b", b"c"],
    a_refused_row: [b"old", b"page"],
}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_storage_holds_what_rows_name(url: str, storage: FlakyStorage, story: Story) -> None:
    assert play(url, storage, story) == STORIES[story]


# --- the event loop


def test_the_event_loop_goes_on_while_files_are_stored_and_deleted(
    url: str, storage: FlakyStorage
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def story(session: AsyncSession) -> None:
        storage.before("put", lambda: time.sleep(0.3))
        storage.before("delete", lambda: time.sleep(0.3))
        ticking = asyncio.create_task(tick())
        (await session.get_one(Paper, 1)).body = File(b"new")
        await session.commit()
        ticking.cancel()

    assert play(url, storage, story) == [b"new", b"page"]
    assert ticks > 15


def test_several_files_are_stored_at_the_same_time(url: str, storage: FlakyStorage) -> None:
    meeting = threading.Barrier(4, timeout=20)

    async def story(session: AsyncSession) -> None:
        storage.before("put", meeting.wait)  # type: ignore[arg-type]
        session.add_all([Paper(id=10 + number, body=File(b"x")) for number in range(4)])
        await session.commit()
        storage.mend()

    assert play(url, storage, story) == [b"old", b"page", *[b"x"] * 4]


def test_sessions_of_one_loop_do_not_wait_for_each_others_uploads(
    url: str, storage: FlakyStorage
) -> None:
    async def main() -> list[bytes]:
        async with database(url) as engine:

            async def one(number: int) -> None:
                async with AsyncSession(engine) as session:
                    session.add(Paper(id=number, body=File(str(number))))
                    await session.commit()

            meeting = threading.Barrier(3, timeout=20)
            storage.before("put", meeting.wait)  # type: ignore[arg-type]
            await asyncio.gather(*(one(number) for number in range(1, 4)))
            storage.mend()
            return await files(engine, storage)

    assert asyncio.run(main()) == [b"1", b"2", b"3"]


def test_a_row_can_be_read_and_its_file_opened(url: str, storage: FlakyStorage) -> None:
    async def story(session: AsyncSession) -> None:
        session.expire_all()
        paper = (await session.scalars(select(Paper))).one()
        assert paper.body is not None
        assert await asyncio.to_thread(paper.body.file.read) == b"old"

    play(url, storage, story)
