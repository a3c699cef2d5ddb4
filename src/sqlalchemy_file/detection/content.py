"""The content type of a file: the one that its bytes prove, else the claimed one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import BinaryIO

from sqlalchemy_file.detection import HEAD_SIZE, media
from sqlalchemy_file.detection.archives import (
    COMPOUND,
    OFFICE_TYPES,
    ZIP,
    ReadAt,
    compound_type,
    hides_parts,
    listed_zip_type,
    zip_type,
)
from sqlalchemy_file.detection.hints import binary_hint, markup_type, text_hint
from sqlalchemy_file.detection.names import canonical, guess_type, rows, type_of_suffix
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

_TAGGED_SOUND = "audio/mpeg"
_INCOMPLETE = frozenset({COMPOUND, ZIP, _TAGGED_SOUND, *OFFICE_TYPES})
"""Types that a file specifies outside its first bytes."""
_BLANK = bytes(HEAD_SIZE)
_DISC_MARK_AT = (32769, 5)
"""Of images of discs, which begin with blank sectors."""


def content_type_of(stream: BinaryIO, declared: str | None, filename: str | None) -> str:
    """Return the content type of a stream; its position stays."""
    return judge(stream.read(HEAD_SIZE), declared, filename, partial(_read_at, stream))


def judge(
    head: bytes, declared: str | None, filename: str | None, read_at: ReadAt | None = None
) -> str:
    """Return the content type to believe.

    That is what the bytes prove, else what the sender or the name claims, else what they look like.
    """
    detected = detect(head, read_at)
    if detected is not None:
        return decide(detected, declared, filename)
    text = is_text(head)
    decided = decide(None, declared, filename, is_text=text)
    if decided != UNKNOWN:
        return decided
    if text:
        return text_hint(head) or _plain(head, declared, filename)
    return binary_hint(head) or UNKNOWN


def detect(head: bytes, read_at: ReadAt | None = None) -> str | None:
    """Return the content type that the first bytes of a file prove; None if they prove none.

    Plain text and unmarked binary data prove none. ``read_at`` reads other places of the file, if
    its first bytes do not specify the type.
    """
    found = signature_type(head) or (markup_type(head) if b"<" in head else None)
    if read_at is None or not (found in _INCOMPLETE or head == _BLANK):
        return found
    return _read_on(found, head, read_at)


def certain_type(head: bytes) -> str | None:
    """Return the type that the head alone proves, independent of claims; None if there is none."""
    found = detect(head)
    return None if found in _INCOMPLETE or found in NARROWED else found


def _read_on(found: str | None, head: bytes, read_at: ReadAt) -> str | None:
    """Return the type of a file after a look at other places of it."""
    if found is None:
        return "application/x-iso9660-image" if read_at(*_DISC_MARK_AT) == b"CD001" else None
    if found == COMPOUND:
        return compound_type(head, read_at)
    if found == _TAGGED_SOUND:
        place = media.tag_end(head)
        return media.untagged_type(read_at(place, HEAD_SIZE)) if place > len(head) else found
    listed = listed_zip_type(read_at) if hides_parts(head) else ZIP
    return found if listed == ZIP else listed


def _plain(head: bytes, declared: str | None, filename: str | None) -> str:
    """Return the type of a text whose claims were refuted."""
    if table := table_type(head, declared):
        return table
    claims = {canonical(declared), guess_type(filename)} - {None, UNKNOWN}
    return "text/plain" if head and claims else UNKNOWN


def _read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(0, 2)
    end = stream.tell()  # not every wrapper's seek() says so
    stream.seek(max(end + offset, 0) if offset < 0 else min(offset, end))
    return stream.read(size)


# --- signatures

_Verdict = Callable[[bytes], str | None]
_Entry = tuple[bytes, str | _Verdict, bool]
"""A signature, the type that it proves, and whether it counts in binary files only."""

# Bytes that no text holds, by the standard's "binary data byte".
_BINARY_BYTES = bytes({*range(32)} - {*b"\t\n\x0c\r\x1b"})
_TEXT_SAMPLE = 1024
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")

_TEXTUAL_STARTS = {b"%PDF-", b" ", b"%!PS", b"{\\rtf", b"d", *(b"P%c" % n for n in b"123456Ff")}
"""Short signatures of formats that are text."""

_WINDOWS_PROGRAM = "application/vnd.microsoft.portable-executable"

_ROWS = rows("signatures")

KNOWN_TYPES = frozenset({*(row[0] for row in _ROWS), *media.KNOWN_TYPES, ZIP, _WINDOWS_PROGRAM})
"""All types that signatures prove, except for the kinds of ZIP archives."""


def signature_type(head: bytes) -> str | None:
    """Return the type of a file whose first bytes are a known signature."""
    for start, verdict, only_binary in _BY_FIRST_BYTE.get(head[:1], ()):
        if head.startswith(start) and not (only_binary and is_text(head[:64])):
            found = verdict if isinstance(verdict, str) else verdict(head)
            if found is not None:
                return found
    # What begins like a byte order mark may be binary all the same.
    is_plain = head[:1] < b"\xef" and is_text(head)
    return None if is_plain else _signature_further_in(head)


def is_text(head: bytes) -> bool:
    """Return True if no byte is one that no text holds."""
    sample = head[:_TEXT_SAMPLE]
    # Deleting them is ten times as fast as a search.
    return head.startswith(_BYTE_ORDER_MARKS) or len(sample.translate(None, _BINARY_BYTES)) == len(
        sample
    )


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


def _type_if_followed(content_type: str, pattern: str, place: int, head: bytes) -> str | None:
    return content_type if _compiled(pattern).match(head, place) else None


@cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.removeprefix("~").encode(), re.DOTALL)


def _indexed() -> dict[bytes, list[_Entry]]:
    index: dict[bytes, list[_Entry]] = {}

    def add(start: bytes, verdict: str | _Verdict) -> None:
        # A short signature of letters may also begin a sentence, unless its format is text itself.
        letters = len(start) < 6 and start.isascii() and start.decode().isprintable()
        entry = start, verdict, letters and start not in _TEXTUAL_STARTS
        index.setdefault(start[:1], []).append(entry)

    for content_type, *starts in _ROWS:
        pattern = starts.pop() if starts[-1].startswith("~") else None
        for escaped in starts:
            start = escaped.encode().decode("unicode_escape").encode("latin-1")
            follows = pattern and partial(_type_if_followed, content_type, pattern, len(start))
            add(start, follows or content_type)
    add(b"PK\3\4", zip_type)
    add(b"\x1a\x45\xdf\xa3", media.matroska_type)
    add(b"ID3", media.tagged_type)
    add(b"\xff", media.mpeg_audio_type)
    add(b"MZ", _windows_program)
    return index


_BY_FIRST_BYTE = _indexed()
_FURTHER_IN = [(row[0], _compiled(row[1])) for row in _ROWS if row[1].startswith("~")]


# --- what is claimed, and when the bytes refute it

_SPECIAL_CASES = {name: tuple(names) for name, *names in rows("claims")}
_ZIPPED, _ACTIVE, _UNMARKED, _BINARY, _TEXTUAL, _NEVER_TEXT = map(
    _SPECIAL_CASES.pop, ("zipped", "active", "unmarked", "binary", "textual", "never-text")
)
NARROWED = frozenset({"text/xml", *_SPECIAL_CASES})
"""Detected types that have special cases."""

_SIGNED = KNOWN_TYPES.union(
    case
    for cases in _SPECIAL_CASES.values()
    for case in cases
    if not case.endswith(("/", "-", ".")) and not case.startswith("text/")
).difference(_UNMARKED)
"""Types whose files all begin with a signature: without it the claim is refuted."""


def decide(
    detected: str | None, declared: str | None, filename: str | None, *, is_text: bool = False
) -> str:
    """Return the content type of a file: what its bytes prove, if they prove something.

    Otherwise the declared type counts, then the name, unless the bytes refute them; also where
    these narrow down what the bytes prove: a .docx is a ZIP archive, and text/xml may be Atom.
    `UNKNOWN` if nothing is left.
    """
    if detected is not None and detected not in NARROWED:
        return detected  # as for most files
    stem, _, suffix = (filename or "").rpartition(".")
    # Names differ, types and suffixes repeat.
    return _claimed(detected, declared, suffix if stem.strip(".") else "", is_text)


@lru_cache(maxsize=256)
def _claimed(detected: str | None, declared: str | None, suffix: str, is_text: bool) -> str:
    for claim in (canonical(declared), type_of_suffix(suffix)):
        if claim is not None and _is_believed(claim, detected, is_text=is_text):
            return claim
    return detected or UNKNOWN


def refutes(detected: str | None, claimed: str, *, is_text: bool = False) -> bool:
    """Return True if bytes of the type ``detected`` cannot be of the claimed type."""
    name = canonical(claimed)
    if name is None or name == detected or _narrows(name, detected or ""):
        return False
    is_marked = name in _SIGNED or name.startswith(_ZIPPED)
    return detected is not None or is_marked or (is_text and _is_binary(name))


def _is_binary(name: str) -> bool:
    return name in _NEVER_TEXT or (name.startswith(_BINARY) and name not in _TEXTUAL)


def table_type(head: bytes, declared: str | None) -> str | None:
    """Return the type of a text that is a table, which an office program claims as its own."""
    if canonical(declared) != "application/vnd.ms-excel":
        return None
    first, second = (*head.split(b"\n", 2), b"")[:2]
    marks = (b"\t", b",", b";")
    mark = next((each for each in marks if 0 < first.count(each) == second.count(each)), None)
    return {None: None, b"\t": "text/tab-separated-values"}.get(mark, "text/csv")


def _is_believed(claim: str, detected: str | None, *, is_text: bool) -> bool:
    if detected is not None:
        return _narrows(claim, detected)
    return claim != UNKNOWN and not refutes(None, claim, is_text=is_text)


def _narrows(name: str, detected: str) -> bool:
    """Return True if a type is a special case of what the bytes prove."""
    if detected == "text/xml":
        return name.endswith("+xml")
    cases = _SPECIAL_CASES.get(detected, ())
    if name in cases:
        return True
    if name == UNKNOWN or name in _ACTIVE or name in _SIGNED:
        return False
    if name.startswith(_ZIPPED):
        zipped = tuple(case for case in cases if case.startswith(_ZIPPED))
        return detected == ZIP or name.startswith(zipped)
    return name.startswith(cases)
