"""Record the objects that a block of code stores through `StorageManager`."""

from __future__ import annotations

from contextvars import ContextVar

noted: ContextVar[list[str] | None] = ContextVar("sqlalchemy_file_noted", default=None)
"""Receives the path of each stored object, unless it is None."""


def note(path: str) -> None:
    paths = noted.get()
    if paths is not None:
        paths.append(path)
