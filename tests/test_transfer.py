"""A batch of operations: in order, at the same time, and never left running behind one's back."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file.transfer import (
    Operation,
    Outcome,
    carry_out,
    in_thread,
    results,
    run_in_background,
    wait_for_background,
)
from tests.counting import WAIT, Counting


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


def test_an_iterator_that_ends_in_a_thread_is_an_error_of_who_awaits_it() -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        asyncio.run(in_thread(partial(next, iter(()))))


def test_the_outcomes_stand_in_the_order_of_the_operations(way: Way) -> None:
    operations = [Operation(partial(Counting().run, n, (20 - n) / 2000)) for n in range(20)]
    assert results(way(lambda: carry_out(operations))) == list(range(20))


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_no_more_than_the_limit_run_at_once_and_as_many_as_may(way: Way, limit: int) -> None:
    counting = Counting(held=True)

    def let_go() -> None:
        counting.wait_until_begun(limit)
        time.sleep(0.02)  # in which one more could begin
        counting.go.set()

    letting_go = threading.Thread(target=let_go)
    letting_go.start()
    way(lambda: carry_out(counting.operations(24, 0.002), limit=limit))
    letting_go.join()
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


# --- work for later


def test_background_work_runs_soon_and_can_be_waited_for() -> None:
    counting = Counting()
    for number in range(5):
        run_in_background(partial(_ignore, counting.run, number))
    wait_for_background()
    assert sorted(counting.ended) == list(range(5))


def _ignore(function: Callable[..., Any], *arguments: Any) -> None:
    function(*arguments)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    program = """
import os, sys, time
from sqlalchemy_file.transfer import Operation, carry_out, results
from sqlalchemy_file.transfer import run_in_background, wait_for_background
work = [Operation(lambda: time.sleep(0.01) or 7)] * 6
assert results(carry_out(work)) == [7] * 6
run_in_background(lambda: time.sleep(0.5))
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


def test_after_the_last_thread_of_a_program_its_end_does_the_work_itself() -> None:
    program = """
import atexit
from sqlalchemy_file.transfer import Operation, carry_out, results
from sqlalchemy_file.transfer import run_in_background, submit_cpu_bound

def last():
    done = []
    assert results(carry_out(work)) == [7] * 6
    run_in_background(lambda: done.append(1))
    assert done == [1]
    assert submit_cpu_bound(lambda: 5).result() == 5
    print("done")

atexit.register(last)
work = [Operation(lambda: 7)] * 6
assert results(carry_out(work)) == [7] * 6
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
