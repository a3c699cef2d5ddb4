"""Hints: what the bytes look like, for files without a declared type and a name."""

from __future__ import annotations

import re

from sqlalchemy_file.detection.formats.headers import is_targa
from sqlalchemy_file.detection.formats.markup import looks_like_html
from sqlalchemy_file.detection.library import look_up

_STARTS = (
    (b"WEBVTT", "text/vtt"),
    (b"BEGIN:VCARD", "text/vcard"),
    (b"BEGIN:VCALENDAR", "text/calendar"),
    (b"#EXTM3U", "application/vnd.apple.mpegurl"),
    (b"-----BEGIN PGP MESSAGE", "application/pgp-encrypted"),
    (b"-----BEGIN PGP SIGNATURE", "application/pgp-signature"),
    (b"-----BEGIN PGP", "application/pgp-keys"),
    (b"-----BEGIN ", "application/x-pem-file"),
    (b"ISO-10303-21;", "model/step"),
    (b"/* XPM */", "image/x-xpixmap"),
    (b"<?php", "text/x-php"),
    (b"Received: ", "message/rfc822"),
    (b"Return-Path: ", "message/rfc822"),
    (b"Delivered-To: ", "message/rfc822"),
)
_MAIL = re.compile(
    rb"(?:(?:From|To|Cc|Date|Subject|Message-ID|MIME-Version|Reply-To): [^\n]*\n){2}", re.IGNORECASE
)
_STEREOLITHOGRAPHY = re.compile(rb"solid[^\n]*\n\s*facet normal ")


def text_hint(head: bytes) -> str | None:
    """Return the type that a text looks like; None where it looks like any text."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    for start, content_type in _STARTS:
        if text.startswith(start):
            return content_type
    if _STEREOLITHOGRAPHY.match(text):
        return "model/stl"
    if _MAIL.match(text):
        return "message/rfc822"
    return "text/html" if looks_like_html(head) else None


def binary_hint(head: bytes) -> str | None:
    """Return the type that binary data look like, by a weak rule or by the optional library."""
    return "image/x-tga" if is_targa(head) else look_up(head)
