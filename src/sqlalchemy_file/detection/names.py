"""Content types by their one current name (IANA's, or WHATWG's where browsers go by that)."""

from __future__ import annotations

import re

UNKNOWN = "application/octet-stream"
"""The content type of bytes of which nothing is known."""

_PART = r"[a-z0-9!#$&^_.+-]{1,127}"
_ESSENCE = re.compile(rf"\s*({_PART}/{_PART})\s*(?:;|$)", re.IGNORECASE)

_ALIASES = {
    "application/acrobat": "application/pdf",
    "application/font-woff": "font/woff",
    "application/gzip-compressed": "application/gzip",
    "application/java-vm": "application/x-java-applet",
    "application/javascript": "text/javascript",
    "application/msexcel": "application/vnd.ms-excel",
    "application/mspowerpoint": "application/vnd.ms-powerpoint",
    "application/vnd.ms-opentype": "font/otf",
    "application/x-7zip-compressed": "application/x-7z-compressed",
    "application/x-bzip": "application/x-bzip2",
    "application/x-chm": "application/vnd.ms-htmlhelp",
    "application/x-dosexec": "application/vnd.microsoft.portable-executable",
    "application/x-font-otf": "font/otf",
    "application/x-font-ttf": "font/ttf",
    "application/x-font-woff": "font/woff",
    "application/x-gzip": "application/gzip",
    "application/x-hdf5": "application/x-hdf",
    "application/x-jar": "application/java-archive",
    "application/x-java-archive": "application/java-archive",
    "application/x-java-class": "application/x-java-applet",
    "application/x-javascript": "text/javascript",
    "application/x-json": "application/json",
    "application/x-msdownload": "application/vnd.microsoft.portable-executable",
    "application/x-pdf": "application/pdf",
    "application/x-rar": "application/vnd.rar",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/x-rtf": "application/rtf",
    "application/x-sqlite3": "application/vnd.sqlite3",
    "application/x-shockwave-flash": "application/vnd.adobe.flash.movie",
    "application/x-yaml": "application/yaml",
    "application/x-zip": "application/zip",
    "application/x-zip-compressed": "application/zip",
    "application/x-zstd": "application/zstd",
    "application/x-zstandard": "application/zstd",
    "application/xml": "text/xml",
    "audio/mp3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aac": "audio/aac",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-hx-aac-adts": "audio/aac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-matroska": "audio/matroska",
    "audio/x-midi": "audio/midi",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-pn-wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "font/opentype": "font/otf",
    "font/sfnt": "font/ttf",
    "image/ico": "image/x-icon",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/svg": "image/svg+xml",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/x-bmp": "image/bmp",
    "image/x-citrix-jpeg": "image/jpeg",
    "image/x-citrix-png": "image/png",
    "image/x-dds": "image/vnd.ms-dds",
    "image/x-icns": "image/icns",
    "image/x-ms-bmp": "image/bmp",
    "image/x-pcx": "image/vnd.zbrush.pcx",
    "image/x-photoshop": "image/vnd.adobe.photoshop",
    "image/x-png": "image/png",
    "image/x-qoi": "image/qoi",
    "image/x-tiff": "image/tiff",
    "image/x-wmf": "image/wmf",
    "text/json": "application/json",
    "text/rtf": "application/rtf",
    "text/x-csv": "text/csv",
    "text/x-markdown": "text/markdown",
    "text/yaml": "application/yaml",
    "video/avi": "video/x-msvideo",
    "video/msvideo": "video/x-msvideo",
    "video/vnd.avi": "video/x-msvideo",
    "video/x-matroska": "video/matroska",
    "video/x-quicktime": "video/quicktime",
}


def essence(content_type: str | None) -> str | None:
    """Return ``type/subtype`` in lower case, without parameters; None for what is no type."""
    match = _ESSENCE.match(content_type or "")
    return match.group(1).lower() if match else None


def canonical(content_type: str | None) -> str | None:
    """Return the one name of a content type, so that two names of the same compare equal."""
    name = essence(content_type)
    return _ALIASES.get(name, name) if name is not None else None
