"""Detection by signatures: the table, and formats that need more than a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial

from sqlalchemy_file.detection.formats import archives, media
from sqlalchemy_file.detection.tables.signatures import FURTHER_IN, SIGNATURES, TEXTUAL_STARTS, Then

_Verdict = Callable[[bytes], str | None]

# Bytes that no text holds, by the standard's "binary data byte".
_BINARY = bytes({*range(32)} - {*b"\t\n\x0c\r\x1b"})
_TEXT_SAMPLE = 1024
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")

_WINDOWS_PROGRAM = "application/vnd.microsoft.portable-executable"

KNOWN_TYPES = frozenset(
    {
        *(content_type for content_type, *_ in SIGNATURES),
        *(content_type for content_type, _ in FURTHER_IN),
        *media.KNOWN_TYPES,
        archives.ZIP,
        _WINDOWS_PROGRAM,
    }
)
"""All types that signatures prove, except for the kinds of ZIP archives."""


def signature_type(head: bytes) -> str | None:
    """Return the type of a file whose first bytes are a known signature."""
    for start, verdict, only_binary in _BY_FIRST_BYTE.get(head[:1], ()):
        if head.startswith(start) and not (only_binary and is_text(head[:64])):
            found = verdict if isinstance(verdict, str) else verdict(head)
            if found is not None:
                return found
    return _signature_further_in(head)


def is_text(head: bytes) -> bool:
    """Return True if no byte is one that no text holds."""
    sample = head[:_TEXT_SAMPLE]
    # Deleting them is ten times as fast as a search.
    return head.startswith(_BYTE_ORDER_MARKS) or len(sample.translate(None, _BINARY)) == len(sample)


def _signature_further_in(head: bytes) -> str | None:
    if head[4:8] in media.ISO_MEDIA_BOXES:
        return media.iso_media_type(head)
    for content_type, pattern in _FURTHER_IN:
        if pattern.match(head):
            return content_type
    return "application/x-tar" if _is_unmarked_tar(head) else None


def _windows_program(head: bytes) -> str | None:
    # Its stub points to its header.
    offset = int.from_bytes(head[60:64], "little")
    return _WINDOWS_PROGRAM if head[offset : offset + 4] == b"PE\0\0" else None


def _is_unmarked_tar(head: bytes) -> bool:
    """Return True for a tar archive of the old kind, without "ustar", by its checksum."""
    field = head[148:156].strip(b"\0 ")
    if len(head) < 512 or not re.fullmatch(rb"[0-7]{1,7}", field) or not head[0]:
        return False
    return sum(head[:148]) + 8 * 32 + sum(head[156:512]) == int(field, 8)


_COMPUTED: tuple[tuple[bytes, _Verdict], ...] = (
    (b"PK\3\4", archives.zip_type),
    (b"\x1a\x45\xdf\xa3", media.matroska_type),
    (b"ID3", media.tagged_type),
    (b"\xff", media.mpeg_audio_type),
    (b"MZ", _windows_program),
)


def _rows() -> Iterator[tuple[bytes, str | _Verdict]]:
    for content_type, *starts in SIGNATURES:
        rest = starts.pop() if isinstance(starts[-1], Then) else None
        for start in starts:
            follows = rest and partial(_type_if_followed, content_type, rest, len(start))
            yield start, follows or content_type
    yield from _COMPUTED


def _type_if_followed(content_type: str, rest: bytes, place: int, head: bytes) -> str | None:
    return content_type if _compiled(rest).match(head, place) else None


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


def _indexed() -> dict[bytes, list[tuple[bytes, str | _Verdict, bool]]]:
    index: dict[bytes, list[tuple[bytes, str | _Verdict, bool]]] = {}
    for start, verdict in _rows():
        # A short signature of letters may also begin a sentence, unless its format is text itself.
        letters = len(start) < 6 and start.isascii() and start.decode().isprintable()
        entry = start, verdict, letters and start not in TEXTUAL_STARTS
        index.setdefault(start[:1], []).append(entry)
    return index


_BY_FIRST_BYTE = _indexed()
_FURTHER_IN = [(content_type, _compiled(pattern)) for content_type, pattern in FURTHER_IN]
