"""Formats with a short signature, which need further fields of their header."""

from __future__ import annotations

import re

_EMBEDDED_FONT_VERSIONS = (b"\0\0\1\0", b"\1\0\2\0", b"\2\0\2\0")
_NETPBM = {
    b"1": "image/x-portable-bitmap",
    b"2": "image/x-portable-graymap",
    b"3": "image/x-portable-pixmap",
    b"4": "image/x-portable-bitmap",
    b"5": "image/x-portable-graymap",
    b"6": "image/x-portable-pixmap",
    b"F": "image/x-portable-floatmap",
    b"f": "image/x-portable-floatmap",
}
_NETPBM_HEADER = re.compile(rb"P[1-6Ff]\s(?:\s*#[^\n]*\n)*\s*\d+\s+(?:#[^\n]*\n)*\s*\d+\s")
_ARBITRARY_MAP = re.compile(rb"P7\n(?:#|WIDTH |HEIGHT |DEPTH |MAXVAL |TUPLTYPE )")

KNOWN_TYPES = frozenset(
    {
        *(*_NETPBM.values(), "image/x-portable-arbitrarymap", "image/bmp", "image/x-icon"),
        *("image/jls", "image/jpeg", "image/tiff", "image/x-canon-cr2", "image/emf"),
        *("image/x-sgi", "image/vnd.zbrush.pcx", "image/vnd.dwg", "font/ttf"),
        *("application/vnd.microsoft.portable-executable", "application/x-java-applet"),
        *("application/x-mach-binary", "application/x-bzip2", "application/x-lzma"),
        *("application/x-compress", "application/x-arj", "application/x-cpio"),
        "application/x-bittorrent",
    }
)
"""What the functions of this module may say."""

_DICOM_MARK = b"DICM"


def bitmap_type(head: bytes) -> str | None:
    """Tell a Windows bitmap from text that begins with "BM" by the size of its inner header."""
    known = (12, 16, 40, 52, 56, 64, 108, 124)
    return "image/bmp" if int.from_bytes(head[14:18], "little") in known else None


def icon_type(head: bytes) -> str | None:
    """Tell an icon or a cursor by its first entry: some images, the reserved byte zero."""
    count = int.from_bytes(head[4:6], "little")
    return "image/x-icon" if count and head[9:10] == b"\0" else None


def jpeg_type(head: bytes) -> str:
    """Tell JPEG-LS from JPEG, if its frame comes first."""
    return "image/jls" if head[3:4] == b"\xf7" else "image/jpeg"


def tiff_type(head: bytes) -> str:
    """Tell a TIFF from Canon's raw images, and from DICOM that has one in its preamble."""
    if is_dicom(head):
        return "application/dicom"
    return "image/x-canon-cr2" if head[8:10] == b"CR" else "image/tiff"


def is_dicom(head: bytes) -> bool:
    """Tell DICOM by the mark behind its preamble, in which anything may stand."""
    return head[128:132] == _DICOM_MARK


def enhanced_metafile_type(head: bytes) -> str | None:
    """Tell an enhanced metafile by the mark in its header."""
    return "image/emf" if head[40:44] == b" EMF" else None


def sgi_type(head: bytes) -> str | None:
    """Tell an SGI image by its storage, bytes a channel and number of dimensions."""
    storage, depth, dimensions = head[2:3], head[3:4], head[4:6]
    is_known = storage in (b"\0", b"\1") and depth in (b"\1", b"\2")
    return "image/x-sgi" if is_known and dimensions in (b"\0\1", b"\0\2", b"\0\3") else None


def pcx_type(head: bytes) -> str | None:
    """Tell a PCX image by version, encoding, bits a pixel and the reserved byte."""
    is_known = head[1:2] in (b"\0", b"\2", b"\3", b"\4", b"\5") and head[2:3] in (b"\0", b"\1")
    is_known = is_known and head[3:4] in (b"\1", b"\2", b"\4", b"\x08") and head[64:65] == b"\0"
    return "image/vnd.zbrush.pcx" if is_known and len(head) >= 128 else None


def netpbm_type(head: bytes) -> str | None:
    """Tell a portable bitmap, graymap, pixmap or floatmap by its width and height."""
    if _ARBITRARY_MAP.match(head):
        return "image/x-portable-arbitrarymap"
    return _NETPBM.get(head[1:2]) if _NETPBM_HEADER.match(head[:1024]) else None


