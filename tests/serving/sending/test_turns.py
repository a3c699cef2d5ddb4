"""Many downloads at once: each has its turn, and the loop's other tasks do not wait for all."""

from __future__ import annotations

import asyncio
import gc
import weakref
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.serving import bodies
from sqlalchemy_file.serving.event_loop import MOST, turns
from sqlalchemy_file.serving.http import ByteRange
from sqlalchemy_file.storage.local import LocalStorage
from sqlalchemy_file.storage.local.files import ObjectFile
from tests.serving.reading import stream


def test_other_tasks_run_between_a_few_turns() -> None:
    async def main() -> int:
        worked, most = 0, 0

        async def work() -> None:
            nonlocal worked
            for _ in range(5):
                await turns().take()
                worked += 1

        tasks = [asyncio.create_task(work()) for _ in range(200)]
        while not all(task.done() for task in tasks):
            before = worked
            await asyncio.sleep(0)
            most = max(most, worked - before)
        assert worked == 1000
        return most

    assert asyncio.run(main()) <= 2 * MOST


def test_a_task_alone_takes_its_turns_at_once() -> None:
    async def main() -> bool:
        return all([await _is_immediate() for _ in range(3)])

    assert asyncio.run(main())


async def _is_immediate() -> bool:
    await asyncio.sleep(0)
    waiting = turns().take()
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False


def test_who_gives_up_waiting_takes_no_turn_from_others() -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def work(name: str) -> None:
            await turns().take()
            order.append(name)

        first = [asyncio.create_task(work("first")) for _ in range(MOST)]
        waiting = [asyncio.create_task(work("waiting")) for _ in range(5 * MOST)]
        await asyncio.sleep(0)
        for task in waiting[:-1]:
            task.cancel()
        await asyncio.gather(*first, *waiting, return_exceptions=True)
        await asyncio.sleep(0)
        await work("later")
        return order

    order = asyncio.run(asyncio.wait_for(main(), 5))
    assert order == [*["first"] * MOST, "waiting", "later"]


def test_loops_that_are_closed_are_forgotten() -> None:
    async def main() -> weakref.ref[asyncio.AbstractEventLoop]:
        await turns().take()
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(main()) for _ in range(5)]
    gc.collect()
    assert [loop() for loop in loops[:-1]] == [None] * 4


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    (tmp_path / "key").write_bytes(CONTENT)
    return LocalStorage(tmp_path)


CONTENT = bytes(range(256)) * 2000


@pytest.mark.parametrize("at_once", [bodies._AT_ONCE, 0], ids=["at once", "in threads"])
@pytest.mark.parametrize(
    ("start", "end"),
    [(0, len(CONTENT)), (0, 1), (100, 70_000), (65_536, 65_537), (400_000, 512_000)],
)
def test_a_file_is_read_from_one_position_to_another(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, at_once: int, start: int, end: int
) -> None:
    monkeypatch.setattr(bodies, "_AT_ONCE", at_once)
    assert asyncio.run(_read(storage, start, end)) == CONTENT[start:end]


def test_what_is_not_in_memory_is_read_in_a_thread(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(*_: Any) -> int:
        raise BlockingIOError

    monkeypatch.setattr(bodies, "_AT_ONCE", 8)
    monkeypatch.setattr("os.preadv", waits)
    assert asyncio.run(_read(storage, 0, len(CONTENT))) == CONTENT


def test_a_file_that_cannot_be_read_is_an_error_of_its_storage(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> bytes:
        raise OSError(5, "Input/output error")

    StorageManager.add_storage("main", storage)
    monkeypatch.setattr(ObjectFile, "read", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        asyncio.run(_read(storage, 0, 10))
    with pytest.raises(StorageError, match="Input/output error"):
        stream("main", "key", [ByteRange(0, 10)])


@pytest.mark.parametrize(("start", "end"), [(0, len(CONTENT)), (0, 1), (400_000, 512_000)])
def test_a_thread_opens_a_file_once(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, start: int, end: int
) -> None:
    opened: list[FileIO] = []
    open_file = storage.open_file

    def watched(key: str) -> FileIO:
        opened.append(open_file(key))
        return opened[-1]

    monkeypatch.setattr(storage, "open_file", watched)
    StorageManager.add_storage("main", storage)
    sent = stream("main", "key", [ByteRange(start, end)], None, len(CONTENT))
    assert b"".join(sent) == CONTENT[start:end]
    assert [file.closed for file in opened] == [True]


async def _read(storage: LocalStorage, start: int, end: int) -> bytes:
    with bodies.LocalFile("main", storage, "key", None) as ranges:
        return b"".join([each async for each in ranges(start, end)])


def test_a_file_that_opens_after_its_download_has_ended_is_closed(storage: LocalStorage) -> None:
    local = bodies.LocalFile("main", storage, "key", None)
    with local:
        pass
    assert local._read(10, 0) == CONTENT[:10]
    assert local._file is not None
    assert local._file.closed
