"""File names as they may be kept and shown, and what their suffix says about the content."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from posixpath import splitext

UNNAMED = "unnamed"
"""The name of a file that nothing names."""

MAX_NAME_BYTES = 255
"""The longest file name that common file systems take, as UTF-8."""

_SEPARATORS = re.compile(r"[/\\]")

# Control characters end header lines and terminals' sanity; format characters (Cf) reverse or
# hide parts of a name, so that "exe.pdf" is shown for "fdp.exe"; lone surrogates (Cs) and line
# separators cannot be encoded or printed.
_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_SUFFIX = re.compile(r"(?<=.)(?:\.tar)?\.[^.\s]{1,31}$", re.IGNORECASE)

_TYPE_BY_ENCODING = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}

# What older versions of Python do not know, or Windows' registry often says wrongly.
_TYPE_BY_SUFFIX = {
    ".7z": "application/x-7z-compressed",
    ".avif": "image/avif",
    ".css": "text/css",
    ".csv": "text/csv",
    ".docm": "application/vnd.ms-word.document.macroenabled.12",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".geojson": "application/geo+json",
    ".gpx": "application/gpx+xml",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".ics": "text/calendar",
    ".jar": "application/java-archive",
    ".js": "text/javascript",
    ".json": "application/json",
    ".jxl": "image/jxl",
    ".kmz": "application/vnd.google-earth.kmz",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mkv": "video/matroska",
    ".msg": "application/vnd.ms-outlook",
    ".odg": "application/vnd.oasis.opendocument.graphics",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".parquet": "application/vnd.apache.parquet",
    ".pptm": "application/vnd.ms-powerpoint.presentation.macroenabled.12",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rar": "application/vnd.rar",
    ".rtf": "application/rtf",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wav": "audio/wav",
    ".weba": "audio/webm",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xlsm": "application/vnd.ms-excel.sheet.macroenabled.12",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}


def clean_filename(raw: str | None) -> str:
    """Return the name of a file as it may be kept, shown and sent.

    That is the last part of a path in either notation, in Unicode's composed form, without
    control, format and bidirectional characters, of at most 255 bytes with its suffix kept.
    """
    for part in reversed(_SEPARATORS.split(raw or "")):
        if name := _printable(part):
            return _shortened(name) if name.strip(". ") else UNNAMED
    return UNNAMED


def guess_type(filename: str | None) -> str | None:
    """Return the content type that the suffix of a file name stands for, if any."""
    stem, dot, suffix = (filename or "").rpartition(".")
    return _type_of_suffix(f".{suffix.lower()}") if dot and stem.strip(".") else None


def _type_of_suffix(suffix: str) -> str | None:
    if suffix in _TYPE_BY_SUFFIX:
        return _TYPE_BY_SUFFIX[suffix]
    # The tables themselves: mimetypes.guess_type() would take "data:text/html,x" for a URL, and is
    # ten times slower. What a program adds with add_type() is in them.
    if not mimetypes.inited:
        mimetypes.init()
    whole = mimetypes.suffix_map.get(suffix)  # ".tar.gz" for ".tgz"
    last = suffix if whole is None else splitext(whole)[1]
    encoding = mimetypes.encodings_map.get(last)
    return mimetypes.types_map.get(suffix) if encoding is None else _TYPE_BY_ENCODING.get(encoding)


def _printable(part: str) -> str:
    if not (part.isascii() and part.isprintable()):
        kept = (char for char in part if unicodedata.category(char) not in _UNWANTED)
        part = unicodedata.normalize("NFC", "".join(kept))
    return part.strip()


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    match = _SUFFIX.search(name)
    suffix = match.group() if match else ""
    room = MAX_NAME_BYTES - len(suffix.encode())
    stem = name.removesuffix(suffix).encode()[:room].decode(errors="ignore")
    return (stem.rstrip() + suffix) if suffix else stem.rstrip()
