"""Which objects a block of code stores through `StorageManager`, beside the storing file's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_noted: ContextVar[list[str] | None] = ContextVar("sqlalchemy_file_noted", default=None)


@contextmanager
def noting(paths: list[str]) -> Iterator[None]:
    """Add the path of each object that the block stores to ``paths``."""
    token = _noted.set(paths)
    try:
        yield
    finally:
        _noted.reset(token)


def note(path: str) -> None:
    """Note an object that was just stored, if anybody asked for it."""
    paths = _noted.get()
    if paths is not None:
        paths.append(path)
