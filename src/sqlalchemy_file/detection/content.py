"""The content type of a file: the one that its bytes prove, else the claimed one."""

from __future__ import annotations

import re
from functools import partial
from typing import BinaryIO

from sqlalchemy_file.detection import HEAD_SIZE
from sqlalchemy_file.detection.claims import NARROWED, decide, table_type
from sqlalchemy_file.detection.formats.archives import (
    OFFICE_TYPES,
    ZIP,
    ReadAt,
    hides_parts,
    listed_zip_type,
)
from sqlalchemy_file.detection.formats.compound import COMPOUND, compound_type
from sqlalchemy_file.detection.formats.markup import looks_like_html, markup_type
from sqlalchemy_file.detection.formats.media import tag_end, untagged_type
from sqlalchemy_file.detection.formats.signatures import is_text, signature_type
from sqlalchemy_file.detection.library import look_up
from sqlalchemy_file.detection.names import canonical, guess_type
from sqlalchemy_file.detection.tables import rows
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

_TAGGED_SOUND = "audio/mpeg"
_INCOMPLETE = frozenset({COMPOUND, ZIP, _TAGGED_SOUND, *OFFICE_TYPES})
"""Types that a file specifies outside its first bytes."""
_DISC_MARK_AT = (32769, 5)


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
    found = signature_type(head) or markup_type(head)
    if read_at is None or (found is not None and found not in _INCOMPLETE):
        return found
    return _read_on(found, head, read_at)


def certain_type(head: bytes) -> str | None:
    """Return the type that the head alone proves, independent of claims; None if there is none."""
    found = detect(head)
    return None if found in _INCOMPLETE or found in NARROWED else found


def _read_on(found: str | None, head: bytes, read_at: ReadAt) -> str | None:
    """Return the type of a file after a look at other places of it."""
    if found is None:
        is_disc = not head.strip(b"\0") and read_at(*_DISC_MARK_AT) == b"CD001"
        return "application/x-iso9660-image" if len(head) == HEAD_SIZE and is_disc else None
    if found == COMPOUND:
        return compound_type(head, read_at)
    if found == _TAGGED_SOUND:
        place = tag_end(head)
        return untagged_type(read_at(place, HEAD_SIZE)) if place > len(head) else found
    listed = listed_zip_type(read_at) if hides_parts(head) else ZIP
    return found if listed == ZIP else listed


def _plain(head: bytes, declared: str | None, filename: str | None) -> str:
    """Return the type of a text whose claims were refuted."""
    table = table_type(head, declared)
    if table is not None:
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
