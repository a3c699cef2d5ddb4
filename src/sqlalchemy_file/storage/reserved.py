"""Keys that are no objects of rows: under them a storage keeps which ledgers write to it."""

from __future__ import annotations

from sqlalchemy_file.exceptions import InvalidKeyError

RESERVED = ".sqlalchemy-file/"
"""How these keys begin. `list` shows them to those who ask for this prefix only."""


def is_reserved(key: str) -> bool:
    """Tell whether a key is none that an object may have."""
    return key.startswith(RESERVED) or f"/{RESERVED}" in key


def is_listed(key: str, prefix: str) -> bool:
    """Tell whether a listing of ``prefix`` shows a key."""
    return not key.startswith(RESERVED) or prefix.startswith(RESERVED)


def refuse_reserved(key: str) -> str:
    """Return a key that an object may have, else raise `InvalidKeyError`."""
    if is_reserved(key):
        raise InvalidKeyError(
            f"{RESERVED!r} is reserved: it says which ledgers write to the storage", key=key
        )
    return key
