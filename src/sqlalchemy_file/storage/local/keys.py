"""The keys that a local folder accepts: valid file names that are not reserved."""

from __future__ import annotations

import os
import re

from sqlalchemy_file.exceptions import InvalidKeyError
from sqlalchemy_file.storage.common.protocol import check_key, is_simple
from sqlalchemy_file.storage.common.reserved import SIDECAR, TEMPORARY, is_hidden

IS_WINDOWS = os.name == "nt"

_UNFIT_FOR_WINDOWS = re.compile(r'[<>:"|?*]|[. ](/|$)')
# Devices, whatever suffix they have: writing to NUL.txt succeeds and keeps nothing.
_DEVICES_OF_WINDOWS = re.compile(
    r"(?:^|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.[^/]*)?(?:/|$)",
    re.IGNORECASE,
)


def check_local_key(key: str, *, sidecars: bool) -> str:
    """Return ``key`` if it can be one here, else raise `InvalidKeyError`."""
    if is_simple(key):
        return _check_for_windows(key) if IS_WINDOWS else key  # as nearly all are
    check_key(key)
    if is_hidden(key):
        raise InvalidKeyError(f"names with {TEMPORARY!r} in front are for drafts", key=key)
    if sidecars and f"{SIDECAR}/" in f"{key}/":
        raise InvalidKeyError(f"names that end with {SIDECAR!r} are for attributes", key=key)
    return _check_for_windows(key) if IS_WINDOWS else key


def _check_for_windows(key: str) -> str:
    if _UNFIT_FOR_WINDOWS.search(key):
        raise InvalidKeyError("Windows has no such file names", key=key)
    if _DEVICES_OF_WINDOWS.search(key):
        raise InvalidKeyError("Windows reserves this file name for a device", key=key)
    return key
