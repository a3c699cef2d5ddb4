"""The content type of a file: the one that its bytes prove, else the claimed one."""

from __future__ import annotations

import re
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, BinaryIO

from sqlalchemy_file.detection import HEAD_SIZE
from sqlalchemy_file.detection.archives import (
    COMPOUND,
    OFFICE_TYPES,
    ZIP,
    ReadAt,
    compound_type,
    hides_parts,
    listed_zip_type,
)
from sqlalchemy_file.detection.media import tag_end, untagged_type
from sqlalchemy_file.detection.names import canonical, guess_type, rows, type_of_suffix
from sqlalchemy_file.detection.signatures import (
    KNOWN_TYPES,
    is_text,
    looks_like_html,
    markup_type,
    signature_type,
)
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

if TYPE_CHECKING:
    from pure_magic_rs import MagicDb

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
        place = tag_end(head)
        return untagged_type(read_at(place, HEAD_SIZE)) if place > len(head) else found
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


# --- likely types of files without a declared type and a name

_TEXTS = [(name, pattern.encode()) for name, pattern in rows("texts")]
# TGA has no signature: with a color map or without one; width and height; depth; flags.
_TARGA = re.compile(
    rb".(?:\x01[\x01\x09].{4}[\x0f\x10\x18\x20]|\0[\x02\x03\x0a\x0b]\0{5}).{4}"
    rb"(?!\0\0)..(?!\0\0)..[\x08\x0f\x10\x18\x20][\0-\x3f]",
    re.DOTALL,
)


def text_hint(head: bytes) -> str | None:
    """Return the type that a text looks like, or None."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    found = next((name for name, pattern in _TEXTS if re.match(pattern, text)), None)
    return found or ("text/html" if looks_like_html(head) else None)


def binary_hint(head: bytes) -> str | None:
    """Return the type that binary data look like, by a weak rule or by the optional library."""
    return "image/x-tga" if _TARGA.match(head) else look_up(head)


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


# --- some hundred rare formats, from pure-magic-rs (the rules of libmagic): the extra "detect"

_HEADER = 64

# Rules of one or two bytes, which one random file in a hundred matches, and one for numbers.
_TOO_WEAK = frozenset(
    {"image/x-tga", "image/x-adobe-aco", "application/x-dosexec", "audio/x-mp4a-latm"}
)


def look_up(head: bytes) -> str | None:
    """Return the content type of binary data by the library's rules; None where none applies."""
    if not _has_header(head):
        return None
    if (database := _database()) is None:
        return None
    try:
        name = database.first_magic_buffer(head).mime_type
    except ValueError:  # pragma: no cover  documented, and no content is known that causes it
        return None
    if name in _TOO_WEAK or name == UNKNOWN or name.startswith("text/"):
        return None
    return canonical(name)


def _has_header(head: bytes) -> bool:
    """Return True if there are letters at the start, or zeros near it, as in a header.

    Encrypted and compressed data would cost a search of 0.2 ms, and sometimes match a weak rule.
    """
    if b"\0\0" not in head[:_HEADER]:
        return head[:4].isalnum()
    return bool(head.strip(b"\0"))


@cache
def _database() -> MagicDb | None:
    try:
        from pure_magic_rs import MagicDb  # noqa: PLC0415  the extra "detect"
    except ImportError:
        return None
    return MagicDb()
