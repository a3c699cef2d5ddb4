"""How much a client is sent at once: what it takes in 40 ms, at the rate it had lately.

The buffers of a connection take a megabyte at once even if the client behind them is slow. So the
rate is that of the last megabyte or two, not that of the last piece.
"""

from __future__ import annotations

SMALLEST = 32 * 1024
"""Bytes that any client is sent at once."""

LARGEST = 768 * 1024
"""Bytes that a client is sent at once at most."""

QUICK = 512 * 1024
"""Bytes that a quick client takes in time: 13 MB/s."""

AHEAD = 0.04
"""Seconds in which a client should take what it is sent."""

_AT_FIRST = 0.04
_RECENT = 1024 * 1024
_LONGEST = 1.0  # a client that has paused for a minute is not slow for ever
_SHORTEST = 0.001


class Pace:
    """The rate at which one client takes what it is sent.

    The first piece is of the smallest size, and each that is taken at once doubles the size.
    """

    def __init__(self) -> None:
        self._bytes: float = SMALLEST
        self._seconds = _AT_FIRST

    @property
    def size(self) -> int:
        """Return how many bytes to send next."""
        return max(SMALLEST, min(LARGEST, int(self._bytes * AHEAD / self._seconds)))

    @property
    def is_quick(self) -> bool:
        return self.size >= QUICK

    def note(self, size: int, seconds: float) -> None:
        """Take into account a piece, and how long the client kept the server waiting."""
        self._bytes += size
        self._seconds += min(seconds, _LONGEST)
        while self._bytes > 2 * _RECENT:
            self._bytes /= 2
            self._seconds = max(self._seconds / 2, _SHORTEST)
