"""ZIP archives and Microsoft's compound files, and the documents that they are.

Layouts: the ZIP specification (APPNOTE), 4.3; [MS-CFB] 2.2 and 2.6. The first members of a ZIP
archive usually decide. Otherwise the list at its end is read, if the content can seek.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from sqlalchemy_file.detection.names import canonical

ReadAt = Callable[[int, int], bytes]
"""Returns as many bytes as there are from an offset on; a negative one counts from the end."""

ZIP = "application/zip"

_OFFICE = "application/vnd.openxmlformats-officedocument."
OFFICE_TYPES = (
    f"{_OFFICE}wordprocessingml.document",
    f"{_OFFICE}spreadsheetml.sheet",
    f"{_OFFICE}presentationml.presentation",
    "application/vnd.ms-visio.drawing",
)
"""Types of packages by their folders. Their list of parts distinguishes templates and macros."""

_PACKAGE = rb"\A(?=(?:.*\n)?(?:\[Content_Types\]\.xml|_rels/|docProps/))(?:.*\n)?"
_PACKAGED = (_PACKAGE + folder for folder in (b"word/", b"xl/", b"ppt/", b"visio/"))
_NAMES = (
    *zip(OFFICE_TYPES, _PACKAGED, strict=True),
    (ZIP, _PACKAGE),
    ("application/vnd.android.package-archive", rb"^(?:AndroidManifest\.xml|classes\.dex)$"),
    ("application/java-archive", rb"\AMETA-INF/(?:MANIFEST\.MF)?$"),
    ("application/vnd.apple.keynote", rb"\A(?=.*\.iwa$)(?:.*\n)?Index/(?:Master)?Slide"),
    ("application/vnd.google-earth.kmz", rb"\Adoc\.kml$"),
)
_BY_NAMES = [(found, re.compile(each, re.DOTALL | re.MULTILINE)) for found, each in _NAMES]
"""Types by patterns for the names of all members, one a line; the first match counts."""

_PARTS = b"[Content_Types].xml"
_MAIN_PART = re.compile(
    rb'ContentType\s*=\s*"(application/vnd\.(?:openxmlformats-officedocument|ms-(?:word|excel|'
    rb'powerpoint|visio))\.[\w.]+?)\.main(?:\+xml)?"'
)
_OTHER_PACKAGES = (
    (b"application/vnd.ms-package.xps-fixeddocument", "application/vnd.ms-xpsdocument"),
    (b"application/vnd.ms-package.3dmanufacturing-3dmodel+xml", "model/3mf"),
)
_NAMED_INSIDE = re.compile(
    rb"(?:application/(?:epub\+zip|x-krita|vnd\.(?:oasis\.opendocument|sun\.xml)\.[\w.-]+|"
    rb"vnd\.(?:recordare\.musicxml|adobe\.indesign-idml-package|etsi\.asic-[es]\+zip))|"
    rb"image/openraster)(?![\w.+-])"
)
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_INFLATE_LIMIT = 64 * 1024
_LIST_ENTRY = struct.Struct("<4s4xHHHHIII3H8xI")
_LIST_END = struct.Struct("<4s8xII")
_LIST_LIMIT = 256 * 1024
_END_LIMIT = 4096  # an archive's comment may have 64 KB; those of documents have none


def zip_type(head: bytes) -> str:
    """Return the type of a ZIP archive by its first members, else plain ZIP."""
    members = list(_members(head))
    name, content = members[0] if members else (b"", (0, b""))
    if name == b"mimetype":
        return _type_named_inside(_unpacked(*content))
    declared = _type_of_parts(_unpacked(*content)) if name == _PARTS else None
    return declared or _type_by_names([name for name, _ in members])


def listed_zip_type(read_at: ReadAt) -> str:
    """Return the type of a ZIP archive by the list of its members, else plain ZIP."""
    members = dict(_listed(_list_of_members(read_at)))
    if _PARTS in members and (found := _type_of_parts(_content_at(read_at, *members[_PARTS]))):
        return found
    if b"mimetype" in members:
        return _type_named_inside(_content_at(read_at, *members[b"mimetype"]))
    return _type_by_names(list(members))


def hides_parts(head: bytes) -> bool:
    """Return True if the part with the type of a package is not in the head."""
    return not head[30:].startswith((_PARTS, b"mimetype"))


def _unpacked(method: int, packed: bytes) -> bytes:
    if method != zlib.DEFLATED:
        return packed
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, _INFLATE_LIMIT)
    except zlib.error:
        return b""


def _members(head: bytes) -> Iterator[tuple[bytes, tuple[int, bytes]]]:
    """Yield the name of each member that begins in the head, its method and its packed bytes."""
    start = 0
    while start >= 0 and start + _LOCAL_HEADER.size <= len(head):
        fields = _LOCAL_HEADER.unpack_from(head, start)
        method, packed_size, name_size, extra_size = fields[3], fields[7], fields[9], fields[10]
        name_start = start + _LOCAL_HEADER.size
        data_start = name_start + name_size + extra_size
        start = head.find(b"PK\3\4", data_start + packed_size)
        data = head[data_start : start if start >= 0 else None]
        yield head[name_start : name_start + name_size], (method, data)


def _list_of_members(read_at: ReadAt) -> bytes:
    """Return the list at the end of the archive, up to a limit; nothing if it is not found."""
    tail = read_at(-_END_LIMIT, _END_LIMIT)
    place = tail.rfind(b"PK\5\6")
    if place < 0 or place + _LIST_END.size > len(tail):
        return b""
    _, size, offset = _LIST_END.unpack_from(tail, place)
    return read_at(offset, min(size, _LIST_LIMIT))


def _listed(members: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the name of each listed member, with its packed size and where it begins."""
    start = 0
    while members.startswith(b"PK\1\2", start) and start + _LIST_ENTRY.size <= len(members):
        fields = _LIST_ENTRY.unpack_from(members, start)
        packed_size, name_size, extra_size, comment_size, offset = fields[6], *fields[8:12]
        name_start = start + _LIST_ENTRY.size
        yield members[name_start : name_start + name_size], (packed_size, offset)
        start = name_start + name_size + extra_size + comment_size


