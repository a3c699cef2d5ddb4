"""The canonical names of content types: IANA's, or WHATWG's if browsers use those."""

from __future__ import annotations

import re

from sqlalchemy_file.detection.tables.aliases import ALIASES

_PART = r"[a-z0-9!#$&^_.+-]{1,127}"
_ESSENCE = re.compile(rf"\s*({_PART}/{_PART})\s*(?:;|$)", re.IGNORECASE)

_ALIASES = {
    alias: name for name, *aliases in map(str.split, ALIASES.split("\n")[1:-1]) for alias in aliases
}


def essence(content_type: str | None) -> str | None:
    """Return ``type/subtype`` in lower case, without parameters; None for what is no type."""
    match = _ESSENCE.match(content_type or "")
    return match.group(1).lower() if match else None


def canonical(content_type: str | None) -> str | None:
    """Return the one name of a content type, so that two names of the same compare equal."""
    name = essence(content_type)
    return _ALIASES.get(name, name) if name is not None else None
