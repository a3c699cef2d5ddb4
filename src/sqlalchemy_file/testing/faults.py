"""Faults, and the plan of the calls that get them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
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


@dataclass(slots=True)
class Plan:
    """Which call gets which fault; calls are counted by verb, those of `delete` by key.

    The share ``rate`` of the other calls gets one of ``faults``; only the seed and the number of
    the call decide which.
    """

    faults: Sequence[Fault] = ()
    rate: float = 0
    seed: int = 0
    calls: list[tuple[Verb, str]] = field(default_factory=list)
    """Every call, with its key, in order."""
    free: threading.Event = field(default_factory=threading.Event)
    """What hanging calls wait for."""
    _named: dict[tuple[Verb, int], Fault] = field(default_factory=dict)
    _draws: dict[Verb, Iterator[Fault | None]] = field(default_factory=dict)
    _counts: dict[Verb, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def name(self, verb: Verb, fault: Fault, at: int) -> None:
        """Let the ``at``-th call from now on get a fault; 0 means every one."""
        if verb not in VERBS:
            raise ValueError(f"a verb is one of {', '.join(VERBS)}, not {verb!r}")
        if not fault.suits(verb):
            suitable = ", ".join(each for each in VERBS if fault.suits(each))
            raise ValueError(f"this fault happens to {suitable} only, not to {verb!r}")
        with self._lock:
            self._counts[verb] = 0
            self._named[verb, at] = fault

    def clear(self) -> None:
        """Remove all faults; calls that hang continue."""
        with self._lock:
            self._named.clear()
            self.rate = 0
            self.free.set()
            self.free = threading.Event()

    def next(self, verb: Verb, key: str) -> Fault:
        """Note a call, and return what happens to it."""
        with self._lock:
            self.calls.append((verb, key))
            count = self._counts[verb] = self._counts.get(verb, 0) + 1
            drawn = next(self._draws.setdefault(verb, self._drawn(verb)))
            named = self._named.get((verb, count)) or self._named.get((verb, 0))
        return named or (drawn if drawn is not None and self.rate else NO_FAULT)

    def split_deletion(self, keys: Sequence[str]) -> tuple[list[str], list[tuple[Fault, str]]]:
        """Return the keys to delete without a fault, and the others with their faults."""
        faults = [(self.next("delete", key), key) for key in keys]
        plain = [key for fault, key in faults if fault == NO_FAULT]
        return plain, [(fault, key) for fault, key in faults if fault != NO_FAULT]

    def _drawn(self, verb: Verb) -> Iterator[Fault | None]:
        random = Random(f"{self.seed}-{verb}")  # noqa: S311  it decides no secret
        suitable = [fault for fault in self.faults if fault.suits(verb)]
        while True:
            is_faulty = random.random() < self.rate
            yield random.choice(suitable) if is_faulty and suitable else None


NO_FAULT = Fault()
