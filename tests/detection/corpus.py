"""Files of many formats: made by real encoders, or the few bytes with which they begin."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import plistlib
import sqlite3
import struct
import zipfile
from typing import NamedTuple

from PIL import Image

from tests.pictures import animation, encoded, noise
from tests.samples import (
    DOCM,
    DOCX,
    ODT,
    OFFICE,
    PDF,
    PPTX,
    SVG,
    XLSX,
    archive,
    brand,
    font,
    matroska,
    mpeg_audio,
    office,
    ogg,
    opendocument,
    program,
    spreadsheet_with_types_last,
    tar,
    transport_stream,
    wav,
    word_with_padding,
)

OCTETS = "application/octet-stream"
VISIO = "application/vnd.ms-visio."
EXCEL, WORD, POWERPOINT = (f"application/vnd.ms-{n}." for n in ("excel", "word", "powerpoint"))


class Sample(NamedTuple):
    """A file, its type, and what may be said of it where neither sender nor name say anything."""

    name: str
    content: bytes
    content_type: str
    alone: str | None = None


def packed_late(part: str, main_type: str) -> bytes:
    """Return a package whose list of parts comes behind 20 KB of something else."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as target:
        target.writestr("docProps/thumbnail.jpeg", bytes(range(256)) * 80)
        target.writestr(part, "<x/>")
        types = f'<Types><Override PartName="/{part}" ContentType="{main_type}"/></Types>'
        target.writestr("[Content_Types].xml", types, zipfile.ZIP_DEFLATED)
    return output.getvalue()


def compound(*streams: str, installer: bool = False) -> bytes:
    """Return a compound file with these streams in its root, one the sibling of the other."""
    none = 0xFFFFFFFF
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH", 62, 3, 0xFFFE, 9, 6) + bytes(14) + struct.pack("<I", 0)
    identity = bytes.fromhex("84100c0000000000c000000000000046") if installer else bytes(16)
    directory = b""
    for number, name in enumerate(("Root Entry", *streams)):
        following = number + 1 if 0 < number < len(streams) else none
        child = 1 if number == 0 and streams else none
        text = name.encode("utf-16-le")
        entry = text.ljust(64, b"\0") + struct.pack(
            "<HBBIII", len(text) + 2, 2, 1, none, following, child
        )
        directory += (entry + (identity if number == 0 else bytes(16))).ljust(128, b"\0")
    return head.ljust(512, b"\0") + directory.ljust(512, b"\0")


def tagged(behind: bytes, size: int = 200) -> bytes:
    """Return sound behind an ID3 tag of so many bytes."""
    seven = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return b"ID3\4\0\0" + seven + bytes(size) + behind


def aac() -> bytes:
    frame = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)
    return frame * 4


def netcdf() -> bytes:
    return b"CDF\1" + bytes(28)


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE a (b)")
    return connection.serialize()


def heic() -> bytes:
    import pillow_heif

    output = io.BytesIO()
    pillow_heif.from_pillow(noise()).save(output, format="HEIF")
    return output.getvalue()


def old_tar() -> bytes:
    header = b"a.txt".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
    header += b"00000000003\0" + b"00000000000\0" + b" " * 8 + b"0"
    header = header.ljust(512, b"\0")
    check = b"%06o\0 " % sum(header)
    return header[:148] + check + header[156:] + b"abc".ljust(512, b"\0") + bytes(1024)


def dicom(preamble: bytes = b"") -> bytes:
    return preamble.ljust(128, b"\0") + b"DICM\2\0\0\0UL\4\0" + bytes(32)


def netpbm(mode: str) -> bytes:
    return encoded(noise().convert(mode), "PPM")


def iso_image() -> bytes:
    return bytes(32768) + b"\1CD001\1" + bytes(64)


def x_of(part: str) -> str:
    return f"<Types><Override PartName='/x'/><Default ContentType=\"{part}\"/></Types>"


