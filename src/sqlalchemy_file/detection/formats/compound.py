"""Microsoft's compound files (OLE), by the names of the streams in their root.

Layout: [MS-CFB] 2.2 and 2.6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sqlalchemy_file.detection.formats.archives import ReadAt

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
