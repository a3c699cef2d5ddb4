"""File names: cleaned, and in the header ``Content-Disposition``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy_file.support.defaults import UNNAMED

MAX_NAME_BYTES = 255
"""The longest file name that common file systems take, as UTF-8."""

_PLAIN = re.compile(r"\w(?:[\w ()+,.-]{0,100}[\w)])?", re.ASCII)  # as most names are
_SEPARATORS = re.compile(r"[/\\]")

# Control characters end header lines and confuse terminals; format characters (Cf) reverse or
# hide parts of a name, so that "exe.pdf" is shown for "fdp.exe"; lone surrogates (Cs) and line
# separators cannot be encoded or printed.
_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# The joiners are format characters, too, but Persian, the scripts of India and emoji are written
# with them. They belong to the letter or sign before them, which no ASCII character is.
_JOINERS = "\u200c\u200d"
_JOINED = frozenset("LMS")

_SUFFIX = re.compile(r"(?<=.)(?:\.tar)?\.[^.\s]{1,31}$", re.IGNORECASE)


def clean_filename(raw: str | None) -> str:
    """Return the name of a file as it may be kept, shown and sent.

    That is the last part of a path in either notation, in Unicode's composed form, without
    control and bidirectional characters and others that cannot be seen, of at most 255 bytes
    with its suffix kept.
    """
    if raw and (plain := _PLAIN.fullmatch(raw)):
        return plain[0]  # a member of an enum as the text that it is
    for part in reversed(_SEPARATORS.split(raw or "")):
        if name := _printable(part):
            return _shortened(name) if name.strip(". ") else UNNAMED
    return UNNAMED


def _printable(part: str) -> str:
    if not (part.isascii() and part.isprintable()):
        part = unicodedata.normalize("NFC", "".join(_kept(part)))
    return part.strip()


def _kept(part: str) -> Iterator[str]:
    before = ""
    for char in part:
        if unicodedata.category(char) not in _UNWANTED:
            before = char
        elif char in _JOINERS and _takes_joiner(before):
            before = ""
        else:
            continue
        yield char


def _takes_joiner(char: str) -> bool:
    return char > "\x7f" and unicodedata.category(char)[0] in _JOINED


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    match = _SUFFIX.search(name)
    suffix = match.group() if match else ""
    room = MAX_NAME_BYTES - len(suffix.encode())
    stem = name.removesuffix(suffix).encode()[:room].decode(errors="ignore")
    return (stem.rstrip() + suffix) if suffix else stem.rstrip()


# --- Content-Disposition: whether browsers show or save a file

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
    name = _shortened_for_header("".join(filter(_is_visible, filename))) or UNNAMED
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


def _shortened_for_header(name: str) -> str:
    name = name.strip()
    if len(name) <= _LONGEST_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > 16:
        return name[:_LONGEST_NAME]
    return stem[: _LONGEST_NAME - len(extension) - 1] + dot + extension
