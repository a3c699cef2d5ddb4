"""Options that several kinds of storages have, and how requests are retried."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy_file.exceptions import InvalidStorageError

T = TypeVar("T")

METHODS = ("GET", "HEAD", "PUT", "DELETE")

_LONGEST = timedelta(days=7)
"""The longest validity of signatures of S3 and Google."""


LEAST = {"concurrency": 1, "max_retries": 0}


def checked_number(name: str, value: Any) -> int:
    """Return an option of `LEAST`, or raise `InvalidStorageError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < LEAST[name]:
        raise InvalidStorageError(
            f"{name!r} is a whole number from {LEAST[name]} on, not {value!r}"
        )
    return value


def checked_verify(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidStorageError(f"'verify' is True or False, not {value!r}")
    return value


def checked_expiry(expires: Any, method: str, *, is_limited: bool) -> timedelta:
    """Return the validity of a URL; a number means seconds.

    Raises `ValueError` for what a server would refuse.
    """
    is_number = isinstance(expires, int | float) and not isinstance(expires, bool)
    if not is_number and not isinstance(expires, timedelta):
        raise TypeError(
            f"'expires' is a timedelta or a number of seconds, not {type(expires).__name__}"
        )
    validity = expires if isinstance(expires, timedelta) else timedelta(seconds=expires)
    if method not in METHODS or validity < timedelta(seconds=1):
        raise ValueError(
            f"a URL is signed for one of {', '.join(METHODS)} and a time that is still "
            f"to come, not for {method!r} and {validity}"
        )
    if is_limited and validity > _LONGEST:
        raise ValueError(
            f"this storage refuses URLs that are valid for more than 7 days, and {validity} was "
            "asked for: sign a new one when it is needed"
        )
    return validity


MAX_RETRIES = 4
WITHIN = 60.0
"""Seconds after the first request within which retries are sent."""

OVERLOADED = frozenset({429, 500, 502, 503, 504})
"""Statuses after which a request is retried."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def pauses(most: int, *, within: float = WITHIN) -> Iterator[float]:
    """Yield the seconds to wait before each retry: exponential backoff with jitter."""
    end = monotonic() + within
    for attempt in range(most):
        longest = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE)
        pause = longest * random.uniform(0.5, 1)  # noqa: S311  nobody gains by guessing it
        if monotonic() + pause > end:
            return
        yield pause


def retrying(action: Callable[[], T], is_transient: Callable[[Exception], bool], most: int) -> T:
    """Retry an idempotent action after errors that are transient."""
    waits = pauses(most)
    while True:
        try:
            return action()
        except Exception as error:
            pause = next(waits, None) if is_transient(error) else None
            if pause is None:
                raise
        sleep(pause)
