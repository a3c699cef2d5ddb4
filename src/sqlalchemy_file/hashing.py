"""The checksum of a large content, computed in another thread while its bytes are stored."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Any, Protocol

from sqlalchemy_file.transfer import beside

LARGE = 1024 * 1024
"""From how many bytes on another thread is worth its while, and how many may wait for it."""


class Hash(Protocol):
    """A hash of `hashlib`, or what goes before one."""

    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


class HashBehind:
    """A hash that is computed behind: while some bytes are written, those before are hashed.

    Few of them are kept waiting. That bounds memory, and the processor still has them at hand.
    """

    def __init__(self, inner: Hash) -> None:
        self._inner = inner
        self._waiting: deque[bytes] = deque()
        self._job: Future[None] | None = None

    def update(self, data: Any, /) -> None:
        # A stream that lends its own buffer may overwrite it before it is hashed.
        self._waiting.append(data if type(data) is bytes else bytes(data))
        # One that is about to end may leave a chunk: the next one finds it first in the queue.
        if self._job is None or self._job.done():
            self._join()
            self._job = beside(self._work)
        elif sum(map(len, self._waiting)) > LARGE:
            self._join()

    def hexdigest(self) -> str:
        self._join()
        self._work()
        return self._inner.hexdigest()

    def _work(self) -> None:
        while self._waiting:
            self._inner.update(self._waiting[0])
            self._waiting.popleft()  # only now, so that it counts as waiting until then

    def _join(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.result()
