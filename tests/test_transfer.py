"""A batch of operations: in order, at the same time, and never left running behind one's back."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file.transfer import (
    Operation,
    Outcome,
    carry_out,
    later,
    results,
    wait_for_background,
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


def in_threads(work: Callable[[], Any]) -> Any:
    return work()


def in_asyncio(work: Callable[[], Any]) -> Any:
    async def main() -> Any:
        return await greenlet_spawn(work)

    return asyncio.run(main())


@pytest.fixture(params=[in_threads, in_asyncio], ids=["threads", "asyncio"])
def way(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    """Run something as under `Session`, or as under `AsyncSession`."""
    return request.param  # type: ignore[no-any-return]


Way = Callable[[Callable[[], Any]], Any]


def test_nothing_to_do_has_no_outcome(way: Way) -> None:
    assert way(lambda: carry_out([])) == []


def test_the_outcomes_stand_in_the_order_of_the_operations(way: Way) -> None:
    operations = [Operation(partial(Counting().run, n, (20 - n) / 2000)) for n in range(20)]
    assert results(way(lambda: carry_out(operations))) == list(range(20))


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_no_more_than_the_limit_run_at_once_and_as_many_as_may(way: Way, limit: int) -> None:
    counting = Counting()
    way(lambda: carry_out(counting.operations(24, 0.03), limit=limit))
    assert counting.most == limit


def test_operations_are_begun_in_order(way: Way) -> None:
    counting = Counting()
    way(lambda: carry_out(counting.operations(20, 0), limit=1))
    assert counting.begun == list(range(20))


def test_after_the_first_error_nothing_more_is_begun(way: Way) -> None:
    counting = Counting()
    operations = counting.operations(3, 0)
    operations.append(Operation(partial(fail, ValueError("first"))))
    operations += [Operation(partial(fail, KeyError("second"))), *counting.operations(3)]
    outcomes = way(lambda: carry_out(operations, limit=1))
    assert counting.begun == [0, 1, 2]
    assert [type(outcome.error) for outcome in outcomes[:4]] == [type(None)] * 3 + [ValueError]
    assert outcomes[4:] == [Outcome()] * 4
    with pytest.raises(ValueError, match="first"):
        results(outcomes)


def test_what_was_begun_before_an_error_is_brought_to_its_end(way: Way) -> None:
    counting = Counting()
    operations = [Operation(partial(fail, ValueError("at once"))), *counting.operations(20, 0.05)]
    way(lambda: carry_out(operations, limit=4))
    assert counting.running == 0
    assert sorted(counting.begun) == sorted(counting.ended)
    assert len(counting.begun) < 20


def test_with_go_on_every_operation_is_carried_out(way: Way) -> None:
    counting = Counting()
    operations = [Operation(partial(fail, ValueError("one"))), *counting.operations(9)]
    outcomes = way(lambda: carry_out(operations, go_on=True))
    assert [outcome.value for outcome in outcomes[1:]] == list(range(9))
    assert isinstance(outcomes[0].error, ValueError)


def test_a_batch_within_an_operation_ends(way: Way) -> None:
    """However many batches wait for the threads that they themselves occupy."""

    def outer(number: int) -> list[int]:
        return results(carry_out(Counting().operations(4, 0.001)))

    def innermost() -> list[list[int]]:
        operations = [Operation(partial(outer, number)) for number in range(100)]
        return results(carry_out(operations, limit=100))

    assert way(innermost) == [[0, 1, 2, 3]] * 100


def test_batches_of_many_threads_do_not_block_one_another() -> None:
    found: list[list[int]] = []

    def work() -> None:
        found.append(results(carry_out(Counting().operations(10, 0.005), limit=20)))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert found == [list(range(10))] * 20


def test_the_callers_context_is_seen_by_every_operation(way: Way) -> None:
    """A validator, processor or storage may ask which request or tenant it works for."""
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")

    def ask() -> str:
        time.sleep(0.01)
        return tenant.get()

    tenant.set("mine")
    assert results(way(lambda: carry_out([Operation(ask)] * 12))) == ["mine"] * 12


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
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            carry_out([Operation(lambda: 0), *slow], limit=5)
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


# --- work for later


def test_later_runs_soon_and_can_be_waited_for() -> None:
    counting = Counting()
    for number in range(5):
        later(partial(_ignore, counting.run, number))
    wait_for_background()
    assert sorted(counting.ended) == list(range(5))


def _ignore(function: Callable[..., Any], *arguments: Any) -> None:
    function(*arguments)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    program = """
import os, sys, time
from sqlalchemy_file.transfer import Operation, carry_out, later, results, wait_for_background
work = [Operation(lambda: time.sleep(0.01) or 7)] * 6
assert results(carry_out(work)) == [7] * 6
later(lambda: time.sleep(0.5))
child = os.fork()
if child == 0:
    wait_for_background()
    assert results(carry_out(work)) == [7] * 6
    os._exit(3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
