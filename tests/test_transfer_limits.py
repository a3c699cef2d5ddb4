"""How many requests are under way at the same time, and how many keys one of them deletes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from sqlalchemy import create_engine, delete
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.storage import MemoryStorage, ObjectInfo
from sqlalchemy_file.storage.obstore import ObstoreStorage
from sqlalchemy_file.tracking import deletion
from tests.counting import WAIT
from tests.storage.helpers import keys


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "limited_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField)
    other: Mapped[File | None] = mapped_column(FileField(upload_storage="other"))


class Counter:
    """Counts how many calls are under way at the same time, and what was deleted by each.

    Calls wait until as many are under way as are expected, and a moment in which one more could be.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.now: dict[str, int] = dict.fromkeys(("put", "copy", "delete"), 0)
        self.most = dict(self.now)
        self.deleted: list[int] = []
        self.expect(1)

    def expect(self, limit: int) -> None:
        """Begin anew; deletions are one call for each of two storages."""
        self.most = dict.fromkeys(self.most, 0)
        self.expected = {"put": limit, "copy": limit, "delete": min(limit, 2)}

    @contextmanager
    def counted(self, verb: str) -> Iterator[None]:
        with self._changed:
            self.now[verb] += 1
            self.most[verb] = max(self.most[verb], self.now[verb])
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.now[verb] -= 1

    def _wait(self, verb: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.most[verb] >= self.expected[verb], WAIT)
        time.sleep(0.01)

    @contextmanager
    def held(self, verb: str) -> Iterator[None]:
        with self.counted(verb):
            self._wait(verb)
            yield

    @asynccontextmanager
    async def aheld(self, verb: str) -> AsyncIterator[None]:
        with self.counted(verb):
            await asyncio.to_thread(self._wait, verb)
            yield


class Threads(MemoryStorage):
    """A storage that worker threads wait for."""

    concurrency = 12

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def put(self, *arguments: Any, **options: Any) -> ObjectInfo:
        with self._counter.held("put"):
            return super().put(*arguments, **options)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        with self._counter.held("copy"):
            return super().copy(key, new_key)

    def delete(self, keys: Sequence[str]) -> None:
        self._counter.deleted.append(len(keys))
        with self._counter.held("delete"):
            super().delete(keys)


class Native(ObstoreStorage):
    """A storage with coroutines of its own."""

    def __init__(self, counter: Counter) -> None:
        super().__init__(MemoryStore(), concurrency=12)
        self._counter = counter

    async def aput(self, *arguments: Any, **options: Any) -> ObjectInfo:
        async with self._counter.aheld("put"):
            return await super().aput(*arguments, **options)

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        async with self._counter.aheld("copy"):
            return await super().acopy(key, new_key)

    async def adelete(self, keys: Sequence[str]) -> None:
        self._counter.deleted.append(len(keys))
        async with self._counter.aheld("delete"):
            await super().adelete(keys)


@pytest.fixture(params=[Threads, Native])
def counter(request: pytest.FixtureRequest) -> Counter:
    """Add two storages, which share a counter."""
    counter = Counter()
    for name in ("main", "other"):
        StorageManager.add_storage(name, request.param(counter))
    return counter


def play(folder: Path, story: Callable[[AsyncSession], Any]) -> None:
    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/x.db")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            await story(session)
        await engine.dispose()

    asyncio.run(main())


async def store_copy_and_delete(session: AsyncSession) -> None:
    papers = [Paper(body=File(b"x"), other=File(b"y")) for _ in range(15)]
    session.add_all(papers)
    await session.commit()
    session.add_all([Paper(body=paper.body) for paper in papers])  # each is a copy
    await session.commit()
    await session.execute(delete(Paper))
    await session.commit()


@pytest.mark.parametrize("limit", [None, 1, 3, 100])
def test_a_session_keeps_to_the_limit_whatever_it_asks_of_storages(
    counter: Counter, tmp_path: Path, limit: int | None
) -> None:
    """Without one, as many as the storage says, copies included."""
    StorageManager.set_limit(limit)
    counter.expect(min(limit or 12, 12))
    play(tmp_path, store_copy_and_delete)
    assert counter.most == counter.expected
    assert keys(StorageManager.storage("main")) == keys(StorageManager.storage("other")) == []


def test_a_plain_session_keeps_to_it_when_it_copies_and_deletes(tmp_path: Path) -> None:
    counter = Counter()
    for name in ("main", "other"):
        StorageManager.add_storage(name, Threads(counter))
    for limit, expected in ((None, 12), (3, 3), (1, 1)):
        StorageManager.set_limit(limit)
        counter.expect(expected)
        engine = create_engine("sqlite://")
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            papers = [Paper(body=File(b"x"), other=File(b"y")) for _ in range(15)]
            session.add_all(papers)
            session.commit()
            session.add_all([Paper(body=paper.body) for paper in papers])
            session.commit()
            session.execute(delete(Paper))
            session.commit()
        engine.dispose()
        assert counter.most == counter.expected


def test_what_a_commit_releases_is_deleted_by_a_thousand_keys_at_a_time(
    counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deletion.BATCH_SIZE == 1000, "as many as S3 takes"
    monkeypatch.setattr(deletion, "BATCH_SIZE", 100)

    async def story(session: AsyncSession) -> None:
        session.add_all([Paper(body=File(b"x")) for _ in range(30)])
        await session.commit()
        await session.execute(delete(Paper).where(Paper.id <= 20))
        await session.commit()
        assert counter.deleted == [20]
        session.add_all([Paper(body=File(b"x")) for _ in range(200)])
        await session.commit()
        await session.execute(delete(Paper))
        await session.commit()
        assert sorted(counter.deleted) == [10, 20, 100, 100]

    play(tmp_path, story)


def test_what_a_flush_of_objects_releases_is_deleted_by_one_call(tmp_path: Path) -> None:
    counter = Counter()
    for name in ("main", "other"):
        StorageManager.add_storage(name, Threads(counter))
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        papers = [Paper(body=File(b"x"), other=File(b"y")) for _ in range(40)]
        session.add_all(papers)
        session.commit()
        for number, paper in enumerate(papers):
            if number % 2:
                session.delete(paper)
            else:
                paper.body = File(b"new")
        session.commit()
    engine.dispose()
    assert sorted(counter.deleted) == [20, 40]
