"""A storage that keeps less than it was given is found out before any row is sent."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import InvalidStorageError, StorageError
from sqlalchemy_file.storage import (
    Attributes,
    LocalStorage,
    MemoryStorage,
    ObjectInfo,
    adapt,
)
from sqlalchemy_file.testing import Fault, FaultyStorage
from sqlalchemy_file.values.state import state_of
from tests.asynchronous import database
from tests.models import Base, Paper
from tests.storage.helpers import PLAIN, keys, names, put, read
from tests.stores import sqlite


class Liar(MemoryStorage):
    """Says that all went well, and has other bytes than it was given, or none."""

    def __init__(self, kept: int | None, *, verify: bool) -> None:
        super().__init__()
        self._kept = kept
        self.verify = verify

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        data = content.read()
        if self._kept is not None:
            super().put(key, io.BytesIO(data[: self._kept]), attributes, exclusive=exclusive)
        return ObjectInfo(key=key, size=len(data))


class AsyncLiar(Liar):
    """Has native coroutines."""

    async def aput(self, *arguments: Any, **options: Any) -> ObjectInfo:
        return self.put(*arguments, **options)

    async def astat(self, key: str) -> ObjectInfo:
        return self.stat(key)

    async def adelete(self, keys: Sequence[str]) -> None:
        self.delete(keys)

    async def acopy(self, key: str, new_key: str) -> ObjectInfo:
        return self.copy(key, new_key)

    def astream(self, key: str, start: int = 0, end: int | None = None) -> Any: ...

    def alist(self, prefix: str = "", start_after: str | None = None) -> Any: ...


@pytest.mark.parametrize("kept", [None, 0, 3])
def test_no_row_names_what_was_not_kept(kept: int | None) -> None:
    storage = Liar(kept, verify=True)
    StorageManager.add_storage("main", storage)
    with Session(sqlite(Base)) as session:
        session.add(Paper(body=File(b"bytes")))
        with pytest.raises(StorageError, match="does not have it" if kept is None else "5 bytes"):
            session.commit()
        session.rollback()
        assert session.scalar(select(func.count()).select_from(Paper)) == 0
    assert keys(storage) == []


@pytest.mark.parametrize("kept", [None, 3])
def test_no_row_of_an_asynchronous_session_does(kept: int | None, tmp_path: Path) -> None:
    storage = AsyncLiar(kept, verify=True)
    StorageManager.add_storage("main", storage)

    async def run() -> None:
        async with (
            database(f"sqlite+aiosqlite:///{tmp_path}/x.db") as engine,
            AsyncSession(engine) as session,
        ):
            session.add(Paper(body=File(b"bytes")))
            with pytest.raises(StorageError, match="the storage"):
                await session.commit()

    asyncio.run(run())
    assert keys(storage) == []


def test_a_storage_that_tells_how_little_it_has_needs_no_option() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.inject("put", Fault(share=0.5))
    StorageManager.add_storage("main", storage)
    with Session(sqlite(Base)) as session:
        session.add(Paper(body=File(b"bytes!")))
        with pytest.raises(StorageError, match="was given 6 bytes and has 3"):
            session.commit()
    assert storage.count("stat") == 0
    assert keys(storage) == []


def test_a_chosen_key_that_was_not_kept_whole_is_free_again() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.inject("put", Fault(share=0.5), at=1)
    StorageManager.add_storage("main", storage)
    for attempt in range(2):
        file = File(b"bytes!")
        state_of(file).key = "chosen"
        if attempt:
            file.save_to_storage("main")
        else:
            with pytest.raises(StorageError, match="has 3"):
                file.save_to_storage("main")
            assert keys(storage) == []
    assert read(storage, "chosen") == b"bytes!"


@pytest.mark.parametrize("kept", [None, 3])
def test_the_manager_compares_too(kept: int | None) -> None:
    StorageManager.add_storage("main", AsyncLiar(kept, verify=True))
    with pytest.raises(StorageError, match="storage 'main', key 'key': the storage"):
        StorageManager.save_file("key", b"bytes")
    with pytest.raises(StorageError, match="storage 'main', key 'key': the storage"):
        asyncio.run(StorageManager.asave_file("key", b"bytes"))


def test_a_file_that_the_disk_has_not_whole_never_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path)
    put(storage, "key", b"before")
    real = os.write
    # As a network's file system does that is out of space, and says so to nobody.
    monkeypatch.setattr(
        os, "write", lambda descriptor, data: real(descriptor, data[:3]) and len(data)
    )
    with pytest.raises(StorageError, match="5 bytes were written and 3 are there"):
        put(storage, "key", b"bytes")
    assert names(tmp_path) == ["key"]
    assert read(storage, "key") == b"before"


def test_what_a_filesystem_of_fsspec_has_not_whole_never_appears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filesystem = MemoryFileSystem()
    storage = adapt(filesystem, root="/verifying")
    put(storage, "key", b"before")
    real = MemoryFileSystem.info

    def info(self: Any, path: str, **options: Any) -> dict[str, Any]:
        found = real(self, path, **options)
        return {**found, "size": 3} if ".sqlalchemy-file-" in path else found

    monkeypatch.setattr(MemoryFileSystem, "info", info)
    with pytest.raises(StorageError, match="was given 5 bytes and has 3"):
        put(storage, "key", b"bytes")
    assert read(storage, "key") == b"before"
    assert list(filesystem.find("/verifying")) == ["/verifying/key"]
    put(adapt(filesystem, root="/verifying", verify=False), "key", b"bytes")
    storage.delete(["key"])


def test_buckets_are_asked_where_that_is_wanted(s3_store: Any, bucket: Any) -> None:
    for thing in (s3_store, bucket):
        assert not adapt(thing).verify  # type: ignore[attr-defined]
        StorageManager.add_storage("main", thing, verify=True)
        with StorageManager.save_file("key", b"bytes") as stored:
            assert stored.info.last_modified is not None, "as the bucket itself says"
        StorageManager.clear()
    for value in ("yes", 1, None):
        with pytest.raises(InvalidStorageError, match="'verify' is True or False"):
            adapt(s3_store, verify=value)


def test_the_option_may_stand_in_an_address() -> None:
    address = "s3://bucket?region=us-east-1&access_key_id=a&secret_access_key=b"
    assert adapt(f"{address}&verify=true").verify  # type: ignore[attr-defined]
    assert not adapt(address).verify  # type: ignore[attr-defined]


def test_nothing_is_asked_without_the_option() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.put("key", io.BytesIO(b"bytes"), PLAIN)
    assert storage.count("stat") == 0
