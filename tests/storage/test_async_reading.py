"""Reading from coroutines: a cancelled read loses no bytes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from sqlalchemy_file import StorageManager
from sqlalchemy_file.storage import LocalStorage, MemoryStorage
from sqlalchemy_file.testing import Fault, FaultyStorage
from tests.counting import strike

DATA = bytes(range(256)) * 2000

STORAGES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: FaultyStorage(MemoryStorage()),
    "native": lambda folder: FaultyStorage(native()),
}


def native() -> Any:
    StorageManager.add_storage("inner", MemoryStore())
    return StorageManager.storage("inner")


@pytest.mark.parametrize("kind", STORAGES)
@pytest.mark.parametrize("size", [100, 100_000, -1])
def test_after_a_read_that_timed_out_reading_goes_on_where_it_was(
    kind: str, size: int, tmp_path: Path
) -> None:
    storage = STORAGES[kind](tmp_path)
    StorageManager.add_storage("main", storage)
    StorageManager.save_file("key", DATA, "main")

    async def read() -> None:
        stored = StorageManager.get_file("main/key")
        first = await stored.aread(100)
        stored.seek(70_000)  # a new request
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                now = partial(strike, limit, asyncio.get_running_loop())
                storage.inject("stream", Fault(before=now))
                await stored.aread(size)
        storage.mend()
        assert stored.tell() == 70_000
        assert await stored.aread(size) == DATA[70_000 : 70_000 + size if size > 0 else None]
        assert first == DATA[:100]

    asyncio.run(read())


def test_a_read_of_a_file_on_disk_that_was_cancelled_begins_anew(tmp_path: Path) -> None:
    StorageManager.add_storage("main", _SlowFolder(tmp_path))
    StorageManager.save_file("key", DATA)

    async def read() -> None:
        stored = StorageManager.get_file("main/key")
        task = asyncio.ensure_future(stored.aread())
        assert await asyncio.to_thread(_SlowFolder.reading.wait, 20)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stored.aread(300) == DATA[:300]
        assert await stored.aread() == DATA[300:]

    asyncio.run(read())


class _SlowFolder(LocalStorage):
    reading = threading.Event()

    def read_file(self, key: str) -> bytes:
        self.reading.set()
        time.sleep(0.1)
        return super().read_file(key)

    def open_file(self, key: str) -> Any:
        self.reading.set()
        time.sleep(0.1)
        return super().open_file(key)
