"""Limits of concurrency, and what an unknown file is called."""

from __future__ import annotations

from dataclasses import dataclass

CONCURRENCY = 8
"""Operations at a time, unless a storage has a ``concurrency`` of its own."""

BUCKET_CONCURRENCY = 32
"""The ``concurrency`` of obstore: 8 had less than half the speed, 64 a fifth more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many requests, uploads, parts and threads there are at the same time.

        StorageManager.set_limit(Limits(requests=16, parts=2))

    Raises `TypeError` and `ValueError` for anything but whole numbers from 1 on.
    """

    requests: int | None = None
    """Of each flush, and of the deletions after a commit, to all storages together. None: the
    ``concurrency`` of each storage."""
    uploads: int = 4
    """Multipart uploads of each storage. Each takes some 30 MB of memory."""
    parts: int = 4
    """Parts of each multipart upload. A dozen is a tenth faster and takes 40 MB more."""
    threads: int = 64
    """Worker threads in all."""

    def __post_init__(self) -> None:
        for name in ("requests", "uploads", "parts", "threads"):
            value = getattr(self, name)
            if value is None and name == "requests":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"the limit is a number of {name}, not {value!r}")
            if value < 1:
                raise ValueError(f"the limit is at least 1 of {name}, not {value}")


_current = [Limits()]


def set_limits(limits: Limits) -> None:
    """Use other limits from now on."""
    _current[0] = limits


def current_limits() -> Limits:
    """Return the limits of this process."""
    return _current[0]


UNKNOWN_TYPE = "application/octet-stream"
"""The content type of unknown bytes."""

UNNAMED = "unnamed"
"""The name of a file without a name."""
