"""Retry idempotent requests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from time import monotonic

MAX_RETRIES = 4
WITHIN = 60.0
"""Seconds after the first request in which a further one may still be sent."""

OVERLOADED = frozenset({429, 500, 502, 503, 504})
"""Statuses of servers that may do better a moment later."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def pauses(most: int, *, within: float = WITHIN) -> Iterator[float]:
    """Yield how many seconds to wait before each further try: twice as long each time.

    A part of it is chance, so that many clients that failed together do not return together.
    """
    end = monotonic() + within
    for attempt in range(most):
        longest = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        pause = longest * random.uniform(0.5, 1)  # noqa: S311  nobody gains by guessing it
        if monotonic() + pause > end:
            return
        yield pause
