"""What the tests of `AsyncSession` share: a model, three drivers, and a story played in one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.storage import Storage
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.changes import records_in
from tests.models import Base, Paper
from tests.scenarios.flaky import FlakyStorage
from tests.stores import contents, sqlite

DRIVERS = ("aiosqlite", "asyncpg", "psycopg")


def add_flaky() -> FlakyStorage:
    """Add a storage in memory that can be told to be slow, and return it."""
    storage = FlakyStorage(MemoryStorage())
    StorageManager.add_storage("main", storage)
    return storage


def address_for(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database, for the driver that is the parameter of a fixture."""
    if request.param == "aiosqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/x.db"
    address = make_url(request.getfixturevalue("postgresql_server"))
    asynchronous = address.set(drivername=f"postgresql+{request.param}")
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


async def files(engine: AsyncEngine, storage: Storage) -> list[bytes]:
    """Return what the storage holds, sure that it is what the rows name."""
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT body, pages FROM paper"))
        paths = [
            path for row in rows for raw in row for one in records_in(raw) for path in one["files"]
        ]
    plain = storage.inner if isinstance(storage, FlakyStorage) else storage
    assert sorted(paths) == sorted(f"main/{info.key}" for info in plain.list())
    return contents(plain)


Story = Callable[[AsyncSession], Awaitable[None]]


def play(url: str, storage: Storage, story: Story) -> list[bytes]:
    """Play a story in one session on a new table, and return the bytes that are left."""

    async def main() -> list[bytes]:
        async with database(url) as engine:
            async with AsyncSession(engine, expire_on_commit=False) as session:
                session.add(Paper(id=1, body=File(b"old"), pages=[File(b"page")]))
                await session.commit()
                await story(session)
            return await files(engine, storage)

    return asyncio.run(main())


both = pytest.mark.parametrize("way", ["Session", "AsyncSession"])


def play_stories(
    way: str,
    folder: Path,
    *stories: Callable[[Session], None],
    within: AbstractContextManager[object] | None = None,
) -> None:
    """Play each story in a session of its own, of either kind, all on one new database."""
    if way == "Session":
        engine = sqlite(Base, f"sqlite:///{folder}/x.db")
        with within or nullcontext():
            for story in stories:
                with Session(engine) as session:
                    story(session)
        engine.dispose()
        return

    async def main() -> None:
        async with database(f"sqlite+aiosqlite:///{folder}/x.db") as engine:
            with within or nullcontext():
                for story in stories:
                    async with AsyncSession(engine) as session:
                        await session.run_sync(story)

    asyncio.run(main())


def delete_all(session: Session) -> None:
    for paper in session.query(Paper):
        session.delete(paper)
    session.commit()
