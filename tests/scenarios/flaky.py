"""A storage that counts what it is asked, and fails or waits where a scenario tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from sqlalchemy_file.exceptions import DeletionError, StorageError
from sqlalchemy_file.storage.base import Attributes, ObjectInfo, Storage


class Down(ConnectionError):
    """What the network says when a storage does not answer."""


Fault = Callable[[], None]


class FlakyStorage:
    """Pass all to ``inner``; ``fail`` and ``before`` interfere with the k-th call of a verb."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str]] = []
        """Every verb that was asked for, with its key, in order."""
        self._lock = threading.Lock()
        self._faults: dict[tuple[str, int], Fault] = {}
        self._counts: dict[str, int] = {}

    # what a scenario says

    def fail(self, verb: str, *, at: int = 0, error: BaseException | None = None) -> None:
        """Let the ``at``-th call of ``verb`` from now on fail; 0 means every one."""

        def fault() -> None:
            if error is not None:
                raise error
            raise Down("the storage does not answer")

        self.before(verb, fault, at=at)

    def before(self, verb: str, fault: Fault, *, at: int = 0) -> None:
        """Run ``fault`` before the ``at``-th call of ``verb`` from now on; 0 means every one."""
        with self._lock:
            self._counts[verb] = 0
            self._faults[verb, at] = fault

    def mend(self) -> None:
        with self._lock:
            self._faults.clear()

    def count(self, *verbs: str) -> int:
        return sum(verb in verbs for verb, _key in self.calls)

    # the storage

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        self._called("put", key)
        return self.inner.put(key, content, attributes, exclusive=exclusive)

    def stat(self, key: str) -> ObjectInfo:
        self._called("stat", key)
        return self.inner.stat(key)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self._called("stream", key)
        yield from self.inner.stream(key, start, end)

    def delete(self, keys: Sequence[str]) -> None:
        failures: dict[str, Exception] = {}
        for key in keys:
            try:
                self._called("delete", key)
                self.inner.delete([key])
            except StorageError as error:
                failures[key] = error
        if failures:
            raise DeletionError(failures)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        self._called("copy", key)
        return self.inner.copy(key, new_key)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        self._called("list", prefix)
        yield from self.inner.list(prefix, start_after)

    def _called(self, verb: str, key: str) -> None:
        with self._lock:
            self.calls.append((verb, key))
            self._counts[verb] = count = self._counts.get(verb, 0) + 1
            fault = self._faults.get((verb, count)) or self._faults.get((verb, 0))
        if fault is not None:
            try:
                fault()
            except Down as error:
                raise StorageError(str(error), key=key) from error
