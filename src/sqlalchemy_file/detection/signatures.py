"""Known signatures, after the list of WHATWG's MIME Sniffing standard and the formats' own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sqlalchemy_file.detection import containers, media

_Verdict = str | Callable[[bytes], str | None]

# Bytes that no text holds, by the standard's "binary data byte".
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_TEXT_SAMPLE = 1024
_LEADING = b"\xef\xbb\xbf \t\r\n\0"
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")

_TABLE: tuple[tuple[bytes, _Verdict], ...] = (
    # images
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", containers.bitmap_type),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\0\0\1\0", containers.icon_type),
    (b"\0\0\2\0", containers.icon_type),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", media.jpeg2000_type),
    (b"\xff\x4f\xff\x51", "image/j2c"),
    (b"8BPS\0", "image/vnd.adobe.photoshop"),
    (b"qoif", "image/qoi"),
    (b"DDS |\0\0\0", "image/vnd.ms-dds"),
    (b"icns", "image/icns"),
    (b"v/1\x01", "image/x-exr"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"AT&TFORM", "image/vnd.djvu"),
    # documents
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"ITSF\3\0\0\0", "application/vnd.ms-htmlhelp"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    # archives
    (b"PK\3\4", containers.zip_type),
    (b"PK\5\6", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"BZh", containers.bzip2_type),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x04\x22\x4d\x18", "application/x-lz4"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    (b"!<arch>\ndebian-binary", "application/vnd.debian.binary-package"),
    # sound and film
    (b"RIFF", media.riff_type),
    (b"OggS\0", media.ogg_type),
    (b"\x1a\x45\xdf\xa3", media.matroska_type),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"MThd\0\0\0\6", "audio/midi"),
    (b"FORM", media.iff_type),
    (b".snd", "audio/basic"),
    (b"#!AMR", "audio/amr"),
    (b"caff\0", "audio/x-caf"),
    (b"wvpk", "audio/x-wavpack"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"FLV\1", "video/x-flv"),
    (b"FWS", "application/vnd.adobe.flash.movie"),
    (b"CWS", "application/vnd.adobe.flash.movie"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpeg"),
    (b"\x47", media.transport_stream_type),
    (b"\xff", media.mpeg_audio_type),
    # fonts
    (b"\0\1\0\0\0", containers.truetype_type),
    (b"OTTO\0", "font/otf"),
    (b"ttcf\0", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    # programs and data
    (b"\x7fELF", "application/x-executable"),
    (b"MZ", containers.portable_executable_type),
    (b"\0asm\1\0\0\0", "application/wasm"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf"),
    (b"glTF", "model/gltf-binary"),
)


def signature_type(head: bytes) -> str | None:
    """Return the type of a file whose first bytes are a known signature."""
    for start, verdict, only_binary in _BY_FIRST_BYTE.get(head[:1], ()):
        if head.startswith(start) and not (only_binary and is_text(head[:64])):
            found = verdict if isinstance(verdict, str) else verdict(head)
            if found is not None:
                return found
    return _signature_further_in(head)


def is_text(head: bytes) -> bool:
    """Tell whether bytes hold nothing that no text would."""
    return head.startswith(_BYTE_ORDER_MARKS) or _BINARY.search(head, 0, _TEXT_SAMPLE) is None


def _signature_further_in(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return media.iso_media_type(head)
    if head[257:262] == b"ustar":
        return "application/x-tar"
    if head[34:36] == b"LP" and head[8:12] in containers.EMBEDDED_FONT_VERSIONS:
        return "application/vnd.ms-fontobject"
    # Some writers put blank lines, a byte order mark or zeros before the header.
    if head[:1] in _LEADING and head[:1024].lstrip(_LEADING).startswith(b"%PDF-"):
        return "application/pdf"
    return None


def _indexed() -> dict[bytes, tuple[tuple[bytes, _Verdict, bool], ...]]:
    index: dict[bytes, list[tuple[bytes, _Verdict, bool]]] = {}
    for entry in _entries():
        index.setdefault(entry[0][:1], []).append(entry)
    return {first: tuple(entries) for first, entries in index.items()}


def _entries() -> Iterator[tuple[bytes, _Verdict, bool]]:
    # A signature of a few letters may as well begin a sentence, unless the format is a text.
    for start, verdict in _TABLE:
        letters = len(start) < 6 and start.isascii() and start.decode().isprintable()
        yield start, verdict, letters and start[:1] not in (b"%", b"{")


_BY_FIRST_BYTE = _indexed()
