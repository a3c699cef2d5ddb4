"""HTML, SVG and XML, by their first element."""

from __future__ import annotations

import codecs
import re

_BLANK = b" \t\r\n\x0c"
_NAME = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)(?=[\s/>]|$)")
_PROLOG = {
    b"<!--": re.compile(rb"<!--.*?-->", re.DOTALL),
    b"<?": re.compile(rb"<\?.*?\?>", re.DOTALL),
    b"<!": re.compile(rb"<![^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL),
}
_DOCTYPE = re.compile(rb"<!doctype\s+([\w:.-]+)", re.IGNORECASE)

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
    text = _as_bytes(head).lstrip(_BLANK)
    if not text.startswith(b"<"):
        return None
    is_xml = text.startswith(b"<?xml")
    element = _first_element(text).lower()
    if element == b"svg":
        return "image/svg+xml"
    if is_xml:
        return "application/xhtml+xml" if element == b"html" else "text/xml"
    return "text/html" if element in _HTML or _says_html(text) else None


def looks_like_html(head: bytes) -> bool:
    """Return True if a text begins with a comment, or with an element of HTML."""
    text = _as_bytes(head).lstrip(_BLANK)
    if text.startswith(b"<?xml"):
        return False
    return text.startswith(b"<!--") or _first_element(text).lower() in _LIKE_HTML


def _as_bytes(head: bytes) -> bytes:
    """Return markup in UTF-8, without a byte order mark."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", "ignore").encode("utf-8", "ignore")
    return head.removeprefix(codecs.BOM_UTF8)


def _says_html(text: bytes) -> bool:
    match = _DOCTYPE.match(_after_comments(text))
    return match is not None and match.group(1).lower() == b"html"


def _after_comments(text: bytes) -> bytes:
    while text.startswith(b"<!--") and (end := _prolog_end(text)):
        text = text[end:].lstrip(_BLANK)
    return text


def _first_element(text: bytes) -> bytes:
    """Return the local name of the first element after comments, declarations and DOCTYPE."""
    while True:
        text = text.lstrip(_BLANK)
        match = _NAME.match(text)
        if match is not None:
            return match.group(1)
        end = _prolog_end(text)
        if end == 0:
            return b""
        text = text[end:]


def _prolog_end(text: bytes) -> int:
    """Return where the comment, declaration or DOCTYPE at the start ends; 0 if none does."""
    pattern = next((p for opening, p in _PROLOG.items() if text.startswith(opening)), None)
    match = pattern.match(text) if pattern else None
    return match.end() if match else 0
