"""Iterators that block are read by worker threads from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, iterate, run


class Lines:
    """A generator that says when it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def read(self) -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            self.is_closed = True


def test_all_items_are_read() -> None:
    async def run() -> list[int]:
        return [item async for item in IN_LOOP.iterate(iter(range(3)))]

    assert asyncio.run(run()) == [0, 1, 2]


def test_a_generator_is_closed_when_its_reader_leaves_early() -> None:
    lines = Lines()
    held = lines.read()  # so that it is not closed for being garbage

    async def run() -> None:
        async with aclosing(IN_LOOP.iterate(held)) as items:
            assert await anext(items) == 0
        assert lines.is_closed

    asyncio.run(run())


def test_what_a_thread_leaves_early_is_closed_at_once_even_if_an_event_loop_runs_there() -> None:
    lines = Lines()

    async def read() -> AsyncGenerator[int]:
        async for line in IN_THREAD.iterate(lines.read()):
            yield line

    async def leave_early() -> bool:
        items: Any = iterate(read())
        assert next(items) == 0
        items.close()
        return lines.is_closed

    assert asyncio.run(leave_early())


def test_an_iterator_that_cannot_be_closed_may_be_left_early() -> None:
    async def run() -> None:
        async with aclosing(IN_LOOP.iterate(iter(range(3)))) as items:
            assert await anext(items) == 0

    asyncio.run(run())


def test_an_error_of_an_iterator_is_the_error_of_its_reader() -> None:
    async def run() -> None:
        async for _ in IN_LOOP.iterate(1 // number for number in (1, 0)):
            pass

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())


def test_a_coroutine_for_threads_may_not_suspend() -> None:
    with pytest.raises(RuntimeError, match="has suspended"):
        run(asyncio.sleep(0))
