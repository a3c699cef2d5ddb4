"""Hints: likely types of files without a declared type and a name."""

from __future__ import annotations

import re

from sqlalchemy_file.detection.formats.markup import looks_like_html
from sqlalchemy_file.detection.library import look_up

_TEXTS = (
    ("text/vtt", rb"WEBVTT"),
    ("text/vcard", rb"BEGIN:VCARD"),
    ("text/calendar", rb"BEGIN:VCALENDAR"),
    ("application/vnd.apple.mpegurl", rb"#EXTM3U"),
    ("application/pgp-encrypted", rb"-----BEGIN PGP MESSAGE"),
    ("application/pgp-signature", rb"-----BEGIN PGP SIGNATURE"),
    ("application/pgp-keys", rb"-----BEGIN PGP"),
    ("application/x-pem-file", rb"-----BEGIN "),
    ("model/step", rb"ISO-10303-21;"),
    ("model/stl", rb"solid[^\n]*\n\s*facet normal "),
    ("image/x-xpixmap", rb"/\* XPM \*/"),
    ("text/x-php", rb"<\?php"),
    ("message/rfc822", rb"(?:Received|Return-Path|Delivered-To): "),
    (
        "message/rfc822",
        rb"(?i:(?:(?:From|To|Cc|Date|Subject|Message-ID|MIME-Version|Reply-To): [^\n]*\n){2})",
    ),
)
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
