"""A stall is told from a want of processors, and the idle process never outlives its round."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from benchmarks.kit import Round


def test_a_stall_of_the_loop_is_not_one_of_the_idle_process(tmp_path: Path) -> None:
    this = Round(1, tmp_path, 1, 1)

    async def stall() -> None:
        async with this.loop_watched():
            await asyncio.sleep(0.05)
            time.sleep(0.5)  # noqa: ASYNC251  that is the stall
            await asyncio.sleep(0.05)

    asyncio.run(stall())
    assert this.measured["worst"] > 400
    assert this.measured["idle_worst"] < this.measured["worst"] / 2
    assert {"seconds", "percentile_99", "idle_percentile_99"} <= this.measured.keys()


def test_a_round_that_fails_leaves_no_process(tmp_path: Path) -> None:
    async def fail() -> None:
        async with Round(1, tmp_path, 1, 1).loop_watched():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(fail(), 30))
