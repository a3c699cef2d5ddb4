"""HTML, SVG and XML, by their first element."""

from __future__ import annotations

import codecs
import re

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
