"""Named steps of a writer, a drain or a sweep: a process can be told to die at one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any, BinaryIO

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from sqlalchemy_file.storage import Attributes, ObjectInfo

STEPS = (
    "in an upload",
    "after an upload",
    "before a commit",
    "after a commit",
    "between two deletions",
    "after the deletions",
)


class Steps:
    """Counts the steps, and kills the process at the one that is armed."""

    def __init__(self, armed: str | None, times: int) -> None:
        self._armed = armed
        self._left = times

    def reach(self, step: str) -> None:
        assert step in STEPS
        if step == self._armed:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, engine: Engine) -> None:
        """Reach the steps of transactions as well."""
        event.listen(engine, "commit", lambda _connection: self.reach("before a commit"))
        event.listen(Session, "after_commit", lambda _session: self.reach("after a commit"))


class SteppedStorage:
    """A storage whose work is seen step by step."""

    def __init__(self, storage: Any, steps: Steps) -> None:
        self._storage = storage
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        seen: Any = _SeenContent(content, self._steps)
        info: ObjectInfo = self._storage.put(key, seen, attributes, exclusive=exclusive)
        self._steps.reach("after an upload")
        return info

    def stat(self, key: str) -> Any:
        return self._storage.stat(key)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Any:
        return self._storage.stream(key, start, end)

    def copy(self, key: str, new_key: str) -> Any:
        info = self._storage.copy(key, new_key)
        self._steps.reach("after an upload")
        return info

    def list(self, prefix: str = "", start_after: str | None = None) -> Any:
        return self._storage.list(prefix, start_after)

    def delete(self, keys: Sequence[str]) -> None:
        self._storage.delete(keys[:1])
        if len(keys) > 1:
            self._steps.reach("between two deletions")
            self._storage.delete(keys[1:])
        self._steps.reach("after the deletions")


class _SeenContent:
    def __init__(self, content: BinaryIO, steps: Steps) -> None:
        self._content = content
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    def read(self, size: int = -1) -> bytes:
        chunk = self._content.read(size)
        self._steps.reach("in an upload")
        return chunk