def drawing_type(head: bytes) -> str | None:
    """Tell an AutoCAD drawing by its release."""
    return "image/vnd.dwg" if re.match(rb"AC10\d\d\0", head) else None


def is_embedded_font(head: bytes) -> bool:
    """Tell an Embedded OpenType font by its magic number and version."""
    return head[34:36] == b"LP" and head[8:12] in _EMBEDDED_FONT_VERSIONS


def truetype_type(head: bytes) -> str | None:
    """Tell a TrueType font by the tag of its first table."""
    return "font/ttf" if re.match(rb"[A-Za-z]{2}[\w /]{2}", head[12:16]) else None


def portable_executable_type(head: bytes) -> str | None:
    """Tell a program for Windows by the header that its stub points to."""
    offset = int.from_bytes(head[60:64], "little")
    if head[offset : offset + 4] == b"PE\0\0":
        return "application/vnd.microsoft.portable-executable"
    return None


def class_or_universal_type(head: bytes) -> str | None:
    """Tell a Java class from a program for several processors of macOS, by version or count."""
    if len(head) < 8:
        return None
    number = int.from_bytes(head[4:8], "big")
    return "application/x-mach-binary" if 0 < number < 40 else "application/x-java-applet"


def is_targa(head: bytes) -> bool:
    """Return True if bytes may be the header of a TGA image, which has no signature."""
    if len(head) < 18 or head[1] > 1 or head[2] not in (1, 2, 3, 9, 10, 11):
        return False
    is_mapped = head[2] in (1, 9)
    if is_mapped != (head[1] == 1) or (not is_mapped and any(head[3:8])):
        return False
    if is_mapped and head[7] not in (15, 16, 24, 32):
        return False
    size = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    return all(size) and head[16] in (8, 15, 16, 24, 32) and head[17] < 64


def lzma_type(head: bytes) -> str | None:
    """Detect an LZMA stream by the sizes of its dictionary and of its content."""
    dictionary = int.from_bytes(head[1:5], "little")
    unpacked = head[5:13]
    is_size = unpacked == b"\xff" * 8 or (len(unpacked) == 8 and not any(unpacked[5:]))
    is_power = dictionary >= 4096 and dictionary & (dictionary - 1) == 0
    return "application/x-lzma" if is_size and is_power else None


def bzip2_type(head: bytes) -> str | None:
    """Tell a bzip2 stream by the mark of its first block, or of its end where it is empty."""
    marks = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
    return "application/x-bzip2" if head[4:10] in marks else None


def compress_type(head: bytes) -> str | None:
    """Tell what Unix' compress made by the most bits of a code."""
    return "application/x-compress" if len(head) > 2 and 9 <= head[2] & 0x1F <= 16 else None


def arj_type(head: bytes) -> str | None:
    """Tell an ARJ archive by the size of its header."""
    size = int.from_bytes(head[2:4], "little")
    return "application/x-arj" if 20 < size < 2600 and head[4:5] >= b"\x1e" else None


def cpio_type(head: bytes) -> str | None:
    """Tell a cpio archive in ASCII by the numbers of its header."""
    return "application/x-cpio" if re.match(rb"[0-9A-Fa-f]{76}", head) else None


def torrent_type(head: bytes) -> str | None:
    """Tell a torrent, a dictionary in Bencode, by keys that each has one of."""
    is_dictionary = re.match(rb"d\d{1,2}:[a-z]", head) is not None
    has_key = any(key in head for key in (b"4:info", b"8:announce", b"5:nodes"))
    return "application/x-bittorrent" if is_dictionary and has_key else None


def is_lzh(head: bytes) -> bool:
    """Tell an LZH archive by its method."""
    return re.match(rb"-l[hz][\dsd]-", head[2:7]) is not None


def tar_without_mark(head: bytes) -> bool:
    """Tell a tar archive of the old kind, without "ustar" in it, by its checksum."""
    field = head[148:156].strip(b"\0 ")
    if len(head) < 512 or not re.fullmatch(rb"[0-7]{1,7}", field) or not head[0]:
        return False
    return sum(head[:148]) + 8 * 32 + sum(head[156:512]) == int(field, 8)
