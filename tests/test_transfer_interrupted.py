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

from sqlalchemy_file.support.defaults import Limits
from sqlalchemy_file.transfer import (
    Operation,
    carry_out,
    in_thread,
    results,
)
from tests.counting import WAIT, Counting


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
        counting.wait_until_begun(4)
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
    together = asyncio.Barrier(8)

    async def one(number: int) -> int:
        await asyncio.wait_for(together.wait(), WAIT)
        return number

    operations = [
        Operation(partial(fail, AssertionError("not in a thread")), partial(one, number))
        for number in range(8)
    ]
    assert results(in_asyncio(lambda: carry_out(operations))) == list(range(8))


def test_without_asyncio_the_function_is_run_not_the_coroutine() -> None:
    async def never() -> int:
        raise AssertionError

    assert results(carry_out([Operation(lambda: 1, never)])) == [1]


def test_the_event_loop_goes_on_meanwhile() -> None:
    counting = Counting(held=True)

    async def main() -> None:
        batch = asyncio.ensure_future(greenlet_spawn(lambda: carry_out(counting.operations(8))))
        await counting.have_begun(1)
        assert not batch.done()
        counting.go.set()
        await batch

    asyncio.run(main())
    assert len(counting.ended) == 8


async def _cancelled(counting: Counting, *, go_on: bool, times: int = 1) -> None:
    """Cancel a batch in its middle, perhaps more than once, and note what the caller sees."""
    batch = asyncio.ensure_future(
        greenlet_spawn(lambda: carry_out(counting.operations(12), limit=4, go_on=go_on))
    )
    await counting.have_begun(4)
    for _ in range(times):
        batch.cancel()
        await asyncio.sleep(0.01)
    counting.go.set()
    with pytest.raises(asyncio.CancelledError):
        await batch


@pytest.mark.parametrize("times", [1, 3])
def test_a_cancelled_batch_leaves_nothing_running(times: int) -> None:
    counting = Counting(held=True)
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
    counting = Counting(held=True)

    async def main() -> None:
        task = asyncio.ensure_future(in_thread(partial(counting.run, 1)))
        await counting.have_begun(1)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
        counting.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert counting.ended == [1]


def test_what_no_thread_has_begun_is_not_begun_after_a_cancellation() -> None:
    busy, counting = Counting(held=True), Counting()

    async def main() -> None:
        workers = [in_thread(partial(busy.run, number)) for number in range(Limits().threads)]
        working = [asyncio.ensure_future(each) for each in workers]
        await busy.have_begun(Limits().threads)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_thread(partial(counting.run, 1))
        assert busy.ended == []
        busy.go.set()
        await asyncio.gather(*working)

    asyncio.run(main())
    assert counting.begun == []


async def _strike(counting: Counting, count: int, limit: asyncio.Timeout) -> None:
    """Let a timeout strike once so many operations have begun, before they end."""
    await counting.have_begun(count)
    limit.reschedule(asyncio.get_running_loop().time())
    await asyncio.sleep(0.01)
    counting.go.set()


def test_asyncio_timeout_leaves_nothing_running() -> None:
    counting = Counting(held=True)

    async def main() -> None:
        async with asyncio.timeout(WAIT) as timeout:
            striking = asyncio.ensure_future(_strike(counting, 4, timeout))
            await greenlet_spawn(lambda: carry_out(counting.operations(12), limit=4))
        await striking

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert counting.running == 0
    assert len(counting.ended) == 4


def test_a_batch_that_goes_on_is_finished_before_the_cancellation_strikes() -> None:
    counting = Counting(held=True)

    async def main() -> str:
        try:
            async with asyncio.timeout(WAIT) as timeout:
                striking = asyncio.ensure_future(_strike(counting, 2, timeout))
                await greenlet_spawn(lambda: carry_out(counting.operations(6), limit=2, go_on=True))
                await asyncio.sleep(WAIT)
        except TimeoutError:
            await striking
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
