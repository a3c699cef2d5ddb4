"""Markup by its first element, and what other content without a signature looks like."""

from __future__ import annotations

import codecs
import re
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy_file.detection.names import canonical, rows
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

if TYPE_CHECKING:
    from pure_magic_rs import MagicDb

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