def _content_at(read_at: ReadAt, packed_size: int, offset: int) -> bytes:
    header = read_at(offset, _LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
        return b""
    fields = _LOCAL_HEADER.unpack(header)
    start = offset + _LOCAL_HEADER.size + fields[9] + fields[10]
    return _unpacked(fields[3], read_at(start, min(packed_size, _INFLATE_LIMIT)))


def _type_named_inside(content: bytes) -> str:
    match = _NAMED_INSIDE.match(content)
    return canonical(match.group().decode()) or ZIP if match else ZIP


def _type_of_parts(parts: bytes) -> str | None:
    match = _MAIN_PART.search(parts)
    if match is None:
        return next((found for name, found in _OTHER_PACKAGES if name in parts), None)
    name = match.group(1).decode().lower().replace("enabledtemplate", "enabled")
    return canonical(f"{name}.12" if name.endswith("macroenabled") else name)


def _type_by_names(names: list[bytes]) -> str:
    listed = b"\n".join(names)
    return next((found for found, pattern in _BY_NAMES if pattern.search(listed)), ZIP)


# --- Microsoft's compound files (OLE), by the names of the streams in their root

COMPOUND = "application/x-ole-storage"

_ENTRY = 128
_NONE = 0xFFFFFFFF
_MOST_ENTRIES = 64
_INSTALLER = bytes.fromhex("84100c0000000000c000000000000046")

_TYPE_BY_STREAM = {
    "WordDocument": "application/msword",
    "Workbook": "application/vnd.ms-excel",
    "Book": "application/vnd.ms-excel",
    "PowerPoint Document": "application/vnd.ms-powerpoint",
    "VisioDocument": "application/vnd.visio",
    "Quill": "application/vnd.ms-publisher",
    "__properties_version1.0": "application/vnd.ms-outlook",
}


def compound_type(head: bytes, read_at: ReadAt) -> str:
    """Return the type of the document in a compound file; `COMPOUND` if it is unknown."""
    if len(head) < 52:
        return COMPOUND
    shift, first = struct.unpack_from("<H", head, 30)[0], struct.unpack_from("<I", head, 48)[0]
    if shift not in (9, 12):
        return COMPOUND
    directory = read_at((first + 1) << shift, _MOST_ENTRIES * _ENTRY)
    if directory[80:96] == _INSTALLER:
        return "application/x-msi"
    names = set(_names_in_root(directory))
    return next((found for name, found in _TYPE_BY_STREAM.items() if name in names), COMPOUND)


def _names_in_root(directory: bytes) -> Iterator[str]:
    """Yield the names of the streams in the root, without those of embedded documents."""
    if len(directory) < _ENTRY:
        return
    waiting, seen = [struct.unpack_from("<I", directory, 76)[0]], {_NONE}
    while waiting:
        number = waiting.pop()
        start = number * _ENTRY
        if number in seen or start + _ENTRY > len(directory):
            continue
        seen.add(number)
        size = struct.unpack_from("<H", directory, start + 64)[0]
        yield directory[start : start + min(max(size - 2, 0), 62)].decode("utf-16-le", "replace")
        waiting += struct.unpack_from("<II", directory, start + 68)
