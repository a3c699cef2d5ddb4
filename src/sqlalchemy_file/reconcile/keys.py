"""Read keys: whether this package made one, and when. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy_file.exceptions import InvalidKeyError
from sqlalchemy_file.storage.common.keys import SIDECAR, TEMPORARY, check_key

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([47])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MAX_REQUESTS = 24


def owner(key: str) -> str:
    """Return the key of the object that a file of metadata belongs to; any other key itself."""
    return key.removesuffix(SIDECAR)


def is_ours(key: str) -> bool:
    """Return True if this package makes such keys: a UUID, or a temporary name, in any folder."""
    name = _name(key)
    return _ID.fullmatch(name) is not None or name.startswith(TEMPORARY)


def may_be_noted(key: str, *, is_chosen: bool) -> bool:
    """Return True if the object of an entry with this key may be one of ours.

    Its key is an id, derived from one (``<id>.webp``, ``<id>/small``), or chosen by a field.
    """
    try:
        check_key(key)
    except InvalidKeyError:
        return False
    if _name(key).startswith(TEMPORARY):
        return False
    return is_chosen or any(_ID.match(part) for part in key.split("/"))


def made_at(key: str) -> int | None:
    """Return the time of a key in milliseconds, or None if it contains no time."""
    name = _name(key)
    found = _ID.fullmatch(name)
    if found is None or found[1] != "7":
        return None
    return int(name[:8] + name[9:13], 16)


def bound(milliseconds: int) -> str:
    """Return the beginning of every id made at a time: it sorts after all earlier ids."""
    digits = f"{max(0, milliseconds):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def time_prefixes(since: int, until: int) -> Iterator[str]:
    """Yield, in order, a few prefixes of all ids made in a span of milliseconds."""
    for digits in range(8, -1, -1):
        width = 4 * (12 - digits)
        first, last = max(0, since) >> width, max(0, until) >> width
        if last - first < _MAX_REQUESTS:
            break
    for number in range(first, last + 1):
        yield f"{number:0{digits}x}" if digits else ""


def _name(key: str) -> str:
    return owner(key).rpartition("/")[2]
