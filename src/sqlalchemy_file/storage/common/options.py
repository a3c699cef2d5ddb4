"""Options that several kinds of storages have."""

from __future__ import annotations

from typing import Any

from sqlalchemy_file.exceptions import InvalidStorageError


def checked_number(name: str, value: Any, least: int) -> int:
    """Return a whole number, or raise `InvalidStorageError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidStorageError(f"{name!r} is a whole number from {least} on, not {value!r}")
    return value


def checked_concurrency(value: Any) -> int:
    """Return the number of requests at a time."""
    return checked_number("concurrency", value, 1)


def checked_retries(value: Any) -> int:
    """Return how often a request is retried."""
    return checked_number("max_retries", value, 0)


def checked_verify(value: Any) -> bool:
    """Return whether to ask for the size of what was stored, or raise `InvalidStorageError`."""
    if not isinstance(value, bool):
        raise InvalidStorageError(f"'verify' is True or False, not {value!r}")
    return value
