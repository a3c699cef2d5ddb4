"""A door to a server that is so far away: every request waits a while before it is passed on.

A request begins with the first bytes of a client after an answer, or after it has connected.
Everything else is passed on at once. Run as a program it prints the port that it listens on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

_PIECE = 256 * 1024


@contextlib.asynccontextmanager
async def delaying(host: str, port: int, delay: float) -> AsyncIterator[int]:
    """Listen on a free port while the block runs, and yield that port."""
    running: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(task := asyncio.current_task())
        try:
            await _Connection(reader, writer, delay).run(host, port)
        finally:
            running.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=_PIECE)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            left = [task for task in running if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


class _Connection:
    """One client, and the connection to the server that was opened for it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
    ) -> None:
        self._reader, self._writer, self._delay = reader, writer, delay
        self._answered = True

    async def run(self, host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port, limit=_PIECE)
        for one in (self._writer, writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        directions = asyncio.gather(self._upstream(writer), self._downstream(reader))
        try:
            with contextlib.suppress(OSError):
                await directions
        finally:
            await _close(writer)
            await _close(self._writer)

    async def _upstream(self, server: asyncio.StreamWriter) -> None:
        while data := await self._reader.read(_PIECE):
            if self._answered:
                self._answered = False
                await asyncio.sleep(self._delay)
            server.write(data)
            await server.drain()
        if server.can_write_eof():
            server.write_eof()

    async def _downstream(self, server: asyncio.StreamReader) -> None:
        while data := await server.read(_PIECE):
            self._answered = True
            self._writer.write(data)
            await self._writer.drain()
        await _close(self._writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _main(host: str, port: str, delay: str) -> None:
    async with delaying(host, int(port), float(delay)) as own:
        sys.stdout.write(f"{own}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(*sys.argv[1:]))
