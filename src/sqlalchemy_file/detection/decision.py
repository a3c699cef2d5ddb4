"""Decide on a content type: the bytes first, then the declared type, then the name."""

from __future__ import annotations

from sqlalchemy_file.detection.formats.archives import ZIP
from sqlalchemy_file.detection.formats.special_cases import (
    ACTIVE,
    NARROWED,
    SIGNED,
    SPECIAL_CASES,
    ZIPPED,
)
from sqlalchemy_file.detection.names import canonical
from sqlalchemy_file.detection.suffixes import guess_type
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

# Images, sound, film and fonts are binary, but for these.
_BINARY_FAMILIES = ("image/", "audio/", "video/", "font/")
_TEXTUAL = frozenset(
    {
        "audio/x-mpegurl",
        "audio/x-scpls",
        "image/cgm",
        "image/svg+xml",
        "image/vnd.dxf",
        "image/x-portable-anymap",
        "image/x-portable-bitmap",
        "image/x-portable-graymap",
        "image/x-portable-pixmap",
        "image/x-xbitmap",
        "image/x-xpixmap",
        "video/vnd.mpegurl",
    }
)

# Types of binary files that have no signature, or none at their start.
_NEVER_TEXT = frozenset(
    {
        "application/dicom",
        "application/vnd.ms-works",
        "application/x-apple-diskimage",
        "application/x-cpio",
        "application/x-dbf",
        "application/x-iso9660-image",
        "application/x-lzh-compressed",
        "application/x-lzma",
        "application/x-matlab-data",
        "application/x-python-code",
        "application/x-sas-data",
        "application/x-tar",
    }
)


def decide(
    detected: str | None, declared: str | None, filename: str | None, *, is_text: bool = False
) -> str:
    """Return the content type of a file: what its bytes say, where they say something.

    Where they don't, its sender's word counts, then its name, as far as the bytes don't refute
    them. The same where these only narrow down what the bytes say: a .docx is a zip archive, and
    text/xml may be Atom. `UNKNOWN` if nothing is left.
    """
    if detected is not None and detected not in NARROWED:
        return detected  # as for most files
    claims = [claim for claim in (canonical(declared), guess_type(filename)) if claim is not None]
    if detected is not None:
        return next((claim for claim in claims if _narrows(claim, detected)), detected)
    believed = (claim for claim in claims if not refutes(None, claim, is_text=is_text))
    return next((claim for claim in believed if claim != UNKNOWN), UNKNOWN)


def refutes(detected: str | None, claimed: str, *, is_text: bool = False) -> bool:
    """Return True if bytes of the type ``detected`` cannot be of the claimed type."""
    name = canonical(claimed)
    if name is None or name == detected or _narrows(name, detected or ""):
        return False
    if detected is not None or name in SIGNED or name.startswith(ZIPPED):
        return True
    return is_text and (
        name in _NEVER_TEXT or (name.startswith(_BINARY_FAMILIES) and name not in _TEXTUAL)
    )


def table_type(head: bytes, declared: str | None) -> str | None:
    """Return the type of a text that is a table, which an office program claims as its own."""
    if canonical(declared) != "application/vnd.ms-excel":
        return None
    first, second = (*head.split(b"\n", 2), b"")[:2]
    marks = (b"\t", b",", b";")
    mark = next((each for each in marks if 0 < first.count(each) == second.count(each)), None)
    return {None: None, b"\t": "text/tab-separated-values"}.get(mark, "text/csv")


def _narrows(name: str, detected: str) -> bool:
    """Return True if a type is a special case of what the bytes say."""
    if detected == "text/xml":
        return name.endswith("+xml")
    cases = SPECIAL_CASES.get(detected, ())
    if name in cases:
        return True
    if name == UNKNOWN or name in ACTIVE or name in SIGNED:
        return False
    if name.startswith(ZIPPED):
        zipped = tuple(case for case in cases if case.startswith(ZIPPED))
        return detected == ZIP or name.startswith(zipped)
    return name.startswith(cases)
