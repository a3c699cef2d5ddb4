"""A flush that is cancelled while it stores leaves neither objects nor parts in a bucket."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from libcloud.storage.base import Container
from obstore.store import MemoryStore, S3Store
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.storage import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.storage.obstore import ObstoreStorage
from tests.storage.helpers import keys, put, read

MEGABYTE = 1024 * 1024


class Base(DeclarativeBase):
    pass


class Film(Base):
    __tablename__ = "cancelled_film"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField)
    chosen: Mapped[File | None] = mapped_column(
        FileField(key=lambda file: f"chosen/{file['filename']}")
    )


def play(folder: Path, story: Callable[[AsyncSession], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/films.db")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            await story(session)
        await engine.dispose()

    asyncio.run(main())


async def cancelled(work: Coroutine[Any, Any, object], begun: asyncio.Event) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.wait_for(begun.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Telling(io.BytesIO):
    """Bytes that tell an event loop once most of them are read."""

    def __init__(self, size: int) -> None:
        super().__init__(b"x" * size)
        self._mark = size * 3 // 4
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        if self.tell() > self._mark:
            self._loop.call_soon_threadsafe(self.begun.set)
            time.sleep(0.02)
        return chunk


@pytest.mark.parametrize("kind", ["obstore", "libcloud"])
def test_cancelled_in_the_middle_of_a_large_upload_a_bucket_stays_empty(
    bucket: Container, s3_store: S3Store, kind: str, tmp_path: Path
) -> None:
    StorageManager.add_storage("main", s3_store if kind == "obstore" else bucket)

    async def story(session: AsyncSession) -> None:
        film = Telling(12 * MEGABYTE)
        session.add_all([Film(body=File(film)), *(Film(body=File(b"short")) for _ in range(5))])
        await cancelled(session.commit(), film.begun)
        assert list(bucket.driver.ex_iterate_multipart_uploads(bucket)) == []
        assert keys(StorageManager.storage()) == []
        await session.rollback()

    play(tmp_path, story)
    assert keys(StorageManager.storage()) == []


class SlowToAnswer(MemoryStore):
    """Stores at once, and is in no hurry to say so."""

    begun: asyncio.Event

    async def put_async(self, *arguments: Any, **options: Any) -> Any:
        answer = await super().put_async(*arguments, **options)
        self.begun.set()
        await asyncio.sleep(0.1)
        return answer


@pytest.mark.parametrize("size", [3, 6 * MEGABYTE])
def test_cancelled_before_the_storage_has_answered_a_chosen_key_stays_free(
    size: int, tmp_path: Path
) -> None:
    store = SlowToAnswer()
    StorageManager.add_storage("main", store)

    async def story(session: AsyncSession) -> None:
        store.begun = asyncio.Event()
        session.add(Film(chosen=File(b"x" * size, filename="a")))
        await cancelled(session.commit(), store.begun)
        assert keys(StorageManager.storage()) == []
        await session.rollback()
        session.add(Film(chosen=File(b"again", filename="a")))
        await session.commit()

    play(tmp_path, story)
    assert read(StorageManager.storage(), "chosen/a") == b"again"


class InAThread(SlowToAnswer):
    """The same by a future, which is no task, as obstore's own requests are."""

    def put_async(self, *arguments: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()

        def put() -> Any:
            answer = self.put(*arguments, **options)
            loop.call_soon_threadsafe(self.begun.set)
            time.sleep(0.1)
            return answer

        return loop.run_in_executor(None, put)


def test_when_all_tasks_are_cancelled_chosen_keys_stay_free(tmp_path: Path) -> None:
    """As at the end of `asyncio.run`, say."""
    store = InAThread()
    StorageManager.add_storage("main", store)

    async def story(session: AsyncSession) -> None:
        store.begun = asyncio.Event()
        session.add_all([Film(chosen=File(b"x", filename=name)) for name in "abcdef"])
        task = asyncio.ensure_future(session.commit())
        await store.begun.wait()
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert keys(StorageManager.storage()) == []
        await session.rollback()

    play(tmp_path, story)


def test_cancelled_a_flush_leaves_alone_what_is_stored_under_its_chosen_key(tmp_path: Path) -> None:
    store = SlowToAnswer()
    StorageManager.add_storage("main", store)
    put(StorageManager.storage(), "chosen/a", b"old")

    async def story(session: AsyncSession) -> None:
        store.begun = asyncio.Event()
        files = [File(b"x", filename=name) for name in "ab"]
        session.add_all([Film(id=1, chosen=files[1]), Film(id=2, chosen=files[0])])
        await cancelled(session.commit(), store.begun)
        await session.rollback()

    play(tmp_path, story)
    assert keys(StorageManager.storage()) == ["chosen/a"]
    assert read(StorageManager.storage(), "chosen/a") == b"old"


# --- outside of sessions


@pytest.mark.parametrize("size", [3, 6 * MEGABYTE])
def test_a_cancelled_exclusive_upload_leaves_nothing(size: int) -> None:
    store = SlowToAnswer()
    storage = ObstoreStorage(store)

    async def story() -> None:
        store.begun = asyncio.Event()
        content = io.BytesIO(b"x" * size)
        await cancelled(storage.aput("key", content, Attributes(), exclusive=True), store.begun)

    asyncio.run(story())
    assert keys(storage) == []


def test_what_could_not_be_taken_back_is_told_with_the_cancellation() -> None:
    class Stubborn(SlowToAnswer):
        async def delete_async(self, *arguments: Any, **options: Any) -> Any:
            raise OSError("out of order")

    store = Stubborn()
    storage = ObstoreStorage(store)

    async def story() -> None:
        store.begun = asyncio.Event()
        put = storage.aput("key", io.BytesIO(b"x"), Attributes(), exclusive=True)
        task = asyncio.ensure_future(put)
        await store.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "'key'" in caught.value.__notes__[0]
        assert "out of order" in caught.value.__notes__[0]

    asyncio.run(story())


@pytest.mark.parametrize("native", [False, True])
def test_a_cancelled_save_is_over_and_its_object_is_whole(native: bool) -> None:
    """Its name may be somebody's already: deleting what lies there could hurt more."""
    store = SlowToAnswer() if native else MemoryStorage()
    StorageManager.add_storage("main", store)
    storage = StorageManager.storage()
    put(storage, "key", b"old")

    async def story() -> None:
        begun = Telling(1)
        if isinstance(store, SlowToAnswer):
            store.begun = begun.begun
        await cancelled(StorageManager.asave_file("key", begun), begun.begun)

    asyncio.run(story())
    assert read(storage, "key") in (b"old", b"x")
    assert keys(storage) == ["key"]
