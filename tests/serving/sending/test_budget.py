"""The budget of memory of open streams: how many are open, and whose turn it is."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from obstore.store import MemoryStore

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import ObjectNotFoundError, StorageError
from sqlalchemy_file.serving import budget, event_loop
from sqlalchemy_file.serving.answering import problem_of
from sqlalchemy_file.serving.http import ByteRange
from sqlalchemy_file.storage import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.serving.reading import astream

CONTENT = bytes(range(251)) * 12_000
SIZE = len(CONTENT)
AT_ONCE = 4
SLICES = 2


class Counting(MemoryStorage):
    """A storage in memory that knows how many of its streams are open, and how many were."""

    def __init__(self) -> None:
        super().__init__()
        self.open = self.most = self.opened = 0
        self._counting = threading.Lock()

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with self._counting:
            self.open += 1
            self.opened += 1
            self.most = max(self.most, self.open)
        try:
            yield from super().stream(key, start, end)
        finally:
            with self._counting:
                self.open -= 1


@pytest.fixture(autouse=True)
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "STREAMS", AT_ONCE)
    monkeypatch.setattr(budget, "SLICES", SLICES)
    monkeypatch.setattr(budget, "PATIENCE", 0.02)


@pytest.fixture
def storage() -> Counting:
    storage = Counting()
    StorageManager.add_storage("main", storage)
    storage.put("key", io.BytesIO(CONTENT), Attributes())
    return storage


async def begun(start: int = 0) -> AsyncIterator[bytes]:
    """Return a download whose first chunk has been read."""
    return await astream("main", "key", [ByteRange(start, SIZE)])


async def rest_of(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def whole(start: int = 0) -> bytes:
    return await rest_of(await begun(start))


def test_many_downloads_have_few_streams_open(storage: Counting) -> None:
    async def run() -> list[bytes]:
        return await asyncio.gather(*(whole(number) for number in range(40)))

    assert asyncio.run(run()) == [CONTENT[number:] for number in range(40)]
    assert storage.open == 0
    assert storage.most <= AT_ONCE + SLICES


def test_few_downloads_have_one_stream_each(storage: Counting) -> None:
    async def run() -> list[bytes]:
        slow = [await begun() for _ in range(AT_ONCE)]
        await asyncio.sleep(2 * budget.PATIENCE)
        return [await rest_of(each) for each in slow]

    assert asyncio.run(run()) == [CONTENT] * AT_ONCE
    assert storage.opened == AT_ONCE


def test_slow_clients_go_on_where_they_were_after_others_have_had_their_streams(
    storage: Counting,
) -> None:
    async def run() -> None:
        slow = [await begun() for _ in range(AT_ONCE)]
        quick = [await whole() for _ in range(AT_ONCE)]
        assert quick == [CONTENT] * AT_ONCE
        assert storage.opened > 2 * AT_ONCE - 1
        assert [await rest_of(each) for each in slow] == [CONTENT] * AT_ONCE

    asyncio.run(run())
    assert storage.open == 0
    assert storage.most <= AT_ONCE + SLICES


def test_a_long_download_gives_its_stream_to_a_quick_client_that_waits(
    storage: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PATIENCE", "WAIT"):
        monkeypatch.setattr(budget, name, 60)
    monkeypatch.setattr(budget, "AHEAD", 60)
    monkeypatch.setattr(budget, "QUANTUM", SIZE // 2)

    async def run() -> None:
        long = [await begun() for _ in range(AT_ONCE)]
        late = asyncio.create_task(whole())
        while not budget._budgets()["main"].has_others_waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        read = 0
        while read < SIZE // 2:
            read += len(await anext(long[0]))
        first = asyncio.create_task(rest_of(long[0]))
        assert await late == CONTENT
        assert CONTENT.endswith(await first)

    asyncio.run(run())


def test_a_quick_client_gets_slices_while_no_stream_is_given_back(
    storage: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "PATIENCE", 60)
    monkeypatch.setattr(budget, "AHEAD", 60)
    monkeypatch.setattr(budget, "WAIT", 0.005)

    async def run() -> None:
        idle = [await begun() for _ in range(AT_ONCE)]
        assert await whole() == CONTENT
        assert [await rest_of(each) for each in idle]

    asyncio.run(run())
    assert storage.open == 0


def test_a_client_that_has_waited_for_too_long_keeps_its_place_in_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "STREAMS", 1)
    monkeypatch.setattr(budget, "PATIENCE", 60)
    quick = budget.Pace()
    quick.note(budget.LARGEST, 0)
    served: list[str] = []

    async def ranges(start: int, end: int) -> AsyncGenerator[bytes, None]:
        yield CONTENT[start:end]

    async def run() -> None:
        shared = budget._Budget()
        places = {name: budget._Place() for name in ("first", "second", "third")}

        async def join(name: str) -> None:
            reading = await shared.begin(ranges, 0, SIZE, quick, places[name])
            served.append(name)
            await reading.aclose()

        open_one = await shared.begin(ranges, 0, SIZE, quick, budget._Place())
        monkeypatch.setattr(budget, "WAIT", 0.001)
        await join("first")  # it reads a slice
        monkeypatch.setattr(budget, "WAIT", 60)
        joined = []
        for name in ("second", "third", "first"):
            joined.append(asyncio.create_task(join(name)))
            await asyncio.sleep(0)
        await open_one.aclose()
        await asyncio.gather(*joined)
        assert not shared.has_others_waiting

    asyncio.run(run())
    assert served == ["first", "first", "second", "third"]


def test_slow_clients_hold_no_streams_while_more_want_one_than_there_are(
    storage: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "AHEAD", 0)

    async def run() -> None:
        slow = [await begun() for _ in range(5 * AT_ONCE)]
        for _ in range(3):
            for each in slow[AT_ONCE:]:
                assert len(await anext(each)) == budget.SMALLEST
        assert storage.open == AT_ONCE  # those of the first
        assert await asyncio.gather(*map(rest_of, slow))

    asyncio.run(run())
    assert storage.open == 0


def test_pieces_grow_for_a_quick_client(storage: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AHEAD", "_AT_FIRST"):  # a busy machine does not make it slow
        monkeypatch.setattr(budget, name, 60)

    async def run() -> list[int]:
        return [len(piece) async for piece in await begun()]

    pieces = asyncio.run(run())
    assert sum(pieces) == SIZE
    assert pieces[0] == budget.SMALLEST
    assert max(pieces) > budget.WHOLE


def test_clients_that_stop_hold_no_more_than_their_budget(
    storage: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "AHEAD", 60)  # all have been quick
    monkeypatch.setattr(budget, "HELD", 1024 * 1024)
    monkeypatch.setattr(budget, "WAIT", 0.001)

    async def run() -> None:
        for _ in range(2):  # what clients held is free when they have left
            stopped = [await begun() for _ in range(40)]
            held = [len(await anext(each)) for each in stopped]
            assert held[0] == budget.WHOLE
            assert held[-1] < 2 * budget.SMALLEST
            assert sum(held) <= budget.HELD + len(held) * budget.SMALLEST
            for each in stopped:
                await each.aclose()  # type: ignore[attr-defined]

    asyncio.run(run())


def test_small_pieces_do_not_make_a_stream_less_idle() -> None:
    async def ranges(start: int, end: int) -> AsyncGenerator[bytes, None]:
        yield CONTENT[start : end // 2]
        yield CONTENT[end // 2 : end]

    async def run() -> None:
        stream = budget._Budget()._open(ranges, 0, SIZE)
        await stream.read(1)
        since = stream.idle_since
        await asyncio.sleep(0.001)
        await stream.read(1)
        assert stream.idle_since == since is not None
        await stream.read(SIZE)
        await stream.read(1)
        assert stream.idle_since is not None
        assert stream.idle_since > since
        await stream.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("size", [1, budget.SMALLEST, budget.WHOLE])
def test_a_small_range_is_one_request_and_waits_for_no_stream(storage: Counting, size: int) -> None:
    async def run() -> None:
        idle = [await begun() for _ in range(AT_ONCE)]
        assert await whole(SIZE - size) == CONTENT[-size:]
        assert storage.opened == AT_ONCE + 1
        for each in idle:
            await each.aclose()  # type: ignore[attr-defined]

    asyncio.run(run())


def test_a_request_does_not_wait_for_ever_for_slices_that_hang(
    storage: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        slices = budget._budgets()["main"]._slices
        for _ in range(SLICES):
            await slices.acquire()
        monkeypatch.setattr(event_loop, "TIMEOUT", 0.005)
        with pytest.raises(StorageError, match="earlier requests") as raised:
            await whole(SIZE - 1)
        assert problem_of(raised.value).status is HTTPStatus.GATEWAY_TIMEOUT
        slices.release()
        monkeypatch.setattr(event_loop, "TIMEOUT", 60)
        assert [await whole(SIZE - 1) for _ in range(SLICES)] == [CONTENT[-1:]] * SLICES

    asyncio.run(run())


def test_a_request_waits_for_slices_as_long_as_others_get_theirs(
    storage: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        waiting_room = budget._budgets()["main"]
        for _ in range(SLICES):
            await waiting_room._slices.acquire()
        monkeypatch.setattr(event_loop, "TIMEOUT", 0.02)
        waits = asyncio.create_task(whole(SIZE - 1))
        for _ in range(10):
            await asyncio.sleep(0.01)
            waiting_room._answers += 1
        assert not waits.done()
        waiting_room._slices.release()
        assert await waits == CONTENT[-1:]

    asyncio.run(run())


@pytest.mark.parametrize("leaves", ["a reader", "one who waits"])
def test_a_client_that_leaves_takes_no_memory_with_it(storage: Counting, leaves: str) -> None:
    async def run() -> None:
        slow = [await begun() for _ in range(AT_ONCE)]
        waiting = [asyncio.create_task(whole()) for _ in range(5)]
        await asyncio.sleep(0)
        if leaves == "a reader":
            for each in slow:
                await each.aclose()  # type: ignore[attr-defined]
        else:
            for task in waiting[:3]:
                task.cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [each for each in found if isinstance(each, bytes)] == [CONTENT] * (
            5 if leaves == "a reader" else 2
        )
        for each in slow:
            await each.aclose()  # type: ignore[attr-defined]
        assert await asyncio.gather(*(whole() for _ in range(2 * AT_ONCE)))

    asyncio.run(run())
    assert storage.open == 0
    assert storage.most <= AT_ONCE + SLICES


def test_a_client_that_leaves_before_its_first_byte_takes_no_memory_with_it(
    storage: Counting,
) -> None:
    async def run() -> None:
        for _ in range(3):
            left = [await begun() for _ in range(AT_ONCE)]
            for each in left:
                await each.aclose()  # type: ignore[attr-defined]
            del each, left
        await asyncio.sleep(0)
        assert await asyncio.gather(*(whole() for _ in range(AT_ONCE))) == [CONTENT] * AT_ONCE

    asyncio.run(run())
    assert storage.open == 0
    assert storage.most <= AT_ONCE + SLICES


def test_a_client_that_leaves_while_its_stream_is_taken_back_is_no_error(
    storage: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        slow = [await begun() for _ in range(AT_ONCE)]
        late = asyncio.create_task(whole())
        while storage.open == AT_ONCE:  # noqa: ASYNC110  as above
            await asyncio.sleep(0)
        late.cancel()
        readers = [asyncio.create_task(rest_of(each)) for each in slow]
        await asyncio.sleep(0)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, late, return_exceptions=True)
        assert await whole() == CONTENT

    asyncio.run(run(), debug=True)
    assert storage.open == 0
    assert "never retrieved" not in caplog.text


def test_an_object_that_goes_meanwhile_ends_the_download(storage: Counting) -> None:
    async def run() -> None:
        slow = [await begun() for _ in range(AT_ONCE)]
        await whole()
        storage.delete(["key"])
        found: list[Any] = await asyncio.gather(
            *(rest_of(each) for each in slow), return_exceptions=True
        )
        assert any(isinstance(each, ObjectNotFoundError) for each in found)
        assert all(each == CONTENT or isinstance(each, ObjectNotFoundError) for each in found)

    asyncio.run(run())
    assert storage.open == 0


def test_an_object_that_is_replaced_meanwhile_ends_the_download() -> None:
    StorageManager.add_storage("main", MemoryStore())
    storage = StorageManager.storage("main")
    storage.put("key", io.BytesIO(CONTENT), Attributes())

    async def run() -> None:
        slow = [await begun() for _ in range(AT_ONCE)]
        late = [asyncio.create_task(whole()) for _ in range(AT_ONCE)]
        assert await asyncio.gather(*late) == [CONTENT] * AT_ONCE
        storage.put("key", io.BytesIO(CONTENT[::-1]), Attributes())
        found: list[Any] = await asyncio.gather(
            *(rest_of(each) for each in slow), return_exceptions=True
        )
        assert any("replaced" in str(each) for each in found if isinstance(each, StorageError))
        assert all(each == CONTENT or isinstance(each, StorageError) for each in found)

    asyncio.run(run())
