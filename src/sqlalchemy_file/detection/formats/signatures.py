"""Signatures, from WHATWG's MIME Sniffing standard and the specifications of the formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy_file.detection.formats import archives, headers, media

_Verdict = str | Callable[[bytes], str | None]

# Bytes that no text holds, by the standard's "binary data byte".
_BINARY = bytes({*range(32)} - {*b"\t\n\x0c\r\x1b"})
_TEXT_SAMPLE = 1024
_LEADING = b"\xef\xbb\xbf \t\r\n\0"
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")

_TABLE: tuple[tuple[bytes, _Verdict], ...] = (
    # images
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", headers.jpeg_type),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", headers.bitmap_type),
    (b"II*\0", headers.tiff_type),
    (b"MM\0*", headers.tiff_type),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\0\0\1\0", headers.icon_type),
    (b"\0\0\2\0", headers.icon_type),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", media.jpeg2000_type),
    (b"\xff\x4f\xff\x51", "image/j2c"),
    (b"8BPS\0\1", "image/vnd.adobe.photoshop"),
    (b"8BPS\0\2", "image/vnd.adobe.photoshop"),
    (b"qoif", "image/qoi"),
    (b"DDS |\0\0\0", "image/vnd.ms-dds"),
    (b"icns", "image/icns"),
    (b"v/1\x01", "image/x-exr"),
    (b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (b"\1\0\x09\0\0\3", "image/wmf"),
    (b"\1\0\0\0", headers.enhanced_metafile_type),
    (b"AT&TFORM", "image/vnd.djvu"),
    (b"\x01\xda", headers.sgi_type),
    (b"\x0a", headers.pcx_type),
    (b"P", headers.netpbm_type),
    (b"\x59\xa6\x6a\x95", "image/x-sun-raster"),
    (b"gimp xcf ", "image/x-xcf"),
    (b"BPG\xfb", "image/bpg"),
    (b"II\xbc\1", "image/jxr"),
    (b"\xabKTX 11\xbb\r\n\x1a\n", "image/ktx"),
    (b"\xabKTX 20\xbb\r\n\x1a\n", "image/ktx2"),
    (b"SIMPLE  =", "image/fits"),
    (b"#?RADIANCE", "image/vnd.radiance"),
    (b"#?RGBE", "image/vnd.radiance"),
    (b"IIRO\x08\0", "image/x-olympus-orf"),
    (b"IIRS\x08\0", "image/x-olympus-orf"),
    (b"MMOR\0\0", "image/x-olympus-orf"),
    (b"IIU\0", "image/x-panasonic-rw2"),
    (b"FUJIFILMCCD-RAW", "image/x-fuji-raf"),
    (b"AC10", headers.drawing_type),
    # documents
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"ITSF\3\0\0\0", "application/vnd.ms-htmlhelp"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\xdb\xa5-\0", "application/msword"),
    (b"\x31\xbe\0\0", "application/msword"),
    (b"\x09\0\4\0", "application/vnd.ms-excel"),
    (b"\x09\2\6\0", "application/vnd.ms-excel"),
    (b"\x09\x08\x08\0\0\5", "application/vnd.ms-excel"),
    (b"\x09\4\6\0\0\0\x10\0", "application/vnd.ms-excel"),
    (b"!BDN", "application/vnd.ms-outlook-pst"),
    (b"\xffWPC", "application/vnd.wordperfect"),
    (b"\x06\x06\xed\xf5\xd8\x1dF\xe5\xbd1\xef\xe7\xfet\xb7\x1d", "application/x-indesign"),
    (b"L\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0F", "application/x-ms-shortcut"),
    # archives
    (b"PK\3\4", archives.zip_type),
    (b"PK\5\6", "application/zip"),
    (b"PK\7\x08PK\3\4", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x1f\x9d", headers.compress_type),
    (b"BZh", headers.bzip2_type),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x5d\0\0", headers.lzma_type),
    (b"LZIP\1", "application/x-lzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x50\x2a\x4d\x18", "application/zstd"),
    (b"\x04\x22\x4d\x18", "application/x-lz4"),
    (b"\x02\x21\x4c\x18", "application/x-lz4"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x60\xea", headers.arj_type),
    (b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    (b"!<arch>\ndebian-binary", "application/vnd.debian.binary-package"),
    (b"!<arch>\n", "application/x-archive"),
    (b"\xed\xab\xee\xdb", "application/x-rpm"),
    (b"xar!\0\x1c", "application/x-xar"),
    (b"Cr24", "application/x-chrome-extension"),
    (b"070701", headers.cpio_type),
    (b"070702", headers.cpio_type),
    (b"070707", headers.cpio_type),
    (b"d", headers.torrent_type),
    # sound and film
    (b"RIFF", media.riff_type),
    (b"RF64\xff\xff\xff\xffWAVE", "audio/wav"),
    (b"RIFX", media.riff_type),
    (b"OggS\0", media.ogg_type),
    (b"\x1a\x45\xdf\xa3", media.matroska_type),
    (b"ID3", media.tagged_type),
    (b"fLaC", "audio/flac"),
    (b"MThd\0\0\0\6", "audio/midi"),
    (b"FORM", media.iff_type),
    (b".snd\0\0", "audio/basic"),
    (b"#!AMR", "audio/amr"),
    (b"caff\0\1", "audio/x-caf"),
    (b"wvpk", "audio/x-wavpack"),
    (b"MAC ", "audio/x-ape"),
    (b"MPCKSH", "audio/x-musepack"),
    (b"MP+", "audio/x-musepack"),
    (b"TTA1", "audio/x-tta"),
    (b"DSD \x1c\0\0\0", "audio/x-dsf"),
    (b"Creative Voice File\x1a", "audio/x-voc"),
    (b"Extended Module: ", "audio/x-mod"),
    (b"IMPM", "audio/x-mod"),
    (b"\x0b\x77", media.dolby_type),
    (b"\x77\x0b", media.swapped_dolby_type),
    (b"ADIF", "audio/aac"),
    (b"\x7f\xfe\x80\1", "audio/vnd.dts"),
    (b"\xfe\x7f\1\x80", "audio/vnd.dts"),
    (b"\x1f\xff\xe8\0", "audio/vnd.dts"),
    (b"\xff\x1f\0\xe8", "audio/vnd.dts"),
    (b".RMF\0\0\0", "application/vnd.rn-realmedia"),
    (b".ra\xfd", "application/vnd.rn-realmedia"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (b"FLV\1", "video/x-flv"),
    (b"FWS", "application/vnd.adobe.flash.movie"),
    (b"CWS", "application/vnd.adobe.flash.movie"),
    (b"ZWS", "application/vnd.adobe.flash.movie"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpeg"),
    (b"\x47", media.transport_stream_type),
    (b"\xff", media.mpeg_audio_type),
    (b"\x06\x0e\x2b\x34\2\5\1\1\x0d\1\2\1\1\2", "application/mxf"),
    # fonts
    (b"\0\1\0\0\0", headers.truetype_type),
    (b"true\0", headers.truetype_type),
    (b"OTTO\0", "font/otf"),
    (b"ttcf\0", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    # programs and data
    (b"\x7fELF", "application/x-executable"),
    (b"MZ", headers.portable_executable_type),
    (b"\xca\xfe\xba\xbe", headers.class_or_universal_type),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (b"\0asm", "application/wasm"),
    (b"dex\n03", "application/x-dex"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"\0\1\0\0Standard Jet DB\0", "application/x-msaccess"),
    (b"\0\1\0\0Standard ACE DB\0", "application/x-msaccess"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1\0\0", "application/vnd.apache.arrow.file"),
    (b"FEA1\0", "application/vnd.apache.arrow.file"),
    (b"Obj\1", "application/x-avro"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf"),
    (b"\x0e\3\x13\1", "application/x-hdf"),
    (b"CDF\1", "application/x-netcdf"),
    (b"CDF\2", "application/x-netcdf"),
    (b"CDF\5", "application/x-netcdf"),
    (b"\x93NUMPY", "application/x-numpy-data"),
    (b"MATLAB 5.0 MAT-file", "application/x-matlab-data"),
    (b"MATLAB 7.3 MAT-file", "application/x-matlab-data"),
    (b"$FL2@(#)", "application/x-spss-sav"),
    (b"$FL3@(#)", "application/x-spss-sav"),
    (b"<stata_dta><header>", "application/x-stata-dta"),
    (b"bplist00", "application/x-bplist"),
    (b"\xd4\xc3\xb2\xa1", "application/vnd.tcpdump.pcap"),
    (b"\xa1\xb2\xc3\xd4", "application/vnd.tcpdump.pcap"),
    (b"\x4d\x3c\xb2\xa1", "application/vnd.tcpdump.pcap"),
    (b"\xa1\xb2\x3c\x4d", "application/vnd.tcpdump.pcap"),
    (b"\x0a\x0d\x0d\x0a", "application/x-pcapng"),
    (b"glTF", "model/gltf-binary"),
    (b"Kaydara FBX Binary  \0", "model/vnd.autodesk.fbx"),
    (b"BLENDER-v", "application/x-blender"),
    (b"BLENDER_v", "application/x-blender"),
    (b"BLENDER17-", "application/x-blender"),
    (b"LASF", "application/vnd.las"),
    (b"\0\0\x27\x0a\0\0\0\0", "application/vnd.shp"),
    (b"regf", "application/x-ms-registry"),
)


_MODULES = (b"M.K.", b"M!K!", b"FLT4", b"4CHN", b"6CHN", b"8CHN")

# Signatures that begin further in.
_TELLERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (headers.is_dicom, "application/dicom"),
    (headers.is_embedded_font, "application/vnd.ms-fontobject"),
    (lambda head: head[60:68] in (b"BOOKMOBI", b"TEXtREAd"), "application/x-mobipocket-ebook"),
    (lambda head: head[7:14] == b"**ACE**", "application/x-ace-compressed"),
    (lambda head: head[4 : 4 + 192 * 4 : 192] == b"\x47" * 4, "video/mp2t"),
    (headers.is_lzh, "application/x-lzh-compressed"),
    (lambda head: head[36:40] == b"acsp", "application/vnd.iccprofile"),
    (lambda head: head[44:48] == b"SCRM", "audio/x-mod"),
    (
        lambda head: head[1080:1084] in _MODULES,
        "audio/x-mod",
    ),
    (headers.tar_without_mark, "application/x-tar"),
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
    """Return True if bytes hold nothing that no text would."""
    sample = head[:_TEXT_SAMPLE]
    # Deleting them is ten times as fast as a search.
    return head.startswith(_BYTE_ORDER_MARKS) or len(sample.translate(None, _BINARY)) == len(sample)


def _signature_further_in(head: bytes) -> str | None:
    if head[4:8] in media.ISO_MEDIA_BOXES:
        is_branded = head[4:8] in (b"ftyp", b"styp")
        return media.iso_media_type(head) if is_branded else "video/quicktime"
    if head[257:262] == b"ustar":
        return "application/x-tar"
    for applies, content_type in _TELLERS:
        if applies(head):
            return content_type
    # Some writers put blank lines, a byte order mark or zeros before the header.
    if head[:1] in _LEADING and head[:1024].lstrip(_LEADING).startswith(b"%PDF-"):
        return "application/pdf"
    return None


def _indexed() -> dict[bytes, tuple[tuple[bytes, _Verdict, bool], ...]]:
    index: dict[bytes, list[tuple[bytes, _Verdict, bool]]] = {}
    for entry in _entries():
        index.setdefault(entry[0][:1], []).append(entry)
    return {first: tuple(entries) for first, entries in index.items()}


_TEXTS = (b"%PDF-", b"%!PS", b"{\\rtf", b"P", b"d")


def _entries() -> Iterator[tuple[bytes, _Verdict, bool]]:
    # A signature of a few letters may as well begin a sentence, unless the format is a text.
    for start, verdict in _TABLE:
        letters = len(start) < 6 and start.isascii() and start.decode().isprintable()
        yield start, verdict, letters and start not in _TEXTS


_BY_FIRST_BYTE = _indexed()

KNOWN_TYPES = frozenset(
    {
        *(verdict for _, verdict in _TABLE if isinstance(verdict, str)),
        *(content_type for _, content_type in _TELLERS),
        *headers.KNOWN_TYPES,
        *media.KNOWN_TYPES,
        archives.ZIP,
    }
)
"""What signatures may say, except for the kinds of ZIP archives."""
