"""A process that does nothing but ask to run every two milliseconds, and tells how late it came.

What comes late here has waited for the processors, not for anybody's event loop.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time

EVERY = 0.002


async def tick(late: list[float]) -> None:
    """Note in seconds how much later than it asked the event loop runs this task."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(EVERY)
        late.append(time.perf_counter() - start - EVERY)


def summary(late: list[float]) -> dict[str, float]:
    """Return in milliseconds the worst, and what 99 of 100 do not exceed."""
    late = sorted(late)
    return {
        "worst": late[-1] * 1000,
        "percentile_99": late[int(len(late) * 0.99) - 1] * 1000,
    }


async def _until_told() -> list[float]:
    late: list[float] = []
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    ticking = asyncio.create_task(tick(late))

    def wait() -> None:
        sys.stdin.readline()
        loop.call_soon_threadsafe(told.set)

    threading.Thread(target=wait).start()
    print("ticking", flush=True)
    await told.wait()
    ticking.cancel()
    return late


if __name__ == "__main__":
    json.dump(summary(asyncio.run(_until_told())), sys.stdout)
