"""Elapsed time, by the largest difference of several clocks.

The monotonic clock stops while a computer sleeps, the boot-time clock while a virtual machine is
paused, and the wall clock may be set back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


@dataclass(slots=True)
class Moment:
    """A moment by two clocks."""

    boot: float
    wall: float

    def seconds_until(self, later: Moment) -> float:
        """Return how long ago this was, by the clock that says longest."""
        return max(later.boot - self.boot, later.wall - self.wall)

    def earlier(self, other: Moment) -> Moment:
        return Moment(min(self.boot, other.boot), min(self.wall, other.wall))


def now() -> Moment:
    boot = time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)
    return Moment(boot, time.time())
