"""What is known of a file before it is served, and the headers that say so."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote

Disposition = Literal["inline", "attachment"]

_LONGEST_NAME = 150
"""Characters of a file name in a header; an extension is kept."""
_UNRESERVED = "!#$&+-.^_`|~"  # attr-char of RFC 8187, besides letters and digits


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One representation of a file: its size in bytes, its type, and what identifies its bytes.

    ``etag`` is a strong entity tag with its quotes. ``sha256`` is the checksum of all bytes, in
    hexadecimal. ``headers`` are sent with every answer, 304 included.
    """

    size: int
    content_type: str
    filename: str
    disposition: Disposition = "attachment"
    etag: str | None = None
    modified: datetime | None = None
    sha256: str | None = None
    headers: Sequence[tuple[str, str]] = ()

    @property
    def content_disposition(self) -> str:
        """The value of ``Content-Disposition``."""
        return content_disposition(self.disposition, self.filename)

    @property
    def repr_digest(self) -> str | None:
        """The value of ``Repr-Digest`` (RFC 9530), or None without a checksum."""
        if self.sha256 is None:
            return None
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode('ascii')}:"


def content_disposition(disposition: Disposition, filename: str) -> str:
    """Return the header's value, with ``filename`` in ASCII and ``filename*`` in UTF-8.

    The forms are those of RFC 6266, appendix D, and RFC 8187: quotes, backslashes, slashes and
    percent signs are replaced in the ASCII form, since some clients decode or cut there. Control
    characters and those that change the direction of text are removed from both.
    """
    name = _shortened("".join(filter(_is_visible, filename))) or "unnamed"
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
