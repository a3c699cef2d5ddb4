"""A batch that is interrupted, or awaited and cancelled, leaves nothing running."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file.transfer import (
    MOST_THREADS,
    Operation,
    carry_out,
    in_thread,
    results,
)

WAIT = 10
"""Seconds after which a test that waits has failed."""


class Counting:
    """Operations that note when they run, and how many at once."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.begun: list[int] = []
        self.ended: list[int] = []
        self._lock = threading.Lock()

    def run(self, number: int, seconds: float = 0.01) -> int:
        with self._lock:
            self.begun.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            time.sleep(seconds)
        finally:
            with self._lock:
                self.running -= 1
                self.ended.append(number)
        return number

    def operations(self, count: int, seconds: float = 0.01) -> list[Operation[int]]:
        return [Operation(partial(self.run, number, seconds)) for number in range(count)]


def fail(error: BaseException) -> Any:
    raise error


def in_asyncio(work: Callable[[], Any]) -> Any:
    async def main() -> Any:
        return await greenlet_spawn(work)

    return asyncio.run(main())


# --- interruption


@pytest.fixture
def _ctrl_c_is_heard() -> Iterator[None]:
    """Worker processes of pytest-xdist ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_is_raised_once_all_that_was_begun_has_ended() -> None:
    counting = Counting()

    def interrupt() -> None:
        time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    operations: list[Operation[Any]] = [Operation(interrupt), *counting.operations(50, 0.05)]
    with pytest.raises(KeyboardInterrupt):
        carry_out(operations, limit=4)
    assert counting.running == 0
    assert len(counting.begun) < 50


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_that_comes_while_others_are_waited_for_leaves_nothing_running() -> None:
    counting = Counting()
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
    slow = counting.operations(4, 0.4)

    def until_all_have_begun() -> int:
        while len(counting.begun) < 4:
            time.sleep(0.001)
        timer.start()
        return 0

    try:
        with pytest.raises(KeyboardInterrupt):
            carry_out([Operation(until_all_have_begun), *slow], limit=5)
            time.sleep(WAIT)  # where the signal is handled at the latest
    finally:
        timer.join()
    assert counting.running == 0


def test_an_exit_in_an_operation_is_raised() -> None:
    with pytest.raises(SystemExit):
        carry_out([Operation(partial(fail, SystemExit(3))), *Counting().operations(5)])


# --- asyncio


def test_coroutines_are_awaited_together() -> None:
    async def one(number: int) -> int:
        await asyncio.sleep(0.05)
        return number

    operations = [
        Operation(partial(fail, AssertionError("not in a thread")), partial(one, number))
        for number in range(8)
    ]
    begun = time.monotonic()
    assert results(in_asyncio(lambda: carry_out(operations))) == list(range(8))
    assert time.monotonic() - begun < 0.3


def test_without_asyncio_the_function_is_run_not_the_coroutine() -> None:
    async def never() -> int:
        raise AssertionError

    assert results(carry_out([Operation(lambda: 1, never)])) == [1]


def test_the_event_loop_goes_on_meanwhile() -> None:
    counting = Counting()

    async def main() -> int:
        batch = asyncio.ensure_future(
            greenlet_spawn(lambda: carry_out(counting.operations(8, 0.2)))
        )
        ticks = 0
        while not batch.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks

    assert asyncio.run(main()) > 5


async def _cancelled(counting: Counting, *, go_on: bool, times: int = 1) -> None:
    """Cancel a batch in its middle, perhaps more than once, and note what the caller sees."""
    batch = asyncio.ensure_future(
        greenlet_spawn(lambda: carry_out(counting.operations(12, 0.1), limit=4, go_on=go_on))
    )
    for _ in range(times):
        await asyncio.sleep(0.03)
        batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch


@pytest.mark.parametrize("times", [1, 3])
def test_a_cancelled_batch_leaves_nothing_running(times: int) -> None:
    counting = Counting()
    asyncio.run(_cancelled(counting, go_on=False, times=times))
    assert counting.running == 0
    assert len(counting.ended) == 4


@pytest.mark.parametrize("go_on", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_a_cancellation_reaches_coroutines_once_and_waits_for_what_they_take_back(
    times: int, go_on: bool
) -> None:
    """Unless the batch is to be finished first."""
    told: list[str] = []

    async def one() -> None:
        try:
            await asyncio.sleep(0.3 if go_on else WAIT)
            told.append("done")
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            told.append("taken back")
            raise

    async def main() -> None:
        operations = [Operation(partial(fail, AssertionError("not in a thread")), one)] * 6
        batch = asyncio.ensure_future(_then_wait(operations, go_on=go_on))
        for _ in range(times):
            await asyncio.sleep(0.03)
            batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch

    asyncio.run(main())
    assert told == (["done"] * 6 if go_on else ["taken back"] * 4)


async def _then_wait(operations: list[Operation[Any]], *, go_on: bool) -> None:
    await greenlet_spawn(lambda: carry_out(operations, limit=4, go_on=go_on))
    await asyncio.sleep(WAIT)


def test_a_thread_is_waited_for_however_often_its_caller_is_cancelled() -> None:
    counting = Counting()

    async def main() -> None:
        task = asyncio.ensure_future(in_thread(partial(counting.run, 1, 0.2)))
        for _ in range(3):
            await asyncio.sleep(0.02)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert counting.ended == [1]


def test_what_no_thread_has_begun_is_not_begun_after_a_cancellation() -> None:
    busy, counting = Counting(), Counting()

    async def main() -> None:
        workers = [in_thread(partial(busy.run, number, 0.5)) for number in range(MOST_THREADS)]
        working = [asyncio.ensure_future(each) for each in workers]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_thread(partial(counting.run, 1))
        assert time.monotonic() - began < 0.3
        await asyncio.gather(*working)

    asyncio.run(main())
    assert counting.begun == []


def test_asyncio_timeout_leaves_nothing_running() -> None:
    counting = Counting()

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await greenlet_spawn(lambda: carry_out(counting.operations(12, 0.1), limit=4))

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert counting.running == 0
    assert len(counting.ended) == 4


def test_a_batch_that_goes_on_is_finished_before_the_cancellation_strikes() -> None:
    counting = Counting()

    async def main() -> str:
        try:
            async with asyncio.timeout(0.05):
                await greenlet_spawn(
                    lambda: carry_out(counting.operations(6, 0.1), limit=2, go_on=True)
                )
                await asyncio.sleep(WAIT)
        except TimeoutError:
            return "timed out"
        return "not cancelled"

    assert asyncio.run(main()) == "timed out"
    assert len(counting.ended) == 6


def test_a_cancelled_task_group_waits_for_the_batch() -> None:
    counting = Counting()

    async def breaks() -> None:
        await asyncio.sleep(0.03)
        raise ValueError("sibling")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(greenlet_spawn(lambda: carry_out(counting.operations(12, 0.1))))  # type: ignore[arg-type]
            group.create_task(breaks())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [str(error) for error in caught.value.exceptions] == ["sibling"]
    assert counting.running == 0
