"""The proxy passes everything on, each request late."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from benchmarks.delay_proxy import delaying

DELAY = 0.03


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """Run a server that answers each line with the same line."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=10_000_000)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()


async def _ask(requests: list[bytes]) -> tuple[list[bytes], float]:
    async with echoing() as port, delaying("127.0.0.1", port, DELAY) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door, limit=10_000_000)
        start = time.perf_counter()
        answers = []
        for request in requests:
            writer.write(request)
            answers.append(await reader.readline())
        passed = time.perf_counter() - start
        writer.close()
        await writer.wait_closed()
        return answers, passed


def test_each_request_is_late_by_the_delay() -> None:
    requests = [b"one\n", b"two\n", b"three\n"]
    answers, passed = asyncio.run(_ask(requests))
    assert answers == requests
    assert passed >= 3 * DELAY


def test_a_request_of_many_pieces_arrives_whole() -> None:
    request = b"x" * 3_000_000 + b"\n"
    answers, _ = asyncio.run(_ask([request]))
    assert answers == [request]


def test_the_end_of_one_side_is_passed_on() -> None:
    async def after_the_end() -> bytes:
        async with echoing() as port, delaying("127.0.0.1", port, 0) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door)
            writer.write(b"last\n")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(after_the_end()) == b"last\n"
