"""Some hundred rare formats, from pure-magic-rs (the rules of libmagic).

It is optional, the extra ``detect``, and only a hint.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy_file.detection.names import canonical
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

if TYPE_CHECKING:
    from pure_magic_rs import MagicDb

_HEADER = 64

# Rules of one or two bytes, which one random file in a hundred matches, and one for numbers.
_TOO_WEAK = frozenset(
    {"image/x-tga", "image/x-adobe-aco", "application/x-dosexec", "audio/x-mp4a-latm"}
)


def look_up(head: bytes) -> str | None:
    """Return the content type of binary data by the library's rules; None where none applies."""
    if not _has_header(head):
        return None
    database = _database()
    if database is None:
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
