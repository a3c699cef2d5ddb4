"""The same under asyncio: one body of code, and the event loop goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.reconcile import Finding, acompare, adrain, astatus, asweep
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.reconcile.helpers import Base, Paper, kinds, store
from tests.stores import add_memory, keys


@pytest.fixture(params=["aiosqlite", "asyncpg"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "aiosqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/x.db"
    address = make_url(request.getfixturevalue("postgresql_server"))
    return address.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def test_drain_sweep_and_full_pass_work_under_asyncio(url: str) -> None:
    storage = add_memory()

    async def story(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            session.add_all([Paper(id=number, body=File(b"body")) for number in range(4)])
            await session.commit()
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM reconciled_paper WHERE id < 2"))
        async with AsyncSession(engine) as session:
            found = await astatus(session, Base.metadata)
            assert kinds(await collected(adrain(session, Base.metadata))) == {"deleted": 2}
        assert [each.pending for each in found.storages] == [2]
        assert found.is_clean
        store(storage, age=timedelta(days=1))
        assert kinds(await collected(asweep(engine, Base.metadata))) == {"orphan": 1}
        deleted = await collected(asweep(engine, Base.metadata, delete=True))
        assert kinds(deleted) == {"deleted": 1}
        storage.delete([keys(storage)[0]])
        assert kinds(await collected(acompare(engine, Base.metadata))) == {"dangling": 1}

    asyncio.run(with_engine(url, story))


def test_the_event_loop_goes_on_while_a_storage_is_listed(url: str) -> None:
    ticked = threading.Event()

    class Slow(MemoryStorage):
        def list(self, prefix="", start_after=None):
            assert ticked.wait(30)
            yield from super().list(prefix, start_after)

    StorageManager.add_storage("main", Slow())

    async def story(engine: AsyncEngine) -> None:
        sweeping = asyncio.create_task(collected(asweep(engine, Base.metadata)))
        await asyncio.sleep(0.2)
        ticked.set()
        assert await sweeping == []

    asyncio.run(with_engine(url, story))


def test_a_session_of_a_connection_is_refused(url: str) -> None:
    add_memory()

    async def story(engine: AsyncEngine) -> None:
        async with engine.connect() as connection, AsyncSession(connection) as session:
            with pytest.raises(LedgerError, match="transactions of its own"):
                await collected(adrain(session, Base.metadata))

    asyncio.run(with_engine(url, story))


async def collected(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


async def with_engine(url: str, story) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        await story(engine)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
    finally:
        await engine.dispose()
