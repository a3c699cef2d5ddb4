"""Content types by file suffix, from one table that is the same on every machine.

The system's tables are not used. They differ between machines, and the registry of Windows contains
whatever was installed last.
"""

from __future__ import annotations

from sqlalchemy_file.detection.tables.suffixes import SUFFIXES

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."


def guess_type(filename: str | None) -> str | None:
    """Return the content type of a file name's suffix, or None."""
    stem, dot, suffix = (filename or "").rpartition(".")
    return _TYPE_BY_SUFFIX.get(suffix.lower()) if dot and stem.strip(".") else None


def type_of_suffix(suffix: str) -> str | None:
    """Return the content type of a suffix, with or without its dot."""
    return _TYPE_BY_SUFFIX.get(suffix.lower().removeprefix("."))


def _parsed(table: str) -> dict[str, str]:
    by_suffix = {}
    for line in table.split("\n"):
        name, *suffixes = line.split() or ("",)
        name = name.replace("OPEN_DOCUMENT", _OPEN_DOCUMENT).replace("OFFICE", _OFFICE)
        by_suffix.update(dict.fromkeys(suffixes, name))
    return by_suffix


_TYPE_BY_SUFFIX = _parsed(SUFFIXES)
