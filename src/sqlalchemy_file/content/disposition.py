"""The header ``Content-Disposition``: whether browsers show or save a file."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy_file.support.defaults import UNNAMED

Disposition = Literal["inline", "attachment"]

_LONGEST_NAME = 150
"""Characters of a file name in a header; an extension is kept."""
_UNRESERVED = "!#$&+-.^_`|~"  # attr-char of RFC 8187, besides letters and digits


INLINE_TYPES: tuple[str, ...] = (
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp",
    "image/x-icon", "image/vnd.microsoft.icon",
    "video/mp4", "video/webm", "video/ogg", "video/quicktime",
    "audio/mpeg", "audio/mp4", "audio/ogg", "audio/webm", "audio/wav", "audio/x-wav", "audio/flac",
    "audio/aac",
    "application/pdf",
)  # fmt: skip
"""Types that browsers show without running anything of the file's own."""

HEADER = "Content-Disposition"


def known_disposition(record: Mapping[str, Any]) -> Disposition | None:
    """Return the disposition in a record, if it is valid."""
    known = record.get("disposition")
    return known if known in ("inline", "attachment") else None


def headers_to_store(
    headers: Mapping[str, str] | None, wanted: Disposition | None, filename: str, content_type: str
) -> dict[str, str] | None:
    """Return the headers that an object is stored with: its disposition, and a program's own.

    Buckets send it with the object. A type that could run something is never stored as inline.
    """
    if wanted is None or any(name.lower() == HEADER.lower() for name in headers or ()):
        return None if headers is None else dict(headers)
    allowed = allowed_disposition(wanted, content_type, INLINE_TYPES)
    return {**(headers or {}), HEADER: content_disposition(allowed, filename)}


def allowed_disposition(
    wanted: Disposition | None, content_type: str, inline: Collection[str]
) -> Disposition:
    """Return ``inline`` where the type is among those allowed and no attachment is wanted."""
    essence = content_type.partition(";")[0].strip().lower()
    return "inline" if essence in inline and wanted != "attachment" else "attachment"


def content_disposition(disposition: Disposition, filename: str) -> str:
    """Return the header's value, with ``filename`` in ASCII and ``filename*`` in UTF-8.

    The forms are those of RFC 6266, appendix D, and RFC 8187: quotes, backslashes, slashes and
    percent signs are replaced in the ASCII form, since some clients decode or cut there. Control
    characters and those that change the direction of text are removed from both.
    """
    name = _shortened("".join(filter(_is_visible, filename))) or UNNAMED
    plain = _ascii(name)
    value = f'{disposition}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe=_UNRESERVED)}"
    return value


def _ascii(name: str) -> str:
    # Letters lose their accents; what has no likeness in ASCII becomes an underscore.
    decomposed = unicodedata.normalize("NFKD", name)
    kept = "".join(char for char in decomposed if not unicodedata.combining(char))
    return "".join(char if _is_plain(char) else "_" for char in kept)


def _is_plain(char: str) -> bool:
    return " " <= char <= "~" and char not in '"\\/%'


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and not _turns_text(char)


def _turns_text(char: str) -> bool:
    return char in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _shortened(name: str) -> str:
    name = name.strip()
    if len(name) <= _LONGEST_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > 16:
        return name[:_LONGEST_NAME]
    return stem[: _LONGEST_NAME - len(extension) - 1] + dot + extension
