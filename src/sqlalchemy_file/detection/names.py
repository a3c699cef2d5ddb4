"""The names of content types, their suffixes, and compressed content.

There is one table for all machines: tables of the system depend on its version and on installed
programs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from sqlalchemy_file.support.defaults import UNKNOWN_TYPE as UNKNOWN


def rows(name: str) -> list[list[str]]:
    """Return the words of each row of a table, without comments.

    An indented line continues the row before it.
    """
    text = files("sqlalchemy_file.detection").joinpath("tables", f"{name}.txt").read_text("utf-8")
    lines = text.replace("\n ", " ").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


_PART = r"[a-z0-9!#$&^_.+-]{1,127}"
_ESSENCE = re.compile(rf"\s*({_PART}/{_PART})\s*(?:;|$)", re.IGNORECASE)

_BY_NAME = {name: content_type for content_type, *names in rows("types") for name in names}
"""Content types by suffixes and by other names."""

_COMPRESSED = frozenset({"br", "gz", "gzip", "z", "zst", "zstd"})
"""Suffixes of compressed files."""


def essence(content_type: str | None) -> str | None:
    """Return ``type/subtype`` in lower case, without parameters; None if it is invalid."""
    match = _ESSENCE.match(content_type or "")
    return match.group(1).lower() if match else None


def canonical(content_type: str | None) -> str | None:
    """Return the one name of a content type, so that two names of the same compare equal."""
    name = essence(content_type)
    return _BY_NAME.get(name, name) if name is not None else None


def guess_type(filename: str | None) -> str | None:
    """Return the content type of a file name's suffix, or None."""
    stem, dot, suffix = (filename or "").rpartition(".")
    return type_of_suffix(suffix) if dot and stem.strip(".") else None


def type_of_suffix(suffix: str) -> str | None:
    """Return the content type of a suffix, with or without its dot."""
    name = suffix.lower().removeprefix(".")
    return None if "/" in name else _BY_NAME.get(name)


def content_encoding(headers: Mapping[str, Any] | None) -> str:
    """Return how headers say that a content is compressed; "" if it is not."""
    if not headers:
        return ""
    lowered = {str(name).lower(): value for name, value in headers.items()}
    encoding = str(lowered.get("content-encoding", "")).strip().lower()
    return "" if encoding == "identity" else encoding


def type_within(declared: str | None, filename: str | None) -> str:
    """Return the content type of compressed content: the declared one, else by the name.

    Browsers decompress it. The type is that of the decompressed content, which the bytes do not
    show.
    """
    stem, dot, suffix = (filename or "").rpartition(".")
    name = stem if dot and suffix.lower() in _COMPRESSED else filename
    return declared or guess_type(name) or UNKNOWN
