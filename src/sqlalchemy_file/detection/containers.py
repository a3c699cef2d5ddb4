"""Formats that hold other formats, or whose signature alone is too short to go by."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OFFICE_BY_FOLDER = {
    b"word/": f"{_OFFICE}wordprocessingml.document",
    b"xl/": f"{_OFFICE}spreadsheetml.sheet",
    b"ppt/": f"{_OFFICE}presentationml.presentation",
}
_OFFICE_PACKAGE = (b"[Content_Types].xml", b"_rels/", b"docProps/")
_MAIN_PART = re.compile(
    rb'ContentType\s*=\s*"(application/vnd\.(?:openxmlformats-officedocument|ms-(?:word|excel|'
    rb'powerpoint))\.[\w.]+?)\.main(?:\+xml)?"'
)
_NAMED_INSIDE = re.compile(
    rb"application/(?:epub\+zip|vnd\.(?:oasis\.opendocument|sun\.xml)\.[\w.-]+)"
)
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_INFLATE_LIMIT = 64 * 1024

EMBEDDED_FONT_VERSIONS = (b"\0\0\1\0", b"\1\0\2\0", b"\2\0\2\0")


def zip_type(head: bytes) -> str:
    """Return what a zip archive is, as far as its first members tell; else plain zip.

    Layout of a member: the ZIP specification (APPNOTE), 4.3.7.
    """
    members = list(_members(head))
    names = [member.name for member in members]
    if names[:1] == [b"mimetype"]:
        return _type_named_inside(members[0].content())
    if names[:1] == [b"[Content_Types].xml"]:
        declared = _office_main_part(members[0].content())
        if declared is not None:
            return declared
    if any(name.startswith(_OFFICE_PACKAGE) for name in names):
        return _office_by_folder(names)
    return _packaged_program(names) or "application/zip"


def bitmap_type(head: bytes) -> str | None:
    """Tell a Windows bitmap from text that begins with "BM" by the size of its inner header."""
    known = (12, 16, 40, 52, 56, 64, 108, 124)
    return "image/bmp" if int.from_bytes(head[14:18], "little") in known else None


def icon_type(head: bytes) -> str | None:
    """Tell an icon or a cursor by its first entry: some images, the reserved byte zero."""
    count = int.from_bytes(head[4:6], "little")
    return "image/x-icon" if count and head[9:10] == b"\0" else None


def bzip2_type(head: bytes) -> str | None:
    """Tell a bzip2 stream by the mark of its first block, or of its end where it is empty."""
    marks = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
    return "application/x-bzip2" if head[4:10] in marks else None


def truetype_type(head: bytes) -> str | None:
    """Tell a TrueType font by the tag of its first table."""
    return "font/ttf" if re.match(rb"[A-Za-z]{2}[\w /]{2}", head[12:16]) else None


def portable_executable_type(head: bytes) -> str | None:
    """Tell a program for Windows by the header that its stub points to."""
    offset = int.from_bytes(head[60:64], "little")
    if head[offset : offset + 4] == b"PE\0\0":
        return "application/vnd.microsoft.portable-executable"
    return None


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    method: int
    packed: bytes

    def content(self) -> bytes:
        """Return as much of the content as the head of the archive holds."""
        if self.method != zlib.DEFLATED:
            return self.packed
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(self.packed, _INFLATE_LIMIT)
        except zlib.error:
            return b""


def _members(head: bytes) -> Iterator[_Member]:
    """Yield each member that begins in the head."""
    start = 0
    while start >= 0 and start + _LOCAL_HEADER.size <= len(head):
        fields = _LOCAL_HEADER.unpack_from(head, start)
        method, packed_size, name_size, extra_size = fields[3], fields[7], fields[9], fields[10]
        name_start = start + _LOCAL_HEADER.size
        data_start = name_start + name_size + extra_size
        start = head.find(b"PK\3\4", data_start + packed_size)
        data = head[data_start : start if start >= 0 else None]
        yield _Member(head[name_start : name_start + name_size], method, data)


def _type_named_inside(content: bytes) -> str:
    match = _NAMED_INSIDE.match(content)
    return match.group().decode() if match else "application/zip"


def _office_main_part(content_types: bytes) -> str | None:
    match = _MAIN_PART.search(content_types)
    if match is None:
        return None
    name = match.group(1).decode().lower()
    return f"{name}.12" if name.endswith("macroenabled") else name


def _office_by_folder(names: list[bytes]) -> str:
    for folder, content_type in _OFFICE_BY_FOLDER.items():
        if any(name.startswith(folder) for name in names):
            return content_type
    return "application/zip"


def _packaged_program(names: list[bytes]) -> str | None:
    if b"AndroidManifest.xml" in names or b"classes.dex" in names:
        return "application/vnd.android.package-archive"
    if names and names[0] in (b"META-INF/", b"META-INF/MANIFEST.MF"):
        return "application/java-archive"
    return "application/vnd.google-earth.kmz" if names[:1] == [b"doc.kml"] else None
