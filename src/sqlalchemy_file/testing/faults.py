"""Faults of a call of a storage."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

from sqlalchemy_file.exceptions import StorageError

Verb = Literal["put", "stat", "stream", "delete", "copy", "list"]

VERBS: tuple[Verb, ...] = ("put", "stat", "stream", "delete", "copy", "list")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One or more faults of one call of a storage.

    ``before`` is called first. Then the call waits ``delay`` seconds and, with ``hangs``, until
    `FaultyStorage.mend`. With ``fails`` it raises ``error``, or a `StorageError`; with ``is_done``
    after it was carried out, as if the reply were lost. ``share`` is the part of the bytes that is
    transferred, ``flips`` changes one byte, and ``twice`` repeats the request.
    """

    before: Callable[[], object] | None = None
    delay: float = 0
    hangs: bool = False
    fails: bool = False
    error: BaseException | None = None
    is_done: bool = False
    share: float = 1
    flips: bool = False
    twice: bool = False

    @property
    def changes_bytes(self) -> bool:
        return self.share < 1 or self.flips

    def spoiled(self, data: bytes) -> bytes:
        """Return the bytes that are transferred."""
        kept = data[: int(len(data) * self.share)]
        if self.flips and kept:
            middle = len(kept) // 2
            kept = kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :]
        return kept

    def content(self, content: BinaryIO) -> Callable[[], BinaryIO]:
        """Return a function that opens the content of a `put`, for each time it is sent."""
        if not (self.changes_bytes or self.twice):
            return lambda: content
        data = self.spoiled(content.read())
        return lambda: io.BytesIO(data)

    def failure(self, verb: str, key: str) -> BaseException:
        if self.error is not None:
            return self.error
        error = StorageError("the storage does not answer", key=key)
        error.__cause__ = ConnectionError(f"{verb} was cut off")
        return error

    def suits(self, verb: Verb) -> bool:
        """Return True if it can happen to a call of this verb."""
        has_bytes = not self.changes_bytes or verb in ("put", "stream")
        return has_bytes and (not self.twice or verb in ("put", "copy", "delete"))


def fails(error: BaseException | None = None) -> Fault:
    """Return a fault: the call fails, and nothing is done."""
    return Fault(fails=True, error=error)


def loses_reply() -> Fault:
    """Return a fault: the call is carried out, but its reply is lost, so it fails."""
    return Fault(fails=True, is_done=True)


def delays(seconds: float) -> Fault:
    """Return a fault: the call takes longer."""
    return Fault(delay=seconds)


def hangs(error: BaseException | None = None) -> Fault:
    """Return a fault: the call hangs until ``mend()``, then continues, or raises ``error``."""
    return Fault(hangs=True, fails=error is not None, error=error)


def tears(share: float = 0.5, *, in_silence: bool = False) -> Fault:
    """Return a fault: a share of the bytes is transferred, then the call fails, or not."""
    if not 0 <= share < 1:
        raise ValueError(f"the share of the bytes is at least 0 and less than 1, not {share!r}")
    return Fault(share=share, fails=not in_silence, is_done=True)


def flips_a_bit() -> Fault:
    """Return a fault: one byte is changed silently."""
    return Fault(flips=True)


def repeats() -> Fault:
    """Return a fault: the storage gets the request twice, as after a retry by a proxy."""
    return Fault(twice=True)


NO_FAULT = Fault()
