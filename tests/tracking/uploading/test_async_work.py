"""Validators and processors: never on the event loop, in parallel, and no more than cores."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.processors import Processor
from sqlalchemy_file.tracking.uploading import steps
from sqlalchemy_file.validators import Validator
from tests.scenarios.flaky import FlakyStorage
from tests.storage.helpers import keys


class Worker(Processor, Validator):
    """Notes in which threads it works, and how many at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rest()

    def rest(self) -> None:
        self.threads: set[int] = set()
        self.most = self.now = 0
        self.work: Callable[[], object] = lambda: None

    def process(self, file: File, key: Any = None) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.get_ident())
        self.work()
        with self._lock:
            self.now -= 1


class Deriving(Worker):
    """Makes an object of its own as well."""

    def process(self, file: File, key: Any = None) -> None:
        super().process(file, key)
        file.store_content(b"derived of " + file.original_content.read(), key)


VALIDATOR, PROCESSOR = Worker(), Deriving()


class Base(DeclarativeBase):
    pass


class Checked(Base):
    __tablename__ = "checked"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(validators=[VALIDATOR]))


class Processed(Base):
    __tablename__ = "processed"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(processors=[PROCESSOR]))


@pytest.fixture(autouse=True)
def _rested() -> None:
    VALIDATOR.rest()
    PROCESSOR.rest()


STORAGES: dict[str, Callable[[Path], Any]] = {
    "local": lambda folder: (folder / "root").as_uri(),
    "obstore": lambda folder: MemoryStore(),
    "threads": lambda folder: FlakyStorage(StorageManager.storage("inner")),
}


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return the default storage: it gets 1, 32 or 8 requests at a time."""
    (tmp_path / "root").mkdir()
    StorageManager.add_storage("inner", "memory://")
    StorageManager.add_storage("main", STORAGES[request.param](tmp_path))
    StorageManager.set_default("main")
    return StorageManager.storage()


def save(kind: type[Checked | Processed], count: int, folder: Path) -> int:
    """Save files in one flush of an `AsyncSession`, and return the thread of its event loop."""

    async def main() -> int:
        engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/x.db")
        try:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            async with AsyncSession(engine) as session:
                session.add_all([kind(body=File(b"%d" % number)) for number in range(count)])
                await session.commit()
        finally:
            await engine.dispose()
        return threading.get_ident()

    return asyncio.run(main())


def save_plainly(kind: type[Checked | Processed], count: int, folder: Path) -> int:
    engine = create_engine(f"sqlite:///{folder}/x.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([kind(body=File(b"%d" % number)) for number in range(count)])
        session.commit()
    engine.dispose()
    return 0


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize(("kind", "worker"), [(Checked, VALIDATOR), (Processed, PROCESSOR)])
def test_nothing_is_computed_by_the_event_loop(
    storage: Any, tmp_path: Path, kind: Any, worker: Worker, count: int
) -> None:
    loop = save(kind, count, tmp_path)
    assert worker.threads
    assert loop not in worker.threads


@pytest.mark.parametrize("way", [save, save_plainly])
@pytest.mark.parametrize(("kind", "worker"), [(Checked, VALIDATOR), (Processed, PROCESSOR)])
def test_two_files_are_worked_on_at_the_same_time(
    storage: Any,
    tmp_path: Path,
    kind: Any,
    worker: Worker,
    way: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "cpu_count", lambda: 2)
    meeting = threading.Barrier(2)
    worker.work = lambda: meeting.wait(20)
    way(kind, 2, tmp_path)
    assert worker.most == 2


@pytest.mark.parametrize("way", [save, save_plainly])
@pytest.mark.parametrize(("kind", "worker"), [(Checked, VALIDATOR), (Processed, PROCESSOR)])
def test_no_more_files_are_worked_on_at_a_time_than_there_are_cores(
    storage: Any, tmp_path: Path, kind: Any, worker: Worker, way: Any
) -> None:
    """However many requests the storage gets at a time."""
    worker.work = lambda: time.sleep(0.01)
    way(kind, 24, tmp_path)
    assert worker.most <= (os.cpu_count() or 1)
    assert len(keys(storage)) == (48 if kind is Processed else 24)


def test_streams_that_are_awaited_do_not_let_more_files_be_worked_on(
    storage: Any, tmp_path: Path
) -> None:
    VALIDATOR.work = lambda: time.sleep(0.01)
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Checked(body=File(iter([b"x"]))) for _ in range(12)])
        session.commit()
    engine.dispose()
    assert VALIDATOR.most <= (os.cpu_count() or 1)


def test_a_processor_that_fails_leaves_nothing_of_any_file(storage: Any, tmp_path: Path) -> None:
    calls = itertools.count()
    PROCESSOR.work = lambda: 1 // (next(calls) - 3)
    with pytest.raises(ZeroDivisionError):
        save(Processed, 12, tmp_path)
    assert keys(storage) == []
