"""The first bytes of real files of many formats, and what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import wave
import zipfile
import zlib

from tests.pictures import animation, encoded, noise

OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX = f"{OFFICE}wordprocessingml.document"
XLSX = f"{OFFICE}spreadsheetml.sheet"
PPTX = f"{OFFICE}presentationml.presentation"
ODT = "application/vnd.oasis.opendocument.text"
DOCM = "application/vnd.ms-word.document.macroenabled.12"

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\n%%EOF"


def archive(*members: tuple[str, str], stored: tuple[str, ...] = ()) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content, zipfile.ZIP_STORED if name in stored else None)
    return output.getvalue()


def office(part: str, main_type: str, filler: int = 0) -> bytes:
    """Return a package as Word, Excel and PowerPoint write it: the list of its parts first."""
    others = "".join(f'<Override PartName="/p{n}.xml" ContentType="a/b"/>' for n in range(filler))
    types = f'<Types>{others}<Override PartName="/{part}" ContentType="{main_type}"/></Types>'
    return archive(("[Content_Types].xml", types), ("_rels/.rels", "<x/>"), (part, "<x/>"))


def word_with_padding() -> bytes:
    """Return a package whose first member has 520 bytes of padding, as Word leaves them."""
    types = (
        f'<Types><Override PartName="/word/document.xml" ContentType="{DOCX}.main+xml"/></Types>'
    )
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(types.encode()) + packer.flush()
    name = b"[Content_Types].xml"
    fields = (20, 6, 8, 0, 33, zlib.crc32(types.encode()), len(packed), len(types), len(name), 520)
    return struct.pack("<4s5H3I2H", b"PK\3\4", *fields) + name + bytes(520) + packed


def spreadsheet_with_types_last() -> bytes:
    """Return a package in the order of openpyxl and others: the list of its parts last."""
    return archive(
        ("docProps/app.xml", "<x/>"), ("xl/workbook.xml", "<x/>"), ("[Content_Types].xml", "")
    )


def opendocument(content_type: str) -> bytes:
    return archive(("mimetype", content_type), ("content.xml", "<x/>"), stored=("mimetype",))


def tar() -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as target:
        entry = tarfile.TarInfo("a.txt")
        entry.size = 3
        target.addfile(entry, io.BytesIO(b"abc"))
    return output.getvalue()


def wav() -> bytes:
    output = io.BytesIO()
    with wave.open(output, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(8000)
        target.writeframes(bytes(800))
    return output.getvalue()


def brand(major: bytes, *others: bytes) -> bytes:
    """Return the start of an ISO base media file."""
    box = b"ftyp" + major + bytes(4) + b"".join((major, *others))
    return struct.pack(">I", len(box) + 4) + box + b"\0\0\0\x08free" + bytes(64)


def matroska(doctype: bytes, width: int = 1) -> bytes:
    """Return the start of an EBML file; the length of its type is written in ``width`` bytes."""
    length = (1 << 7 * width | len(doctype)).to_bytes(width, "big")
    elements = b"\x42\x86\x81\x01" + b"\x42\x82" + length + doctype
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(elements)]) + elements + bytes(32)


def ogg(codec: bytes) -> bytes:
    return b"OggS\0\2" + bytes(20) + b"\1" + bytes([len(codec)]) + codec + bytes(40)


def mpeg_audio() -> bytes:
    """Return two frames of MPEG 1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes each."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * 2


def font(tag: bytes) -> bytes:
    return b"\0\1\0\0\0\x0c\0\x80\0\3\0\x40" + tag + bytes(100)


def program() -> bytes:
    return b"MZ" + bytes(58) + struct.pack("<I", 128) + bytes(64) + b"PE\0\0\x64\x86" + bytes(64)


def transport_stream() -> bytes:
    return (b"\x47\x40\x00\x10" + bytes(184)) * 4


