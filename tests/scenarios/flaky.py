"""A storage that counts what it is asked, and fails or waits where a scenario tells it to."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy_file.storage.common.protocol import Storage
from sqlalchemy_file.support.defaults import CONCURRENCY
from sqlalchemy_file.testing import Fault, FaultyStorage, fails
from sqlalchemy_file.testing.faults import Verb


class FlakyStorage(FaultyStorage):
    """Waited for by worker threads, whatever ``inner`` is."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.concurrency = CONCURRENCY

    def fail(self, verb: Verb, *, at: int = 0, error: BaseException | None = None) -> None:
        """Let the ``at``-th call of ``verb`` from now on fail; 0 means every one."""
        self.inject(verb, fails(error), at=at)

    def before(self, verb: Verb, fault: Callable[[], object], *, at: int = 0) -> None:
        """Run ``fault`` before the ``at``-th call of ``verb`` from now on; 0 means every one."""
        self.inject(verb, Fault(before=fault), at=at)