CORPUS = [
    # pictures
    Sample("a.png", encoded(noise()), "image/png"),
    Sample("animated.png", animation("PNG", 3), "image/png"),
    Sample("a.jpg", encoded(noise(), "JPEG"), "image/jpeg"),
    Sample("progressive.jpeg", encoded(noise(), "JPEG", progressive=True), "image/jpeg"),
    Sample("a.mpo", encoded(noise(), "MPO", save_all=True, append_images=[noise()]), "image/jpeg"),
    Sample("a.jls", b"\xff\xd8\xff\xf7\0\x0b\x08\0\1\0\1\1\1\x11\0", "image/jls"),
    Sample("a.gif", encoded(noise(), "GIF"), "image/gif"),
    Sample("a.webp", encoded(noise(), "WEBP"), "image/webp"),
    Sample("a.avif", encoded(noise(), "AVIF"), "image/avif"),
    Sample("mif1.avif", brand(b"mif1", b"avif"), "image/avif"),
    Sample("a.heic", heic(), "image/heic"),
    Sample("mif1.heic", brand(b"mif1", b"heic"), "image/heic"),
    Sample("a.heics", brand(b"hevc", b"msf1"), "image/heic-sequence"),
    Sample("a.heif", brand(b"mif1", b"unci"), "image/heif"),
    Sample("a.bmp", encoded(noise(), "BMP"), "image/bmp"),
    Sample("a.dib", encoded(noise(), "BMP"), "image/bmp"),
    Sample("a.tiff", encoded(noise(), "TIFF"), "image/tiff"),
    Sample("motorola.tif", b"MM\0*\0\0\0\x08\0\0", "image/tiff"),
    Sample("big.tif", b"II+\0\x08\0\0\0" + bytes(16), "image/tiff"),
    Sample("a.dng", encoded(noise(), "TIFF"), "image/x-adobe-dng", "image/tiff"),
    Sample("a.nef", b"MM\0*\0\0\0\x08\0\0", "image/x-nikon-nef", "image/tiff"),
    Sample("a.arw", b"II*\0\x08\0\0\0", "image/x-sony-arw", "image/tiff"),
    Sample("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(8), "image/x-canon-cr2"),
    Sample("a.cr3", brand(b"crx ", b"isom"), "image/x-canon-cr3"),
    Sample("a.orf", b"IIRO\x08\0\0\0" + bytes(16), "image/x-olympus-orf"),
    Sample("a.rw2", b"IIU\0\x18\0\0\0" + bytes(16), "image/x-panasonic-rw2"),
    Sample("a.raf", b"FUJIFILMCCD-RAW 0201FF129502" + bytes(16), "image/x-fuji-raf"),
    Sample("a.ico", encoded(noise(), "ICO"), "image/x-icon"),
    Sample("a.cur", b"\0\0\2\0\1\0\x20\x20\0\0\0\0\0\0" + bytes(8), "image/x-icon"),
    Sample("a.icns", encoded(noise(512, 512), "ICNS"), "image/icns"),
    Sample("a.jp2", encoded(noise(), "JPEG2000"), "image/jp2"),
    Sample("a.j2k", encoded(noise(), "JPEG2000", no_jp2=True), "image/j2c"),
    Sample("a.jpx", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjpx \0\0\0\0", "image/jpx"),
    Sample("a.jxl", b"\xff\x0a\xfa\x7f\1\x90", "image/jxl"),
    Sample("boxed.jxl", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "image/jxl"),
    Sample("a.jxr", b"II\xbc\1\x20\0\0\0" + bytes(8), "image/jxr"),
    Sample(
        "a.psd",
        b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\1\0\0\0\1\0\x08\0\3",
        "image/vnd.adobe.photoshop",
    ),
    Sample("a.xcf", b"gimp xcf v011\0" + bytes(16), "image/x-xcf"),
    Sample("a.ora", opendocument("image/openraster"), "image/openraster"),
    Sample("a.kra", opendocument("application/x-krita"), "application/x-krita"),
    Sample(
        "a.qoi",
        encoded(noise(), "QOI") if "QOI" in Image.SAVE else b"qoif\0\0\0\1\0\0\0\1\3\0",
        "image/qoi",
    ),
    Sample("a.dds", encoded(noise(), "DDS"), "image/vnd.ms-dds"),
    Sample("a.exr", b"v/1\1\2\0\0\0channels\0", "image/x-exr"),
    Sample("a.hdr", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n", "image/vnd.radiance"),
    Sample("a.tga", encoded(noise(), "TGA"), "image/x-tga"),
    Sample("grey.tga", encoded(noise().convert("L"), "TGA", compression="tga_rle"), "image/x-tga"),
    Sample("mapped.tga", encoded(noise().convert("P"), "TGA"), "image/x-tga"),
    Sample("a.sgi", encoded(noise(), "SGI"), "image/x-sgi"),
    Sample("a.pcx", encoded(noise(), "PCX"), "image/vnd.zbrush.pcx"),
    Sample("a.ppm", netpbm("RGB"), "image/x-portable-pixmap"),
    Sample("a.pgm", netpbm("L"), "image/x-portable-graymap"),
    Sample("a.pbm", netpbm("1"), "image/x-portable-bitmap"),
    Sample("ascii.ppm", b"P3\n# a comment\n1 1\n255\n9 9 9\n", "image/x-portable-pixmap"),
    Sample("a.pfm", b"PF\n1 1\n-1.0\n" + bytes(12), "image/x-portable-floatmap"),
    Sample("a.ras", b"\x59\xa6\x6a\x95" + bytes(28), "image/x-sun-raster"),
    Sample("a.fits", b"SIMPLE  =                    T".ljust(80), "image/fits"),
    Sample("a.wmf", b"\xd7\xcd\xc6\x9a" + bytes(18), "image/wmf"),
    Sample("a.emf", b"\1\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF\0\0\1\0", "image/emf"),
    Sample("a.djvu", b"AT&TFORM\0\0\0\x10DJVUINFO", "image/vnd.djvu"),
    Sample("a.dwg", b"AC1021\0\0\0\0\0\1\3 \r", "image/vnd.dwg"),
    Sample("a.ktx", b"\xabKTX 11\xbb\r\n\x1a\n\1\2\3\4", "image/ktx"),
    Sample("a.ktx2", b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(8), "image/ktx2"),
    Sample("a.bpg", b"BPG\xfb\x60\x10\x82\x40", "image/bpg"),
    Sample("a.svg", SVG.encode(), "image/svg+xml"),
    Sample("declared.svg", f'<?xml version="1.0"?><!DOCTYPE svg>{SVG}'.encode(), "image/svg+xml"),
    # documents
    Sample("a.pdf", PDF, "application/pdf"),
    Sample("a.ai", PDF, "application/pdf"),
    Sample("a.ps", b"%!PS-Adobe-3.0\n", "application/postscript"),
    Sample("a.eps", encoded(noise(), "EPS"), "application/postscript"),
    Sample("preview.eps", b"\xc5\xd0\xd3\xc6\x20\0\0\0" + bytes(24), "application/postscript"),
    Sample("a.rtf", b"{\\rtf1\\ansi hello}", "application/rtf"),
    Sample("a.docx", office("word/document.xml", f"{DOCX}.main+xml"), DOCX),
    Sample("word.docx", word_with_padding(), DOCX),
    Sample("late.docx", packed_late("word/document.xml", f"{DOCX}.main+xml"), DOCX),
    Sample("a.docm", office("word/document.xml", f"{WORD}document.macroEnabled.main+xml"), DOCM),
    Sample(
        "a.dotx",
        packed_late("word/document.xml", f"{OFFICE}wordprocessingml.template.main+xml"),
        f"{OFFICE}wordprocessingml.template",
    ),
    Sample(
        "a.dotm",
        office("word/document.xml", f"{WORD}template.macroEnabledTemplate.main+xml"),
        f"{WORD}template.macroenabled.12",
    ),
    Sample("a.xlsx", office("xl/workbook.xml", f"{XLSX}.main+xml"), XLSX),
    Sample("openpyxl.xlsx", spreadsheet_with_types_last(), XLSX),
    Sample(
        "a.xlsm",
        office("xl/workbook.xml", f"{EXCEL}sheet.macroEnabled.main+xml"),
        f"{EXCEL}sheet.macroenabled.12",
    ),
    Sample(
        "a.xlsb",
        office("xl/workbook.bin", f"{EXCEL}sheet.binary.macroEnabled.main"),
        f"{EXCEL}sheet.binary.macroenabled.12",
    ),
    Sample(
        "late.xlsb",
        packed_late("xl/workbook.bin", f"{EXCEL}sheet.binary.macroEnabled.main"),
        f"{EXCEL}sheet.binary.macroenabled.12",
    ),
    Sample(
        "a.xltx",
        packed_late("xl/workbook.xml", f"{OFFICE}spreadsheetml.template.main+xml"),
        f"{OFFICE}spreadsheetml.template",
    ),
    Sample("a.pptx", office("ppt/presentation.xml", f"{PPTX}.main+xml"), PPTX),
    Sample(
        "a.potx",
        packed_late("ppt/presentation.xml", f"{OFFICE}presentationml.template.main+xml"),
        f"{OFFICE}presentationml.template",
    ),
    Sample(
        "a.ppsx",
        office("ppt/presentation.xml", f"{OFFICE}presentationml.slideshow.main+xml"),
        f"{OFFICE}presentationml.slideshow",
    ),
    Sample(
        "a.vsdx", packed_late("visio/document.xml", f"{VISIO}drawing.main+xml"), f"{VISIO}drawing"
    ),
    Sample("a.vstx", office("visio/document.xml", f"{VISIO}template.main+xml"), f"{VISIO}template"),
    Sample(
        "a.xps",
        office("FixedDocSeq.fdseq", "application/vnd.ms-package.xps-fixeddocumentsequence+xml"),
        "application/vnd.ms-xpsdocument",
    ),
    Sample("a.doc", compound("1Table", "WordDocument"), "application/msword"),
    Sample("a.xls", compound("Workbook"), "application/vnd.ms-excel"),
    Sample(
        "a.ppt", compound("Current User", "PowerPoint Document"), "application/vnd.ms-powerpoint"
    ),
    Sample(
        "a.msg",
        compound("__nameid_version1.0", "__properties_version1.0"),
        "application/vnd.ms-outlook",
    ),
    Sample("a.vsd", compound("VisioDocument"), "application/vnd.visio"),
    Sample("a.pub", compound("Contents", "Quill"), "application/vnd.ms-publisher"),
    Sample("a.msi", compound("x", installer=True), "application/x-msi"),
    Sample("a.mpp", compound("Props"), "application/vnd.ms-project", "application/x-ole-storage"),
    Sample("a.odt", opendocument(ODT), ODT),
    Sample(
        "a.ods",
        opendocument("application/vnd.oasis.opendocument.spreadsheet"),
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    Sample(
        "a.odp",
        opendocument("application/vnd.oasis.opendocument.presentation"),
        "application/vnd.oasis.opendocument.presentation",
    ),
    Sample("a.ott", opendocument(f"{ODT}-template"), f"{ODT}-template"),
    Sample("a.epub", opendocument("application/epub+zip"), "application/epub+zip"),
    Sample("a.mobi", bytes(60) + b"BOOKMOBI" + bytes(16), "application/x-mobipocket-ebook"),
    Sample(
        "a.pages",
        archive(("Index/Document.iwa", "x")),
        "application/vnd.apple.pages",
        "application/zip",
    ),
    Sample("a.key", archive(("Index/Slide-1.iwa", "x")), "application/vnd.apple.keynote"),
    Sample("a.chm", b"ITSF\3\0\0\0\x60\0\0\0", "application/vnd.ms-htmlhelp"),
    Sample("a.pst", b"!BDN\xa1\x5d\x31\x30SM\x17\0", "application/vnd.ms-outlook-pst"),
    Sample("a.wpd", b"\xffWPC\x10\0\0\0\1\x0a", "application/vnd.wordperfect"),
    Sample(
        "a.indd",
        b"\x06\x06\xed\xf5\xd8\x1dF\xe5\xbd1\xef\xe7\xfet\xb7\x1dDOCUMENT",
        "application/x-indesign",
    ),
    Sample("a.html", b"<!DOCTYPE html><title>x</title>", "text/html"),
    Sample("a.xhtml", b'<?xml version="1.0"?><html xmlns="x">', "application/xhtml+xml"),
    Sample("a.xml", b'<?xml version="1.0"?><root/>', "text/xml"),
    Sample("a.vcf", b"BEGIN:VCARD\r\nVERSION:4.0\r\n", "text/vcard"),
    Sample("a.ics", b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "text/calendar"),
    Sample("a.eml", b"From: a@b.example\r\nTo: c@d.example\r\n\r\nhello", "message/rfc822"),
    Sample("a.vtt", b"WEBVTT\n\n00:11.000 --> 00:13.000\nhello\n", "text/vtt"),
    Sample("a.csv", b"a,b\n1,2\n", "text/csv", OCTETS),
    Sample("a.json", b'{"a": 1}', "application/json", OCTETS),
    Sample("a.txt", b"Hello.\n", "text/plain", OCTETS),
    Sample("biff2.xls", b"\x09\0\4\0\7\0\x10\0", "application/vnd.ms-excel"),
    Sample("dos.doc", b"\x31\xbe\0\0\0\xab\0\0", "application/msword"),
    Sample(
        "a.azw",
        bytes(60) + b"BOOKMOBI",
        "application/vnd.amazon.ebook",
        "application/x-mobipocket-ebook",
    ),
    Sample("a.laz", b"LASF\0\0\1\0", "application/vnd.laszip", "application/vnd.las"),
    Sample("a.pam", b"P7\nHEIGHT 1\nWIDTH 1\n", "image/x-portable-arbitrarymap"),
    # archives
    Sample("a.zip", archive(("a.txt", "x")), "application/zip"),
    Sample("a.jar", archive(("META-INF/MANIFEST.MF", "x")), "application/java-archive"),
    Sample(
        "a.apk", archive(("AndroidManifest.xml", "x")), "application/vnd.android.package-archive"
    ),
    Sample("a.kmz", archive(("doc.kml", "<kml/>")), "application/vnd.google-earth.kmz"),
    Sample(
        "a.3mf",
        archive(
            ("[Content_Types].xml", x_of("application/vnd.ms-package.3dmanufacturing-3dmodel+xml"))
        ),
        "model/3mf",
    ),
    Sample("a.gz", gzip.compress(b"x"), "application/gzip"),
    Sample("a.tgz", gzip.compress(tar()), "application/gzip"),
    Sample("a.tar.Z", b"\x1f\x9d\x90\x37\xf4\x28\x08\xd3", "application/x-compress"),
    Sample("a.bz2", bz2.compress(b"x"), "application/x-bzip2"),
    Sample("a.xz", lzma.compress(b"x"), "application/x-xz"),
    Sample("a.lzma", lzma.compress(b"x", lzma.FORMAT_ALONE), "application/x-lzma"),
    Sample("a.lz", b"LZIP\1\x0c" + bytes(16), "application/x-lzip"),
    Sample("a.zst", b"\x28\xb5\x2f\xfd\x04\x58\x09\0", "application/zstd"),
    Sample("a.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7", "application/x-lz4"),
    Sample("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", "application/x-7z-compressed"),
    Sample("a.rar", b"Rar!\x1a\x07\1\0", "application/vnd.rar"),
    Sample("a.tar", tar(), "application/x-tar"),
    Sample("old.tar", old_tar(), "application/x-tar"),
    Sample("a.cpio", b"070701" + b"0" * 104 + b"a\0", "application/x-cpio"),
    Sample("a.arj", b"\x60\xea\x29\0\x1e\x06\1\0\x10\0\2", "application/x-arj"),
    Sample("a.lzh", b"&\xb6-lh5-j6\1\0", "application/x-lzh-compressed"),
    Sample("a.cab", b"MSCF\0\0\0\0" + bytes(16), "application/vnd.ms-cab-compressed"),
    Sample(
        "a.deb",
        b"!<arch>\ndebian-binary   1342943816  0     0     100644  4         `\n2.0\n",
        "application/vnd.debian.binary-package",
    ),
    Sample("a.rpm", b"\xed\xab\xee\xdb\3\0\0\0" + bytes(16), "application/x-rpm"),
    Sample("a.iso", iso_image(), "application/x-iso9660-image"),
    # sound
    Sample("a.mp3", tagged(mpeg_audio()), "audio/mpeg"),
    Sample("cover.mp3", tagged(mpeg_audio(), 40_000), "audio/mpeg"),
    Sample("bare.mp3", mpeg_audio(), "audio/mpeg"),
    Sample("a.aac", aac(), "audio/aac"),
    Sample("tagged.aac", tagged(aac()), "audio/aac"),
    Sample("cover.aac", tagged(aac(), 40_000), "audio/aac"),
    Sample("a.flac", b"fLaC\0\0\0\x22" + bytes(34), "audio/flac"),
    Sample("tagged.flac", tagged(b"fLaC\0\0\0\x22" + bytes(34)), "audio/flac"),
    Sample("a.wav", wav(), "audio/wav"),
    Sample("long.wav", b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
    Sample("a.aiff", b"FORM\0\0\0\x2eAIFFCOMM" + bytes(16), "audio/aiff"),
    Sample("a.ogg", ogg(b"\x01vorbis"), "audio/ogg"),
    Sample("a.opus", ogg(b"OpusHead"), "audio/ogg"),
    Sample("a.m4a", brand(b"M4A "), "audio/mp4"),
    Sample("a.m4b", brand(b"M4B "), "audio/mp4"),
    Sample("late.m4b", brand(b"mp42", b"M4B ", b"isom"), "audio/mp4"),
    Sample("general.m4b", brand(b"isom", b"mp42"), "audio/mp4", "video/mp4"),
    Sample("a.3ga", brand(b"3gp4"), "audio/3gpp", "video/3gpp"),
    Sample("a.mid", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk", "audio/midi"),
    Sample("a.amr", b"#!AMR\n" + bytes(16), "audio/amr"),
    Sample("a.au", b".snd\0\0\0\x18" + bytes(16), "audio/basic"),
    Sample("a.caf", b"caff\0\1\0\0desc", "audio/x-caf"),
    Sample("a.wv", b"wvpk\x20\0\0\0\x10\4\0\0", "audio/x-wavpack"),
    Sample("a.ape", b"MAC \x96\x0f\0\0\x34\0\0\0", "audio/x-ape"),
    Sample("a.mpc", b"MPCKSH\x0e\3\x8ds", "audio/x-musepack"),
    Sample("a.ac3", b"\x0b\x77\xcc\4\x40\x40\x2f\x84", "audio/ac3"),
    Sample(
        "a.wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(16), "audio/x-ms-wma", "video/x-ms-asf"
    ),
    Sample("a.mka", matroska(b"matroska"), "audio/matroska", "video/matroska"),
    Sample("a.weba", matroska(b"webm"), "audio/webm", "video/webm"),
    Sample("tagged.tta", tagged(b"TTA1\1\0\2\0\x10\0"), "audio/x-tta"),
    Sample("big.wav", b"RIFX\0\0\1\0WAVEfmt ", "audio/wav"),
    Sample("swapped.ac3", b"\x77\x0b\4\xcc\x40\x40\x84\x2f", "audio/ac3"),
    Sample("a.dts", b"\x7f\xfe\x80\1\xfc\x3c", "audio/vnd.dts"),
    # film
    Sample("a.mp4", brand(b"isom", b"mp41"), "video/mp4"),
    Sample("a.m4v", brand(b"M4V "), "video/x-m4v"),
    Sample("a.mov", brand(b"qt  "), "video/quicktime"),
    Sample("old.mov", b"\0\0\x7f\x42moov\0\0\0\x6cmvhd", "video/quicktime"),
    Sample("a.3gp", brand(b"3gp4"), "video/3gpp"),
    Sample("a.3g2", brand(b"3g2a"), "video/3gpp2"),
    Sample("a.mkv", matroska(b"matroska"), "video/matroska"),
    Sample("a.webm", matroska(b"webm"), "video/webm"),
    Sample("a.avi", b"RIFF\x24\0\0\0AVI LIST", "video/x-msvideo"),
    Sample(
        "a.wmv", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(16), "video/x-ms-wmv", "video/x-ms-asf"
    ),
    Sample("a.flv", b"FLV\1\5\0\0\0\x09", "video/x-flv"),
    Sample("a.swf", b"CWS\x0a\x40\0\0\0\x78\x9c", "application/vnd.adobe.flash.movie"),
    Sample("a.ogv", ogg(b"\x80theora"), "video/ogg"),
    Sample("a.mpg", b"\0\0\1\xba\x44\0\4\0", "video/mpeg"),
    Sample("a.m2t", transport_stream(), "video/mp2t"),
    Sample("a.m2ts", (bytes(4) + b"\x47\x40\0\x10" + bytes(184)) * 5, "video/mp2t"),
    Sample("a.mxf", b"\x06\x0e\x2b\x34\2\5\1\1\x0d\1\2\1\1\2\4\0", "application/mxf"),
    Sample("a.rm", b".RMF\0\0\0\x12\0\0", "application/vnd.rn-realmedia"),
    # fonts
    Sample("a.ttf", font(b"GDEF"), "font/ttf"),
    Sample("a.otf", b"OTTO\0\x0b\0\x80\0\3\0\x30CFF ", "font/otf"),
    Sample("a.ttc", b"ttcf\0\1\0\0\0\0\0\2", "font/collection"),
    Sample("a.woff", b"wOFF\0\1\0\0" + bytes(40), "font/woff"),
    Sample("a.woff2", b"wOF2\0\1\0\0" + bytes(40), "font/woff2"),
    Sample(
        "a.eot",
        bytes(8) + b"\1\0\2\0" + bytes(22) + b"LP" + bytes(8),
        "application/vnd.ms-fontobject",
    ),
    # programs and data
    Sample("a.exe", program(), "application/vnd.microsoft.portable-executable"),
    Sample("elf", b"\x7fELF\2\1\1" + bytes(57), "application/x-executable"),
    Sample("macho", b"\xcf\xfa\xed\xfe\x07\0\0\1\3\0\0\0", "application/x-mach-binary"),
    Sample("universal", b"\xca\xfe\xba\xbe\0\0\0\2\1\0\0\x07", "application/x-mach-binary"),
    Sample("A.class", b"\xca\xfe\xba\xbe\0\0\0\x34\0\x0e", "application/x-java-applet"),
    Sample("a.wasm", b"\0asm\1\0\0\0", "application/wasm"),
    Sample("a.sqlite", database(), "application/vnd.sqlite3"),
    Sample("a.gpkg", database(), "application/geopackage+sqlite3", "application/vnd.sqlite3"),
    Sample("a.mdb", b"\0\1\0\0Standard Jet DB\0", "application/x-msaccess"),
    Sample("a.parquet", b"PAR1\x15\4\x15\x20", "application/vnd.apache.parquet"),
    Sample("a.arrow", b"ARROW1\0\0\xff\xff\xff\xff", "application/vnd.apache.arrow.file"),
    Sample("a.avro", b"Obj\1\4\x14avro.codec", "application/x-avro"),
    Sample("a.h5", b"\x89HDF\r\n\x1a\n\0\0", "application/x-hdf"),
    Sample("a.nc", netcdf(), "application/x-netcdf"),
    Sample("a.npy", b"\x93NUMPY\1\0v\0{'descr': '<f8'}", "application/x-numpy-data"),
    Sample("a.sav", b"$FL2@(#) SPSS DATA FILE", "application/x-spss-sav"),
    Sample("plist", plistlib.dumps({"a": 1}, fmt=plistlib.FMT_BINARY), "application/x-bplist"),
    Sample("a.dcm", dicom(), "application/dicom"),
    Sample("tiff.dcm", dicom(b"II*\0\x08\0\0\0"), "application/dicom"),
    Sample("a.pcap", b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(16), "application/vnd.tcpdump.pcap"),
    Sample("a.pcapng", b"\x0a\x0d\x0d\x0a\x1c\0\0\0M<+\x1a", "application/x-pcapng"),
    Sample("a.torrent", b"d8:announce35:udp://tracker.example:80", "application/x-bittorrent"),
    Sample("a.glb", b"glTF\2\0\0\0\x10\0\0\0", "model/gltf-binary"),
    Sample("a.blend", b"BLENDER-v278RENDH\0\0\0", "application/x-blender"),
    Sample("a.stl", b"solid cube\n facet normal 0 0 1\n", "model/stl"),
    Sample("a.icc", bytes(36) + b"acspAPPL" + bytes(16), "application/vnd.iccprofile"),
    Sample("a.pem", b"-----BEGIN CERTIFICATE-----\nMIIB\n", "application/x-pem-file"),
]

TEXTS = {
    "words": b"Hello, world.\n",
    "PHP": b"<?php system($_GET['c']); ?>\n",
    "a program": b"import os\nos.system('rm -rf /')\n",
}

# Types that always begin with a signature, or are never text.
FALSE_CLAIMS = sorted(
    {sample.content_type for sample in CORPUS}
    - {
        "application/json", "application/x-pem-file", "image/svg+xml", "message/rfc822",
        "model/stl", "text/calendar", "text/csv", "text/html", "text/plain", "text/vcard",
        "text/vtt", "text/xml", "application/postscript", "application/xhtml+xml",
        "image/x-portable-bitmap", "image/x-portable-graymap", "image/x-portable-pixmap",
    }
)  # fmt: skip
