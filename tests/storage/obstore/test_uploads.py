"""Large contents through obstore: who wins, who waits, and what is read meanwhile."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore, S3Store
from sqlalchemy import Integer, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import ObjectExistsError
from sqlalchemy_file.storage import Attributes, Limits
from sqlalchemy_file.storage.obstore import ObstoreStorage
from sqlalchemy_file.testing.objects import stream_of
from tests.databases import tables_on
from tests.storage.helpers import keys, put, read

PLAIN = Attributes()
MEGABYTE = 1024 * 1024


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "document"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    content: Mapped[File | None] = mapped_column(FileField)


class Film(Base):
    __tablename__ = "film"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    content: Mapped[File | None] = mapped_column(FileField(key=lambda file: "films/chosen"))


@pytest.fixture
def storage() -> ObstoreStorage:
    return ObstoreStorage(MemoryStore())


# --- writers of one key


class _Meeting(io.RawIOBase):
    """Twelve megabytes of one letter; beyond the first six it waits for the other writers."""

    def __init__(self, letter: bytes, together: threading.Barrier) -> None:
        super().__init__()
        self._letter = letter
        self._together = together
        self._left = 12 * MEGABYTE

    def read(self, size: int | None = -1, /) -> bytes:
        if self._left == 6 * MEGABYTE:
            with suppress(threading.BrokenBarrierError):  # the other one was refused already
                self._together.wait(3)
        count = min(size or 0, MEGABYTE, self._left)
        self._left -= count
        return self._letter * count


@pytest.fixture(params=["memory", "local"])
def renaming_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObstoreStorage:
    """Return a storage whose store decides between writers: S3 does not, of large objects."""
    return ObstoreStorage(MemoryStore() if request.param == "memory" else LocalStore(tmp_path))


@pytest.fixture(params=["memory", "local", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObstoreStorage:
    if request.param == "s3":
        return ObstoreStorage(request.getfixturevalue("s3_store"))
    return ObstoreStorage(MemoryStore() if request.param == "memory" else LocalStore(tmp_path))


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_of_two_exclusive_writers_of_a_large_object_one_wins(
    renaming_store: ObstoreStorage, kind: str
) -> None:
    together = threading.Barrier(2)
    contents = {letter: _Meeting(letter, together) for letter in (b"a", b"b")}

    def write(letter: bytes) -> bytes | None:
        with suppress(ObjectExistsError):
            renaming_store.put("folder/key", contents[letter], PLAIN, exclusive=True)
            return letter
        return None

    async def awrite(letter: bytes) -> bytes | None:
        with suppress(ObjectExistsError):
            await renaming_store.aput("folder/key", contents[letter], PLAIN, exclusive=True)
            return letter
        return None

    async def both() -> list[bytes | None]:
        return list(await asyncio.gather(*map(awrite, contents)))

    if kind == "coroutines":
        outcomes = asyncio.run(both())
    else:
        with ThreadPoolExecutor(2) as threads:
            outcomes = list(threads.map(write, contents))
    (winner,) = filter(None, outcomes)
    assert read(renaming_store, "folder/key") == winner * 12 * MEGABYTE
    assert keys(renaming_store) == ["folder/key"]


def test_a_large_exclusive_object_keeps_its_attributes(s3_store: S3Store) -> None:
    attributes = Attributes(content_type="video/mp4", metadata={"a": "b"})
    storage = ObstoreStorage(s3_store)
    storage.put("key", io.BytesIO(b"x" * 6 * MEGABYTE), attributes, exclusive=True)
    kept = storage.stat("key")
    assert (kept.size, kept.attributes.content_type) == (6 * MEGABYTE, "video/mp4")
    assert kept.attributes.metadata == {"a": "b"}


def test_a_large_exclusive_content_that_fails_leaves_its_key_free(
    any_store: ObstoreStorage,
) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b"x" * MEGABYTE] * 8
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        any_store.put("key", stream_of(chunks()), PLAIN, exclusive=True)
    assert keys(any_store) == []
    large = io.BytesIO(b"x" * 6 * MEGABYTE)
    assert any_store.put("key", large, PLAIN, exclusive=True).size == 6 * MEGABYTE


class _MeetingBytes(io.BytesIO):
    """Twelve megabytes that wait, beyond the first six, for those of another writer."""

    def __init__(self, letter: bytes, together: threading.Barrier) -> None:
        super().__init__(letter * 12 * MEGABYTE)
        self._together = together

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 6 * MEGABYTE:
            with suppress(threading.BrokenBarrierError):
                self._together.wait(3)
        return super().read(size)


def test_of_two_sessions_that_choose_one_key_one_commits(
    renaming_store: ObstoreStorage, tmp_path: Path
) -> None:
    StorageManager.add_storage("default", renaming_store)
    engine = create_engine(f"sqlite:///{tmp_path / 'films.db'}")
    Base.metadata.create_all(engine)
    together = threading.Barrier(2)

    def save(letter: bytes) -> type[Exception] | None:
        with Session(engine) as session:
            session.add(Film(content=File(content=_MeetingBytes(letter, together))))
            try:
                session.commit()
            except ObjectExistsError as error:
                return type(error)
        return None

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(save, (b"a", b"b")))
    assert sorted(map(bool, outcomes)) == [False, True]
    with Session(engine) as session:
        (film,) = session.scalars(select(Film)).all()
        assert film.content is not None
        winner = b"ab"[outcomes.index(None) : outcomes.index(None) + 1]
        assert film.content.file.read() == winner * 12 * MEGABYTE
    engine.dispose()


def test_a_session_whose_large_key_was_taken_meanwhile_does_not_commit(
    s3_store: S3Store, tmp_path: Path
) -> None:
    storage = ObstoreStorage(s3_store)
    StorageManager.add_storage("default", storage)
    engine = create_engine(f"sqlite:///{tmp_path / 'films.db'}")
    Base.metadata.create_all(engine)

    class Interrupted(io.BytesIO):
        """Bytes of a writer whom another one overtakes."""

        def read(self, size: int | None = -1, /) -> bytes:
            if 6 * MEGABYTE < self.tell() < 12 * MEGABYTE and not keys(storage):
                put(storage, "films/chosen", b"other")
            return super().read(size)

    with Session(engine) as session:
        session.add(Film(content=File(content=Interrupted(b"x" * 12 * MEGABYTE))))
        with pytest.raises(ObjectExistsError):
            session.commit()
    assert read(storage, "films/chosen") == b"other"
    engine.dispose()


# --- many at once


class _Large(io.BytesIO):
    """Twelve megabytes; tells at how many of its kind somebody has begun to read."""

    begun: set[int] = set()  # noqa: RUF012  of all instances
    done: set[int] = set()  # noqa: RUF012
    most = 0
    knows_its_size = True

    @classmethod
    def forget(cls) -> None:
        cls.begun.clear()
        cls.done.clear()
        _Large.most = 0

    def __init__(self) -> None:
        super().__init__(b"x" * 12 * MEGABYTE)
        self._read = 0

    def size_left(self) -> int | None:
        return 12 * MEGABYTE if self.knows_its_size else None

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(size)
        self._read += len(chunk)
        # A flush looks at the first bytes to tell the type, long before.
        if self._read > (MEGABYTE // 4 if self.knows_its_size else MEGABYTE):
            self.begun.add(id(self))
        _Large.most = max(_Large.most, len(self.begun - self.done))
        if not chunk:
            self.done.add(id(self))
        return chunk


class _LargeOfUnknownSize(_Large):
    knows_its_size = False


@pytest.mark.parametrize(
    ("content", "limits"),
    [(_Large, Limits()), (_LargeOfUnknownSize, Limits()), (_Large, Limits(uploads=1))],
)
@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_a_few_large_contents_are_read_at_a_time(
    storage: ObstoreStorage, kind: str, content: type[_Large], limits: Limits
) -> None:
    _Large.forget()
    StorageManager.set_limit(limits)
    contents = [content() for _ in range(12)]

    async def in_coroutines(some: list[_Large]) -> None:
        puts = [storage.aput(f"{id(each)}", each, PLAIN) for each in some]
        await asyncio.gather(*puts)

    if kind == "coroutines":
        asyncio.run(in_coroutines(contents[:6]))
        asyncio.run(in_coroutines(contents[6:]))
    else:
        with ThreadPoolExecutor(12) as threads:
            list(threads.map(lambda each: storage.put(f"{id(each)}", each, PLAIN), contents))
    assert 1 <= _Large.most <= limits.uploads
    assert [info.size for info in storage.list()] == [12 * MEGABYTE] * 12


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_large_contents_hold_up_no_small_ones(storage: ObstoreStorage, kind: str) -> None:
    go_on = threading.Event()

    class Waiting(io.RawIOBase):
        def read(self, size: int | None = -1, /) -> bytes:
            assert go_on.wait(60)
            return b""

        def size_left(self) -> int:
            return 100 * MEGABYTE

    def small() -> None:
        for number, size in enumerate((5, MEGABYTE // 2, 4 * MEGABYTE)):
            put(storage, f"small-{number}", b"x" * size)
        go_on.set()

    async def in_coroutines() -> None:
        waiting = [
            asyncio.ensure_future(storage.aput(f"{number}", Waiting(), PLAIN))  # type: ignore[arg-type]
            for number in range(6)
        ]
        await asyncio.sleep(0.2)
        await storage.aput("small", io.BytesIO(b"x" * 4 * MEGABYTE), PLAIN)
        go_on.set()
        await asyncio.gather(*waiting)

    if kind == "coroutines":
        asyncio.run(asyncio.wait_for(in_coroutines(), 60))
        return
    with ThreadPoolExecutor(7) as threads:
        waiting = [
            threads.submit(storage.put, f"{number}", Waiting(), PLAIN)  # type: ignore[arg-type]
            for number in range(6)
        ]
        time.sleep(0.2)
        threads.submit(small).result(60)
        for future in waiting:
            future.result(60)


def test_a_flush_begins_to_read_a_few_large_files_at_a_time() -> None:
    _Large.forget()
    StorageManager.add_storage("default", MemoryStore())
    contents = [_Large() for _ in range(12)]
    with tables_on("sqlite://", Base.metadata) as engine, Session(engine) as session:
        session.add_all([Document(content=File(content=each)) for each in contents])
        session.commit()
    assert 1 <= _Large.most <= 4
