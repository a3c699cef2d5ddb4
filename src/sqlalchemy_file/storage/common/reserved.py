"""Reserved keys: notes about a storage, and hidden names."""

from __future__ import annotations

from sqlalchemy_file.exceptions import InvalidKeyError

RESERVED = ".sqlalchemy-file/"
"""How these keys begin. `list` shows them to those who ask for this prefix only."""

TEMPORARY = ".sqlalchemy-file-"
"""How the hidden names of files begin that are being written, and of locks."""

SIDECAR = ".metadata.json"
"""How the name of a file ends that holds the attributes of an object in a local folder."""


def is_hidden(key: str) -> bool:
    """Return True if a name in ``key`` is one of a file that is being written."""
    return TEMPORARY in key and any(part.startswith(TEMPORARY) for part in key.split("/"))


def is_reserved(key: str) -> bool:
    """Return True if a key is none that an object may have."""
    return key.startswith(RESERVED) or f"/{RESERVED}" in key


def is_listed(key: str, prefix: str) -> bool:
    """Return True if a listing of ``prefix`` shows a key."""
    return not key.startswith(RESERVED) or prefix.startswith(RESERVED)


def refuse_reserved(key: str) -> str:
    """Return a key that an object may have, else raise `InvalidKeyError`."""
    if is_reserved(key):
        raise InvalidKeyError(
            f"{RESERVED!r} is reserved: it says which ledgers write to the storage", key=key
        )
    return key
