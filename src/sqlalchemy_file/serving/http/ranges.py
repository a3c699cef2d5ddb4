"""Byte ranges of the header ``Range`` (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MOST_RANGES = 16
"""More parts than this are answered with the whole file, as RFC 9110, section 14.2, allows."""

_LONGEST_HEADER = 8192
_SPEC = re.compile(r"([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19})", re.ASCII)
_SPACE = " \t"


class ByteRange(NamedTuple):
    """The bytes from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        """Return the value of ``Content-Range`` for a file of this size."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def requested_ranges(header: str, size: int) -> Sequence[ByteRange] | None:
    """Return the ranges to send, merged, in the order asked for; None to ignore the header.

    An empty sequence means that no range can be satisfied. Unknown units, malformed ranges, an
    empty file and more than `MOST_RANGES` parts are reasons to ignore it.
    """
    specs = _specs(header)
    if specs is None or size == 0:
        return None
    satisfiable = [found for spec in specs if (found := _within(spec, size)) is not None]
    merged = _merged(satisfiable)
    return merged if len(merged) <= MOST_RANGES else None


def _specs(header: str) -> list[tuple[int | None, int | None]] | None:
    """Return first and last position of each range, a suffix as (None, length), or None."""
    unit, equals, listed = header.partition("=")
    if not equals or unit.strip(_SPACE).lower() != "bytes" or len(header) > _LONGEST_HEADER:
        return None
    specs: list[tuple[int | None, int | None]] = []
    for item in listed.split(","):
        if not (text := item.strip(_SPACE)):
            continue  # a recipient has to accept empty elements of a list
        if (spec := _spec(text)) is None:
            return None
        specs.append(spec)
    return specs or None


def _spec(text: str) -> tuple[int | None, int | None] | None:
    match = _SPEC.fullmatch(text)
    if match is None:
        return None
    first, last, suffix = (None if group is None else int(group) for group in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return first, last if suffix is None else suffix


def _within(spec: tuple[int | None, int | None], size: int) -> ByteRange | None:
    first, last = spec
    if first is None:
        length = min(last or 0, size)
        return ByteRange(size - length, size) if length else None
    if first >= size:
        return None
    return ByteRange(first, size if last is None else min(last + 1, size))


def _merged(ranges: Sequence[ByteRange]) -> list[ByteRange]:
    """Join ranges that overlap or touch; each result takes the place of its first member."""
    joined: list[tuple[int, ByteRange]] = []  # with the position of the first member
    for position, each in sorted(enumerate(ranges), key=lambda pair: (pair[1], pair[0])):
        if joined and each.start <= joined[-1][1].end:
            before, last = joined[-1]
            joined[-1] = min(before, position), ByteRange(last.start, max(last.end, each.end))
        else:
            joined.append((position, each))
    return [each for _, each in sorted(joined)]
