"""The checksum of a large content, computed in another thread while its bytes are stored."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from sqlalchemy_file.transfer import beside

LARGE = 1024 * 1024
"""From how many bytes on another thread is worth its while; so many it is handed at a time."""


class Hash(Protocol):
    """A hash of `hashlib`, or what goes before one."""

    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


class HashBehind:
    """A hash that is computed behind: while some bytes are written, those before are hashed."""

    def __init__(self, inner: Hash) -> None:
        self._inner = inner
        self._chunks: list[bytes] = []
        self._size = 0
        self._behind: Future[None] | None = None

    def update(self, data: Any, /) -> None:
        # A stream that lends its own buffer may overwrite it before it is hashed.
        self._chunks.append(data if type(data) is bytes else bytes(data))
        self._size += len(data)
        if self._size >= LARGE:
            self._catch_up()
            self._behind = beside(partial(_update, self._inner, self._chunks))
            self._chunks, self._size = [], 0

    def hexdigest(self) -> str:
        self._catch_up()
        _update(self._inner, self._chunks)
        self._chunks, self._size = [], 0
        return self._inner.hexdigest()

    def _catch_up(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.result()


def _update(inner: Hash, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        inner.update(chunk)
