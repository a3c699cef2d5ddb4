"""Which content type to believe: the bytes, then the sender, then the name."""

from __future__ import annotations

from sqlalchemy_file.detection.names import UNKNOWN, canonical, essence
from sqlalchemy_file.naming import guess_type

# Types whose files begin with a signature, every one, so that its absence refutes the claim.
_SIGNED = frozenset(
    {
        "application/gzip",
        "application/pdf",
        "application/vnd.rar",
        "application/x-7z-compressed",
        "application/x-bzip2",
        "application/x-xz",
        "application/zip",
        "application/zstd",
        "audio/aiff",
        "audio/flac",
        "audio/matroska",
        "audio/midi",
        "audio/mp4",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
        "font/collection",
        "font/otf",
        "font/ttf",
        "font/woff",
        "font/woff2",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/heic",
        "image/heif",
        "image/jpeg",
        "image/jxl",
        "image/png",
        "image/tiff",
        "image/vnd.adobe.photoshop",
        "image/webp",
        "image/x-icon",
        "video/matroska",
        "video/mp4",
        "video/ogg",
        "video/webm",
        "video/x-msvideo",
    }
)
_ZIPPED = (
    "application/epub+zip",
    "application/java-archive",
    "application/vnd.android.package-archive",
    "application/vnd.oasis.opendocument.",
    "application/vnd.openxmlformats-officedocument.",
)

# What browsers run, or show as a page: never believed on a claim against the bytes.
_ACTIVE = frozenset({"application/xhtml+xml", "image/svg+xml", "text/html", "text/javascript"})

# Detected types, and those that are special cases of them as far as the first bytes tell:
# whole names, or what the names begin with.
_SPECIAL_CASES = {
    "application/gzip": ("application/",),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": (
        "application/vnd.ms-powerpoint.presentation.macroenabled.12",
    ),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": (
        "application/vnd.ms-excel.sheet.macroenabled.12",
    ),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (
        "application/vnd.ms-word.document.macroenabled.12",
    ),
    "application/vnd.sqlite3": ("application/",),
    "application/x-hdf": ("application/",),
    "application/x-ole-storage": ("application/",),
    "application/zip": ("application/", "model/"),
    "audio/ogg": ("audio/opus", "audio/vorbis", "application/ogg"),
    "image/tiff": ("image/x-",),
    "text/html": ("text/markdown", "text/x-"),
    "video/matroska": ("audio/matroska",),
    "video/mp4": ("audio/mp4", "video/x-m4v"),
    "video/ogg": ("application/ogg",),
    "video/webm": ("audio/webm",),
    "video/x-ms-asf": ("audio/x-ms-wma", "video/x-ms-wmv"),
}

_NARROWED = frozenset({"text/xml", *_SPECIAL_CASES})


def decide(detected: str | None, declared: str | None, filename: str | None) -> str:
    """Return the content type of a file: what its bytes say, where they say something.

    Where they don't, its sender's word counts, then its name. The same where these only
    narrow down what the bytes say: a .docx is a zip archive, and text/xml may be Atom.
    """
    if detected is not None and detected not in _NARROWED:
        return detected  # as for most files
    claims = [claim for claim in (essence(declared), guess_type(filename)) if claim is not None]
    if detected is None:
        return next((claim for claim in claims if claim != UNKNOWN), UNKNOWN)
    return next((claim for claim in claims if _narrows(claim, detected)), detected)


def refutes(detected: str | None, claimed: str) -> bool:
    """Tell whether bytes of which ``detected`` is known cannot be of the claimed type."""
    name = canonical(claimed)
    if name is None or name == detected or _narrows(claimed, detected or ""):
        return False
    return detected is not None or name in _SIGNED or name.startswith(_ZIPPED)


def _narrows(claim: str, detected: str) -> bool:
    """Tell whether a claim is a special case of what the bytes say."""
    name = canonical(claim) or UNKNOWN
    if detected == "text/xml":
        return name.endswith("+xml")
    cases = _SPECIAL_CASES.get(detected, ())
    if name in cases:
        return True
    if name == UNKNOWN or name in _ACTIVE or name in _SIGNED:
        return False
    if name.startswith(_ZIPPED):
        return detected == "application/zip"
    return name.startswith(cases)
