"""Signatures, from WHATWG's MIME Sniffing standard and the specifications of the formats."""

from __future__ import annotations


class Then(bytes):
    """A regular expression for the bytes behind a signature that is too short to decide alone."""

    __slots__ = ()


_SIZES = rb"\s(?:\s*#[^\n]*\n)*\s*\d+\s+(?:#[^\n]*\n)*\s*\d+\s"  # of portable bitmaps

SIGNATURES: tuple[tuple[str, *tuple[bytes, ...]], ...] = (
    # images
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jls", b"\xff\xd8\xff\xf7"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF87a", b"GIF89a"),
    ("image/bmp", b"BM", Then(rb".{12}[\x0c\x10(48@l|]\0\0\0")),  # the size of the inner header
    ("application/dicom", b"II*\0", b"MM\0*", Then(rb".{124}DICM")),  # behind a TIFF as preamble
    ("image/x-canon-cr2", b"II*\0", b"MM\0*", Then(rb".{4}CR")),
    ("image/tiff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    ("image/x-icon", b"\0\0\1\0", b"\0\0\2\0", Then(rb"(?!\0\0).{5}\0")),  # some; reserved byte
    ("image/jxl", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("image/jpx", b"\0\0\0\x0cjP  \r\n\x87\n", Then(rb".{8}jpx ")),
    ("image/jpm", b"\0\0\0\x0cjP  \r\n\x87\n", Then(rb".{8}jpm ")),
    ("video/mj2", b"\0\0\0\x0cjP  \r\n\x87\n", Then(rb".{8}mjp2")),
    ("image/jp2", b"\0\0\0\x0cjP  \r\n\x87\n"),
    ("image/j2c", b"\xff\x4f\xff\x51"),
    ("image/vnd.adobe.photoshop", b"8BPS\0\1", b"8BPS\0\2"),
    ("image/qoi", b"qoif"),
    ("image/vnd.ms-dds", b"DDS |\0\0\0"),
    ("image/icns", b"icns"),
    ("image/x-exr", b"v/1\x01"),
    ("image/wmf", b"\xd7\xcd\xc6\x9a", b"\1\0\x09\0\0\3"),
    ("image/emf", b"\1\0\0\0", Then(rb".{36} EMF")),
    ("image/vnd.djvu", b"AT&TFORM"),
    ("image/x-sgi", b"\x01\xda", Then(rb"[\0\1][\1\2]\0[\1-\3]")),  # storage, depth, dimensions
    # version, encoding, bits a pixel, reserved byte, and a whole header
    ("image/vnd.zbrush.pcx", b"\x0a", Then(rb"[\0\2-\5][\0\1][\1\2\4\x08].{60}\0.{63}")),
    ("image/x-portable-bitmap", b"P1", b"P4", Then(_SIZES)),
    ("image/x-portable-graymap", b"P2", b"P5", Then(_SIZES)),
    ("image/x-portable-pixmap", b"P3", b"P6", Then(_SIZES)),
    ("image/x-portable-floatmap", b"PF", b"Pf", Then(_SIZES)),
    (
        "image/x-portable-arbitrarymap",
        b"P7\n",
        Then(rb"#|(?:WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE) "),
    ),
    ("image/x-sun-raster", b"\x59\xa6\x6a\x95"),
    ("image/x-xcf", b"gimp xcf "),
    ("image/bpg", b"BPG\xfb"),
    ("image/jxr", b"II\xbc\1"),
    ("image/ktx", b"\xabKTX 11\xbb\r\n\x1a\n"),
    ("image/ktx2", b"\xabKTX 20\xbb\r\n\x1a\n"),
    ("image/fits", b"SIMPLE  ="),
    ("image/vnd.radiance", b"#?RADIANCE", b"#?RGBE"),
    ("image/x-olympus-orf", b"IIRO\x08\0", b"IIRS\x08\0", b"MMOR\0\0"),
    ("image/x-panasonic-rw2", b"IIU\0"),
    ("image/x-fuji-raf", b"FUJIFILMCCD-RAW"),
    ("image/vnd.dwg", b"AC10", Then(rb"\d\d\0")),
    # documents
    ("application/pdf", b"%PDF-"),
    ("application/postscript", b"%!PS", b"\xc5\xd0\xd3\xc6"),
    ("application/rtf", b"{\\rtf"),
    ("application/vnd.ms-htmlhelp", b"ITSF\3\0\0\0"),
    ("application/x-ole-storage", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("application/msword", b"\xdb\xa5-\0", b"\x31\xbe\0\0"),
    (
        "application/vnd.ms-excel",
        *(b"\x09\0\4\0", b"\x09\2\6\0", b"\x09\x08\x08\0\0\5", b"\x09\4\6\0\0\0\x10\0"),
    ),
    ("application/vnd.ms-outlook-pst", b"!BDN"),
    ("application/vnd.wordperfect", b"\xffWPC"),
    ("application/x-indesign", b"\x06\x06\xed\xf5\xd8\x1dF\xe5\xbd1\xef\xe7\xfet\xb7\x1d"),
    ("application/x-ms-shortcut", b"L\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0F"),
    # archives
    ("application/zip", b"PK\5\6", b"PK\7\x08PK\3\4"),
    ("application/gzip", b"\x1f\x8b\x08"),
    # bits of a code: 9 to 16, in the last five bits
    (
        "application/x-compress",
        b"\x1f\x9d",
        Then(rb"[\t-\x10)-0I-Pi-p\x89-\x90\xa9-\xb0\xc9-\xd0\xe9-\xf0]"),
    ),
    # the mark of the first block, or of the end of an empty stream
    ("application/x-bzip2", b"BZh", Then(rb".(?:1AY&SY|\x17\x72\x45\x38\x50\x90)")),
    ("application/x-xz", b"\xfd7zXZ\0"),
    # the size of the dictionary is a power of two; that of the content is unknown, or sensible
    (
        "application/x-lzma",
        b"\x5d\0\0",
        Then(rb"(?:[\1\2\4\x08\x10\x20@\x80]\0|\0[\1\2\4\x08\x10\x20@\x80])(?:\xff{8}|.{5}\0{3})"),
    ),
    ("application/x-lzip", b"LZIP\1"),
    ("application/zstd", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"),
    ("application/x-lz4", b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"),
    ("application/x-7z-compressed", b"7z\xbc\xaf\x27\x1c"),
    ("application/vnd.rar", b"Rar!\x1a\x07"),
    # a header of 21 to 2599 bytes
    (
        "application/x-arj",
        b"\x60\xea",
        Then(rb"(?:[\x15-\xff]\0|.[\1-\x09]|[\0-\x27]\x0a)[\x1e-\xff]"),
    ),
    ("application/vnd.ms-cab-compressed", b"MSCF\0\0\0\0"),
    ("application/vnd.debian.binary-package", b"!<arch>\ndebian-binary"),
    ("application/x-archive", b"!<arch>\n"),
    ("application/x-rpm", b"\xed\xab\xee\xdb"),
    ("application/x-xar", b"xar!\0\x1c"),
    ("application/x-chrome-extension", b"Cr24"),
    ("application/x-cpio", b"070701", b"070702", b"070707", Then(rb"[0-9A-Fa-f]{70}")),
    # a dictionary, with a key that each torrent has
    ("application/x-bittorrent", b"d", Then(rb"(?=\d{1,2}:[a-z]).*(?:4:info|8:announce|5:nodes)")),
    # sound and film
    ("image/webp", b"RIFF", b"RIFX", Then(rb".{4}WEBP")),
    ("audio/wav", b"RIFF", b"RIFX", Then(rb".{4}WAVE")),
    ("audio/wav", b"RF64\xff\xff\xff\xffWAVE"),
    ("video/x-msvideo", b"RIFF", b"RIFX", Then(rb".{4}AVI ")),
    ("audio/midi", b"RIFF", b"RIFX", Then(rb".{4}RMID")),
    ("video/mpeg", b"RIFF", b"RIFX", Then(rb".{4}CDXA")),
    ("audio/qcelp", b"RIFF", b"RIFX", Then(rb".{4}QLCM")),
    ("application/x-navi-animation", b"RIFF", b"RIFX", Then(rb".{4}ACON")),
    ("video/ogg", b"OggS\0", Then(rb".*(?:\x80theora|BBCD\0)")),
    ("audio/ogg", b"OggS\0"),
    ("audio/flac", b"fLaC"),
    ("audio/midi", b"MThd\0\0\0\6"),
    ("audio/aiff", b"FORM", Then(rb".{4}AIF[FC]")),
    ("audio/basic", b".snd\0\0"),
    ("audio/amr", b"#!AMR"),
    ("audio/x-caf", b"caff\0\1"),
    ("audio/x-wavpack", b"wvpk"),
    ("audio/x-ape", b"MAC "),
    ("audio/x-musepack", b"MPCKSH", b"MP+"),
    ("audio/x-tta", b"TTA1"),
    ("audio/x-dsf", b"DSD \x1c\0\0\0"),
    ("audio/x-voc", b"Creative Voice File\x1a"),
    ("audio/x-mod", b"Extended Module: ", b"IMPM"),
    # Dolby Digital by the version of its stream, up to 10 or from 11 to 16; also with swapped bytes
    ("audio/ac3", b"\x0b\x77", Then(rb".{3}[\0-\x57]")),
    ("audio/ac3", b"\x77\x0b", Then(rb"..[\0-\x57].")),
    ("audio/eac3", b"\x0b\x77", Then(rb".{3}[\x58-\x87]")),
    ("audio/eac3", b"\x77\x0b", Then(rb"..[\x58-\x87].")),
    ("audio/aac", b"ADIF"),
    ("audio/vnd.dts", b"\x7f\xfe\x80\1", b"\xfe\x7f\1\x80", b"\x1f\xff\xe8\0", b"\xff\x1f\0\xe8"),
    ("application/vnd.rn-realmedia", b".RMF\0\0\0", b".ra\xfd"),
    ("video/x-ms-asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("video/x-flv", b"FLV\1"),
    ("application/vnd.adobe.flash.movie", b"FWS", b"CWS", b"ZWS"),
    ("video/mpeg", b"\0\0\1\xba", b"\0\0\1\xb3"),
    # packets of 188 bytes, and a zero in the first
    ("video/mp2t", b"\x47", Then(rb"(?=[^\0]{0,186}\0).{187}\x47.{187}\x47.{187}\x47")),
    ("application/mxf", b"\x06\x0e\x2b\x34\2\5\1\1\x0d\1\2\1\1\2"),
    # fonts
    ("font/ttf", b"\0\1\0\0\0", b"true\0", Then(rb".{7}[A-Za-z]{2}[\w /]{2}")),  # the first table
    ("font/otf", b"OTTO\0"),
    ("font/collection", b"ttcf\0"),
    ("font/woff", b"wOFF"),
    ("font/woff2", b"wOF2"),
    # programs and data
    ("application/x-executable", b"\x7fELF"),
    # a program for fewer than 40 processors, or a Java class, which has its version there
    ("application/x-mach-binary", b"\xca\xfe\xba\xbe", Then(rb"\0\0\0[\1-\x27]")),
    ("application/x-java-applet", b"\xca\xfe\xba\xbe", Then(rb".{4}")),
    (
        "application/x-mach-binary",
        *(b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce"),
    ),
    ("application/wasm", b"\0asm"),
    ("application/x-dex", b"dex\n03"),
    ("application/vnd.sqlite3", b"SQLite format 3\0"),
    ("application/x-msaccess", b"\0\1\0\0Standard Jet DB\0", b"\0\1\0\0Standard ACE DB\0"),
    ("application/vnd.apache.parquet", b"PAR1"),
    ("application/vnd.apache.arrow.file", b"ARROW1\0\0", b"FEA1\0"),
    ("application/x-avro", b"Obj\1"),
    ("application/x-hdf", b"\x89HDF\r\n\x1a\n", b"\x0e\3\x13\1"),
    ("application/x-netcdf", b"CDF\1", b"CDF\2", b"CDF\5"),
    ("application/x-numpy-data", b"\x93NUMPY"),
    ("application/x-matlab-data", b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"),
    ("application/x-spss-sav", b"$FL2@(#)", b"$FL3@(#)"),
    ("application/x-stata-dta", b"<stata_dta><header>"),
    ("application/x-bplist", b"bplist00"),
    (
        "application/vnd.tcpdump.pcap",
        *(b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"),
    ),
    ("application/x-pcapng", b"\x0a\x0d\x0d\x0a"),
    ("model/gltf-binary", b"glTF"),
    ("model/vnd.autodesk.fbx", b"Kaydara FBX Binary  \0"),
    ("application/x-blender", b"BLENDER-v", b"BLENDER_v", b"BLENDER17-"),
    ("application/vnd.las", b"LASF"),
    ("application/vnd.shp", b"\0\0\x27\x0a\0\0\0\0"),
    ("application/x-ms-registry", b"regf"),
)
"""A content type, the bytes with which its files begin, and for some what follows them.

The first match counts.
"""

FURTHER_IN: tuple[tuple[str, bytes], ...] = (
    ("application/x-tar", rb".{257}ustar"),
    ("application/dicom", rb".{128}DICM"),
    ("application/vnd.ms-fontobject", rb".{8}(?:\0\0\x01\0|[\x01\x02]\0\x02\0).{22}LP"),
    ("application/x-mobipocket-ebook", rb".{60}(?:BOOKMOBI|TEXtREAd)"),
    ("application/x-ace-compressed", rb".{7}\*\*ACE\*\*"),
    ("video/mp2t", rb".{4}\x47.{191}\x47.{191}\x47.{191}\x47"),
    ("application/x-lzh-compressed", rb"..-l[hz][\dsd]-"),
    ("application/vnd.iccprofile", rb".{36}acsp"),
    ("audio/x-mod", rb".{44}SCRM|.{1080}(?:M\.K\.|M!K!|FLT4|[468]CHN)"),
    # Some writers put blank lines, a byte order mark or zeros before the header.
    ("application/pdf", rb"[\xef\xbb\xbf \t\r\n\0]{1,1019}%PDF-"),
)
"""A content type, and a regular expression for a signature behind the start of a file."""

TEXTUAL_STARTS = (
    *(b"%PDF-", b"%!PS", b"{\\rtf", b"d"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"PF", b"Pf"),
)
"""Signatures of a few letters that are those of texts; all others count in binary files only."""