PROVEN: dict[str, tuple[bytes, str]] = {
    "png": (encoded(noise()), "image/png"),
    "apng": (animation("PNG", 3), "image/png"),
    "jpeg": (encoded(noise(), "JPEG"), "image/jpeg"),
    "gif": (encoded(noise(), "GIF"), "image/gif"),
    "webp": (encoded(noise(), "WEBP"), "image/webp"),
    "avif": (encoded(noise(), "AVIF"), "image/avif"),
    "avif under a general brand": (brand(b"mif1", b"avif"), "image/avif"),
    "heic": (brand(b"heic", b"mif1"), "image/heic"),
    "heic under a general brand": (brand(b"mif1", b"heic"), "image/heic"),
    "bmp": (encoded(noise(), "BMP"), "image/bmp"),
    "tiff": (encoded(noise(), "TIFF"), "image/tiff"),
    "ico": (encoded(noise(), "ICO"), "image/x-icon"),
    "jpeg 2000": (encoded(noise(), "JPEG2000"), "image/jp2"),
    "svg": (SVG.encode(), "image/svg+xml"),
    "svg with everything before it": (
        b"\xef\xbb\xbf\n<?xml version='1.0'?><!-- a > b --><!DOCTYPE svg [<!ENTITY a '<html>'>]>"
        + SVG.encode(),
        "image/svg+xml",
    ),
    "svg behind a long comment": (f"<!-- {'x' * 3000} -->{SVG}".encode(), "image/svg+xml"),
    "svg with a prefix": (b'<?xml version="1.0"?><s:svg xmlns:s="x"/>', "image/svg+xml"),
    "svg in UTF-16": (f'<?xml version="1.0"?>{SVG}'.encode("utf-16"), "image/svg+xml"),
    "html": (b"\n <!doctype HTML><title>x</title>", "text/html"),
    "html behind a comment": (b"<!-- hello --><html>", "text/html"),
    "html of a script": (b"<script>alert(1)</script>", "text/html"),
    "html with binary data": (b"<html>\0\1\2", "text/html"),
    "html in UTF-16": ("<!DOCTYPE html><p>".encode("utf-16"), "text/html"),
    "xhtml": (b'<?xml version="1.0"?><html xmlns="x">', "application/xhtml+xml"),
    "xml": (b'<?xml version="1.0"?><root/>', "text/xml"),
    "pdf": (PDF, "application/pdf"),
    "pdf behind blank lines": (b"\r\n\r\n" + PDF, "application/pdf"),
    "postscript": (b"%!PS-Adobe-3.0\n", "application/postscript"),
    "rtf": (b"{\\rtf1\\ansi hello}", "application/rtf"),
    "docx": (office("word/document.xml", f"{DOCX}.main+xml"), DOCX),
    "docx as Word pads it": (word_with_padding(), DOCX),
    "docx of many parts": (office("word/document.xml", f"{DOCX}.main+xml", 300), DOCX),
    "docm": (
        office("word/document.xml", "application/vnd.ms-word.document.macroEnabled.main+xml"),
        DOCM,
    ),
    "xlsx": (office("xl/workbook.xml", f"{XLSX}.main+xml"), XLSX),
    "xlsx with its types last": (spreadsheet_with_types_last(), XLSX),
    "pptx": (office("ppt/presentation.xml", f"{PPTX}.main+xml"), PPTX),
    "odt": (opendocument(ODT), ODT),
    "epub": (opendocument("application/epub+zip"), "application/epub+zip"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "application/x-ole-storage"),
    "jar": (archive(("META-INF/MANIFEST.MF", "x"), ("A.class", "x")), "application/java-archive"),
    "apk": (archive(("AndroidManifest.xml", "x")), "application/vnd.android.package-archive"),
    "zip": (archive(("a.txt", "x")), "application/zip"),
    "zip with a folder called word": (archive(("word/a.txt", "x")), "application/zip"),
    "zip that claims to be a page": (opendocument("text/html"), "application/zip"),
    "empty zip": (archive(), "application/zip"),
    "gzip": (gzip.compress(b"x"), "application/gzip"),
    "bzip2": (bz2.compress(b"x"), "application/x-bzip2"),
    "xz": (lzma.compress(b"x"), "application/x-xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x58" + bytes(16), "application/zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24), "application/x-7z-compressed"),
    "rar": (b"Rar!\x1a\x07\1\0" + bytes(24), "application/vnd.rar"),
    "tar": (tar(), "application/x-tar"),
    "mp4": (brand(b"isom", b"mp41"), "video/mp4"),
    "m4a": (brand(b"M4A "), "audio/mp4"),
    "mov": (brand(b"qt  "), "video/quicktime"),
    "3gp": (brand(b"3gp4"), "video/3gpp"),
    "webm": (matroska(b"webm"), "video/webm"),
    "mkv": (matroska(b"matroska"), "video/matroska"),
    "avi": (b"RIFF\x24\0\0\0AVI LIST" + bytes(32), "video/x-msvideo"),
    "mpeg transport stream": (transport_stream(), "video/mp2t"),
    "ogg": (ogg(b"\x01vorbis"), "audio/ogg"),
    "opus": (ogg(b"OpusHead"), "audio/ogg"),
    "ogv": (ogg(b"\x80theora"), "video/ogg"),
    "wav": (wav(), "audio/wav"),
    "flac": (b"fLaC\0\0\0\x22" + bytes(34), "audio/flac"),
    "mp3": (b"ID3\4\0\0" + bytes(64), "audio/mpeg"),
    "mp3 without a tag": (mpeg_audio(), "audio/mpeg"),
    "midi": (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk" + bytes(8), "audio/midi"),
    "ttf": (font(b"GDEF"), "font/ttf"),
    "otf": (b"OTTO\0\x0b\0\x80\0\3\0\x30CFF " + bytes(32), "font/otf"),
    "woff": (b"wOFF\0\1\0\0" + bytes(40), "font/woff"),
    "woff2": (b"wOF2\0\1\0\0" + bytes(40), "font/woff2"),
    "exe": (program(), "application/vnd.microsoft.portable-executable"),
    "elf": (b"\x7fELF\2\1\1" + bytes(57), "application/x-executable"),
    "wasm": (b"\0asm\1\0\0\0" + bytes(8), "application/wasm"),
    "sqlite": (b"SQLite format 3\0" + bytes(84), "application/vnd.sqlite3"),
    "dicom, by the library": (bytes(128) + b"DICM\2\0\0\0UL\4\0" + bytes(32), "application/dicom"),
    "pcap, by the library": (
        b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(8) + b"\0\0\4\0\1\0\0\0",
        "application/vnd.tcpdump.pcap",
    ),
}

UNPROVEN: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\1",
    "text": b"Hello, world.\n",
    "text in UTF-8": "Grüße, 你好\n".encode(),
    "text in Latin-1": "Grüße aus Köln\n".encode("latin-1"),
    "text in UTF-16": "Hello".encode("utf-16"),
    "csv": b"a,b\n1,2\n",
    "json": b'{"a": [1, 2]}\n',
    "python": b"import os\n\ndef f(x):\n    return x\n",
    "javascript": b"function f() { return 1 }\n",
    "text that begins with BM": b"BM is a unit\n",
    "text that begins with ID3": b"ID3 is a decision tree\n",
    "text that begins with RIFF": b"RIFF off WAVE hello",
    "text that begins with MZ": b"MZ was his name" * 20,
    "text that begins with PK": b"PK is a public key\n",
    "text that begins with OTTO": b"OTTO and the others\n",
    "text about markup": b"the <html> and <svg> elements\n",
    "text that compares": b"<3 and a < b\n",
    "xml without a declaration": b"<gpx version='1.1'><trk/></gpx>",
    "zeros": bytes(5000),
    "all bytes": bytes(range(256)) * 8,
}
