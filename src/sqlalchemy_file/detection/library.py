"""The many rarer formats, as pure-magic-rs knows them (libmagic's rules, compiled in)."""

from __future__ import annotations

from functools import cache

from pure_magic_rs import MagicDb

from sqlalchemy_file.detection.names import UNKNOWN, canonical

_HEADER = 64

# Rules of one or two bytes, which one random file in a hundred satisfies.
_TOO_WEAK = frozenset({"image/x-tga", "application/x-dosexec", "audio/x-mp4a-latm"})


def look_up(head: bytes) -> str | None:
    """Return the content type of binary data by the library's rules; None where none applies."""
    if not _has_header(head):
        return None
    try:
        name = _database().first_magic_buffer(head).mime_type
    except ValueError:
        return None
    if name in _TOO_WEAK or name == UNKNOWN or name.startswith("text/"):
        return None
    return canonical(name)


def _has_header(head: bytes) -> bool:
    """Tell a header, which has letters at its start or zeros near it, from noise.

    Encrypted and compressed data without a signature would cost a full search of 0.2 ms, only
    to match a weak rule now and then.
    """
    if b"\0\0" not in head[:_HEADER]:
        return head[:4].isalnum()
    return bool(head.strip(b"\0"))


@cache
def _database() -> MagicDb:
    return MagicDb()
