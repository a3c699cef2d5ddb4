"""Content with a ``Content-Encoding``, such as gzip.

Browsers decompress it, so the content type is that of the decompressed content, which the bytes do
not show.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy_file.detection.names import guess_type
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN

_SUFFIXES = frozenset({"br", "gz", "gzip", "z", "zst", "zstd"})


def is_encoded(headers: Mapping[str, str] | None) -> bool:
    """Return True if headers say that a content is compressed."""
    given = headers or {}
    found = (str(given[name]) for name in given if name.lower() == "content-encoding")
    return next(found, "").strip().lower() not in ("", "identity")


def type_within(declared: str | None, filename: str | None) -> str:
    """Return the content type of compressed content: the declared one, else by the name."""
    stem, dot, suffix = (filename or "").rpartition(".")
    name = stem if dot and suffix.lower() in _SUFFIXES else filename
    return declared or guess_type(name) or UNKNOWN
