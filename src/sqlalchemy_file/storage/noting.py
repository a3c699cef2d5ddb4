"""Record the objects that a block of code stores through `StorageManager`."""

from __future__ import annotations

from contextvars import ContextVar, Token

_noted: ContextVar[list[str] | None] = ContextVar("sqlalchemy_file_noted", default=None)


def begin_noting(paths: list[str]) -> Token[list[str] | None]:
    """Add the path of each object that is stored from now on to ``paths``."""
    return _noted.set(paths)


def end_noting(token: Token[list[str] | None]) -> None:
    _noted.reset(token)


def note(path: str) -> None:
    paths = _noted.get()
    if paths is not None:
        paths.append(path)
