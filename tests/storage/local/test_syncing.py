"""What a batch stores on a local disk is synced at its end, before anything relies on it."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage import LocalStorage
from sqlalchemy_file.storage.local.writing import synced_together
from tests.asynchronous import database
from tests.models import Base, Paper
from tests.storage.helpers import names, put, read

LARGE = b"x" * (1024 * 1024 + 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is synced from now on: ``file`` or ``folder``, and other things as they come."""
    calls: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("folder" if is_folder else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


@pytest.fixture
def broken_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    return lambda: monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("sidecars", [False, True])
def test_small_files_wait_for_the_end_of_the_block(
    root: Path, synced: list[str], sidecars: bool
) -> None:
    storage = LocalStorage(root, sidecars=sidecars)
    put(storage, "first")
    synced.clear()
    with synced_together():
        for number in range(20):
            put(storage, f"{number}", filename="name")
        put(storage, "a/b/key")
        assert synced == []
    files = 41 if sidecars else 21
    assert synced.count("file") == files
    assert 3 <= synced.count("folder") <= 10, "far fewer than files"
    assert synced[-1] == "folder"


def test_large_files_and_such_that_replace_others_are_synced_at_once(
    root: Path, synced: list[str]
) -> None:
    storage = LocalStorage(root)
    put(storage, "old")
    synced.clear()
    with synced_together():
        put(storage, "large", LARGE)
        put(storage, "old", b"new")
        assert synced == ["file", "folder", "file", "folder"]
    assert len(synced) == 4


def test_outside_of_a_block_nothing_waits(root: Path, synced: list[str]) -> None:
    storage = LocalStorage(root)
    with synced_together():
        pass
    put(storage, "key")
    assert synced[-2:] == ["file", "folder"]


def test_without_fsync_nothing_is_synced(root: Path, synced: list[str]) -> None:
    storage = LocalStorage(root, fsync=False)
    with synced_together():
        put(storage, "key")
    assert synced == []


def test_what_is_gone_at_the_end_is_left_out(root: Path) -> None:
    storage = LocalStorage(root)
    with synced_together():
        for key in ("stays", "goes", "folder/goes"):
            put(storage, key)
        storage.delete(["goes", "folder/goes"])
    assert names(root) == ["stays"]


def test_a_folder_that_is_lost_is_not_taken_for_an_empty_one(root: Path) -> None:
    root.mkdir()
    storage = LocalStorage(root, create=False)
    with pytest.raises(StorageError, match="there is no folder"), synced_together():
        put(storage, "key")
        shutil.rmtree(root)


def test_an_error_of_the_block_is_what_is_raised(root: Path, synced: list[str]) -> None:
    storage = LocalStorage(root)
    with pytest.raises(ZeroDivisionError), synced_together():
        put(storage, "key")
        synced.clear()
        raise ZeroDivisionError
    assert synced == []


def test_a_disk_that_fails_is_told_with_the_key(
    root: Path, broken_disk: Callable[[], None]
) -> None:
    storage = LocalStorage(root)
    with pytest.raises(StorageError, match=r"key 'a/key': .*EIO"), synced_together():
        put(storage, "a/key")
        broken_disk()


def test_a_flush_syncs_all_files_before_it_sends_a_row(
    root: Path, tmp_path: Path, synced: list[str]
) -> None:
    StorageManager.add_storage("main", LocalStorage(root))
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    Base.metadata.create_all(engine)
    event.listen(engine, "before_cursor_execute", lambda *args: synced.append(args[2].split()[0]))
    synced.clear()
    with Session(engine) as session:
        session.add_all(Paper(body=File(f"{number}".encode())) for number in range(30))
        session.commit()
        assert synced[: synced.index("INSERT")].count("file") == 30
        assert synced.count("file") == 30
        assert synced.count("folder") <= 4
        assert {paper.body.file.read() for paper in session.scalars(select(Paper))} == {
            f"{number}".encode() for number in range(30)
        }
    engine.dispose()


def test_a_flush_fails_with_a_disk_that_fails_and_leaves_nothing(
    root: Path, tmp_path: Path, broken_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    StorageManager.add_storage("main", LocalStorage(root))
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Paper(body=File(b"bytes")) for _ in range(3))
        broken_disk()
        with pytest.raises(StorageError, match=r"storage 'main', key '.*EIO"):
            session.commit()
        monkeypatch.undo()
        session.rollback()
        assert session.scalars(select(Paper)).all() == []
    assert names(root) == []
    engine.dispose()


def test_coroutines_sync_together_too(root: Path, tmp_path: Path, synced: list[str]) -> None:
    storage = LocalStorage(root)
    StorageManager.add_storage("main", storage)

    async def story() -> None:
        pages = [File(f"{number}".encode()) for number in range(20)]
        address = f"sqlite+aiosqlite:///{tmp_path}/x.db"
        async with database(address) as engine, AsyncSession(engine) as session:
            session.add(Paper(body=File(LARGE), pages=pages))
            await session.commit()

    asyncio.run(story())
    assert synced.count("file") == 21
    assert synced.count("folder") <= 5
    contents = {read(storage, name) for name in names(root)}
    assert contents == {LARGE, *(f"{number}".encode() for number in range(20))}
