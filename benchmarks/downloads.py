"""A client that downloads over many connections at once, and requires every byte of every answer.

``python -m benchmarks.downloads PORT PATH N AT_ONCE SIZE RATE SECONDS``: every third request is for
the middle half of the file. Each connection takes RATE bytes a second (0: as many as come), and all
end after SECONDS (0: when everything has come). Prints how many seconds it took, and how many bytes
came in a second.
"""

from __future__ import annotations

import asyncio
import sys
import time


class Download(asyncio.Protocol):
    """One connection: asks again and again, until there is nothing left to ask for."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._left = -1
        self._head = b""
        self._taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._start = time.perf_counter()
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._take(len(data))
        if self._left < 0:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._left, self._head = self._announced(head), b""
            data = body
        self._left -= len(data)
        if self._left == 0:
            self._ask()
        elif self._left < 0:
            self._load.fail(f"{-self._left} bytes too many")

    def _take(self, size: int) -> None:
        """Wait until so much may have come."""
        self._taken += size
        self._load.taken += size
        early = self._load.seconds_for(self._taken) - (time.perf_counter() - self._start)
        if early > 0:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(early, self._transport.resume_reading)

    def connection_lost(self, error: Exception | None) -> None:
        if self._left >= 0 and not self._load.ended.done():
            self._load.fail(f"the connection ended {self._left} bytes too early: {error}")

    def _ask(self) -> None:
        self._left = -1
        request = self._load.next_request()
        if request is None:
            self._transport.close()
        else:
            self._range, text = request
            self._transport.write(text)

    def _announced(self, head: bytes) -> int:
        first, *lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        status = int(first.split()[1])
        if status != (206 if self._range else 200) or length != (self._range or self._load.size):
            self._load.fail(f"status {status} with {length} bytes")
        return length


class Load:
    """What there is to ask for, and whether all of it came."""

    def __init__(self, path: str, n: int, size: int, rate: int) -> None:
        self.size = size
        self.taken = 0
        self._rate = rate
        self._left = n
        self._whole = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        self._start, self._end = size // 4, size // 4 + size // 2
        line = f"Range: bytes={self._start}-{self._end - 1}\r\n\r\n".encode()
        self._part = self._whole[:-2] + line
        self.failure: str | None = None
        self._running = 0
        self.ended = asyncio.get_running_loop().create_future()

    def begin(self) -> Download:
        self._running += 1
        return Download(self)

    def next_request(self) -> tuple[int, bytes] | None:
        """Return the length of the range that is wanted, 0 for none, and the request."""
        if not self._left or self.failure:
            self._running -= 1
            if not self._running and not self.ended.done():
                self.ended.set_result(None)
            return None
        self._left -= 1
        return (self._end - self._start, self._part) if self._left % 3 == 0 else (0, self._whole)

    def seconds_for(self, size: int) -> float:
        """Return how long a connection takes for so many bytes."""
        return size / self._rate if self._rate else 0

    def fail(self, reason: str) -> None:
        self.failure = self.failure or reason
        if not self.ended.done():
            self.ended.set_result(None)


async def main(
    port: int, path: str, n: int, at_once: int, size: int, rate: int, seconds: int
) -> str | None:
    loop = asyncio.get_running_loop()
    load = Load(path, n, size, rate)
    start = time.perf_counter()
    for _ in range(min(at_once, n)):
        await loop.create_connection(load.begin, "127.0.0.1", port)
    await asyncio.wait([load.ended], timeout=seconds or None)
    load.ended.cancel()
    took = time.perf_counter() - start
    print(took, load.taken / took)
    return load.failure


if __name__ == "__main__":
    port, path, *numbers = sys.argv[1:]
    sys.exit(asyncio.run(main(int(port), path, *map(int, numbers))))
