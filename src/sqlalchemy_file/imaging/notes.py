"""Remove metadata of images (EXIF, XMP, IPTC, comments) without a loss of quality.

The parts to keep are listed, so that unknown parts are removed too. Layouts: JPEG B.1.1, PNG 5.3
and 4.7, WebP's container (RFC 9649), GIF89a 23 to 26.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import ExifTags, Image


class Stripped(NamedTuple):
    """A file without metadata, and the kinds that were removed."""

    content: bytes
    removed: frozenset[str]


def strip(content: bytes, format_name: str) -> Stripped | None:
    """Return an image file without metadata; None if it has to be encoded again for that.

    Data after the end of the image are removed too.
    """
    parts_of = _READERS.get(format_name)
    if parts_of is None:
        return None
    kept, removed = bytearray(), set()
    try:
        for part, kind in parts_of(content):
            if kind is None:
                kept += part
            else:
                removed.add(kind)
    except (IndexError, ValueError):
        return None
    if format_name == "WEBP":
        kept[4:8] = (len(kept) - 8).to_bytes(4, "little")
    return Stripped(bytes(kept), frozenset(removed))


def kinds_in(image: Image.Image) -> frozenset[str]:
    """Return the kinds of metadata that Pillow finds in an image."""
    found = {
        name
        for name, key in (("exif", "exif"), ("xmp", "xmp"), ("iptc", "photoshop"))
        if image.info.get(key)
    }
    if image.info.get("comment"):
        found.add("comment")
    if getattr(image, "text", None):
        found.add("text")
    exif = image.getexif()
    if exif.get_ifd(ExifTags.IFD.GPSInfo):
        found.add("gps")
    return frozenset(found | ({"exif"} if exif.get_ifd(ExifTags.IFD.Exif) else set()))


_Parts = Iterator[tuple[bytes, str | None]]
_START_OF_SCAN, _END = 0xDA, 0xD9
_ALONE = (0x01, *range(0xD0, 0xD9))
_JPEG_NOTES: list[tuple[str | None, re.Pattern[bytes]]] = [
    (note, re.compile(rb"\xff(?:%b)" % pattern, re.DOTALL))
    for note, pattern in (
        # All but comments and data of applications; JFIF without its extension, a preview.
        (None, rb"[^\xe0-\xef\xfe]|\xe0..JFIF\0|\xe2..ICC_PROFILE\0|\xee..Adobe"),
        ("comment", rb"\xfe"),
        ("exif", rb"...Exif\0"),
        ("iptc", rb"\xed"),
        ("xmp", rb"...http://ns\.adobe\.com/x"),
        ("other", rb""),
    )
]
"""Kinds of notes, by the start of their segment; the first match counts. None is kept."""


def _jpeg_parts(content: bytes) -> _Parts:
    yield content[:2], None
    place = 2
    while True:
        while content[place + 1] == 0xFF:  # fill bytes
            place += 1
        if content[place] != 0xFF:
            raise ValueError("a marker is missing")
        marker = content[place + 1]
        if marker == _END:
            yield content[place : place + 2], None
            break
        end = place + 2
        if marker not in _ALONE:
            end += int.from_bytes(content[end : end + 2], "big")
        _checked_end(content, end)
        segment = content[place:end]
        yield segment, next(note for note, pattern in _JPEG_NOTES if pattern.match(segment))
        place = _end_of_scan(content, end) if marker == _START_OF_SCAN else end
        if place > end:
            yield content[end:place], None
    yield from _trailing(content, place + 2)


def _end_of_scan(content: bytes, place: int) -> int:
    """Return where the next marker is that is neither a stuffed byte nor a restart."""
    while (place := content.find(b"\xff", place)) >= 0:
        if content[place + 1] != 0 and not 0xD0 <= content[place + 1] <= 0xD7:
            return place
        place += 2
    raise ValueError("the end is missing")


_PNG_KEPT = (
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT"),
    *(b"bKGD", b"hIST", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT", b"cICP", b"mDCV", b"cLLI"),
)
_PNG_NOTES = {b"eXIf": "exif", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"tIME": "time"}


def _png_parts(content: bytes) -> _Parts:
    yield content[:8], None
    place, name = 8, b""
    while name != b"IEND":
        size = int.from_bytes(content[place : place + 4], "big")
        name = content[place + 4 : place + 8]
        end = _checked_end(content, place + 12 + size)
        note = _PNG_NOTES.get(name, "other")
        if name == b"iTXt" and content.startswith(b"XML:com.adobe.xmp", place + 8):
            note = "xmp"
        yield content[place:end], None if name in _PNG_KEPT else note
        place = end
    yield from _trailing(content, place)


_WEBP_KEPT = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP")
_WEBP_NOTES = {b"EXIF": "exif", b"XMP ": "xmp"}
_WEBP_FLAGS = 0x0C


def _webp_parts(content: bytes) -> _Parts:
    yield content[:12], None
    place, whole = 12, 8 + int.from_bytes(content[4:8], "little")
    while place + 8 <= min(whole, len(content)):
        name = content[place : place + 4]
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        end = _checked_end(content, place + 8 + size) + size % 2
        if name == b"VP8X":
            flags = bytes([content[place + 8] & ~_WEBP_FLAGS])
            yield content[place : place + 8] + flags + content[place + 9 : end], None
        else:
            yield content[place:end], None if name in _WEBP_KEPT else _WEBP_NOTES.get(name, "other")
        place = end
    yield from _trailing(content, place)


_GIF_CONTROL, _GIF_COMMENT, _GIF_APPLICATION = 0xF9, 0xFE, 0xFF
_GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def _gif_parts(content: bytes) -> _Parts:
    place = 13 + _gif_palette(content[10])
    yield content[:place], None
    while content[place] != 0x3B:
        if content[place] == 0x2C:
            end = _gif_blocks_end(content, place + 10 + _gif_palette(content[place + 9]) + 1)
            yield content[place:end], None
        elif content[place] == 0x21:
            end = _gif_blocks_end(content, place + 2)
            yield content[place:end], _gif_note(content[place + 1], content[place + 3 : place + 14])
        else:
            raise ValueError("a block is missing")
        place = end
    yield content[place : place + 1], None
    yield from _trailing(content, place + 1)


def _gif_palette(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_blocks_end(content: bytes, place: int) -> int:
    while content[place]:
        place += content[place] + 1
    return place + 1


def _gif_note(kind: int, identity: bytes) -> str | None:
    if kind == _GIF_CONTROL or (kind == _GIF_APPLICATION and identity in _GIF_LOOPS):
        return None
    if kind == _GIF_COMMENT:
        return "comment"
    return "xmp" if identity.startswith(b"XMP Data") else "other"


def _checked_end(content: bytes, end: int) -> int:
    if end > len(content):
        raise ValueError("a part is cut off")
    return end


def _trailing(content: bytes, end: int) -> _Parts:
    if len(content) > end:
        yield content[end:], "trailing"


_READERS: dict[str, Callable[[bytes], _Parts]] = {
    "JPEG": _jpeg_parts,
    "MPO": _jpeg_parts,
    "PNG": _png_parts,
    "WEBP": _webp_parts,
    "GIF": _gif_parts,
}
