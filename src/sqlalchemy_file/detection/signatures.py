"""Detection by signatures, and of markup by its first element."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import cache, partial

from sqlalchemy_file.detection import archives, media
from sqlalchemy_file.detection.names import rows

_Verdict = Callable[[bytes], str | None]
_Entry = tuple[bytes, str | _Verdict, bool]
"""A signature, the type that it proves, and whether it counts in binary files only."""

# Bytes that no text holds, by the standard's "binary data byte".
_BINARY = bytes({*range(32)} - {*b"\t\n\x0c\r\x1b"})
_TEXT_SAMPLE = 1024
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")

_TEXTUAL_STARTS = {b"%PDF-", b" ", b"%!PS", b"{\\rtf", b"d", *(b"P%c" % n for n in b"123456Ff")}
"""Short signatures of formats that are text."""

_WINDOWS_PROGRAM = "application/vnd.microsoft.portable-executable"

_ROWS = rows("signatures")

KNOWN_TYPES = frozenset(
    {*(row[0] for row in _ROWS), *media.KNOWN_TYPES, archives.ZIP, _WINDOWS_PROGRAM}
)
"""All types that signatures prove, except for the kinds of ZIP archives."""


def signature_type(head: bytes) -> str | None:
    """Return the type of a file whose first bytes are a known signature."""
    for start, verdict, only_binary in _BY_FIRST_BYTE.get(head[:1], ()):
        if head.startswith(start) and not (only_binary and is_text(head[:64])):
            found = verdict if isinstance(verdict, str) else verdict(head)
            if found is not None:
                return found
    # What begins like a byte order mark may be binary all the same.
    is_plain = head[:1] < _BYTE_ORDER_MARKS[0] and is_text(head)
    return None if is_plain else _signature_further_in(head)


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
    add(b"PK\3\4", archives.zip_type)
    add(b"\x1a\x45\xdf\xa3", media.matroska_type)
    add(b"ID3", media.tagged_type)
    add(b"\xff", media.mpeg_audio_type)
    add(b"MZ", _windows_program)
    return index


_BY_FIRST_BYTE = _indexed()
_FURTHER_IN = [(row[0], _compiled(row[1])) for row in _ROWS if row[1].startswith("~")]


# --- HTML, SVG and XML, by their first element

_NAME = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)(?=[\s/>]|$)")
_BLANKS = rb"[ \t\r\n\f]*"
# Atomic groups: what one alternative has matched is not tried with another one.
_DOCTYPE = re.compile(
    rb"(?>%b<!--.*?-->)*+%b<!doctype\s+([\w:.-]+)" % (_BLANKS, _BLANKS), re.IGNORECASE | re.DOTALL
)
_PROLOG = re.compile(
    rb"(?>%b(?:<!--.*?-->|<\?.*?\?>|<!(?!--)[^\[>]*(?:\[.*?\]\s*)?>))*+%b" % (_BLANKS, _BLANKS),
    re.DOTALL,
)
"""Comments, declarations and DOCTYPE."""

# The standard's list (https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type)
# without <a>, <b> and comments, with which XML and plain text begin as well.
_HTML = frozenset(b"html head script iframe h1 div font table style title body br p".split())

# Fragments, mails and attacks tend to begin with these, too. So does some XML.
_LIKE_HTML = _HTML | frozenset(
    b"a b base blockquote button center details embed form frameset h2 h3 h4 "
    b"h5 h6 hr i img input isindex link math meta noscript object ol pre "
    b"select span template textarea ul video audio marquee".split()
)


def markup_type(head: bytes) -> str | None:
    """Return the type of markup by its first element; None for other content.

    Elements of neither HTML nor SVG are XML only behind an XML declaration.
    """
    text = _as_text(head)
    if not text.startswith(b"<"):
        return None
    is_xml = text.startswith(b"<?xml")
    element = _first_element(text)
    if element == b"svg":
        return "image/svg+xml"
    if is_xml:
        return "application/xhtml+xml" if element == b"html" else "text/xml"
    return "text/html" if element in _HTML or _says_html(text) else None


def looks_like_html(head: bytes) -> bool:
    """Return True if a text begins with a comment, or with an element of HTML."""
    text = _as_text(head)
    if text.startswith(b"<?xml"):
        return False
    return text.startswith(b"<!--") or _first_element(text) in _LIKE_HTML


def _as_text(head: bytes) -> bytes:
    """Return markup in UTF-8, without a byte order mark and blanks before it."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "ignore").encode("utf-8", "ignore")
    return head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n\f")


def _says_html(text: bytes) -> bool:
    match = _DOCTYPE.match(text)
    return match is not None and match.group(1).lower() == b"html"


def _first_element(text: bytes) -> bytes:
    """Return the local name of the first element, in lower case."""
    prolog = _PROLOG.match(text)
    match = _NAME.match(text, prolog.end() if prolog else 0)
    return match.group(1).lower() if match else b""
