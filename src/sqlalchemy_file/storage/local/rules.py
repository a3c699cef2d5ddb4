"""The keys and permissions that a local folder accepts."""

from __future__ import annotations

import os
import re
from typing import Any

from sqlalchemy_file.exceptions import InvalidKeyError, InvalidStorageError
from sqlalchemy_file.storage.common.keys import SIDECAR, TEMPORARY, check_key, is_hidden, is_simple

IS_WINDOWS = os.name == "nt"

_UNFIT_FOR_WINDOWS = re.compile(r'[<>:"|?*]|[. ](/|$)')
# Devices, with any suffix: writing to NUL.txt stores nothing.
_DEVICES_OF_WINDOWS = re.compile(
    r"(?:^|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.[^/]*)?(?:/|$)",
    re.IGNORECASE,
)


def check_local_key(key: str, *, sidecars: bool) -> str:
    """Return a valid key, else raise `InvalidKeyError`."""
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


def checked_mode(name: str, mode: Any, least: int) -> int | None:
    """Return a mode that includes ``least``, or None, or raise `InvalidStorageError`."""
    if mode is None:
        return None
    is_number = isinstance(mode, int) and not isinstance(mode, bool)
    if not is_number or not 0 <= mode <= 0o777 or mode & least != least:
        shown = f"0o{mode:o}" if is_number and mode >= 0 else repr(mode)
        raise InvalidStorageError(
            f"{name!r} is an octal number between 0o{least:o} and 0o777 with which the owner can "
            f"read and write, such as 0o{least:o}, not {shown}"
        )
    if not hasattr(os, "fchmod"):
        raise InvalidStorageError(f"{name!r} has no meaning on this platform: leave it out")
    return int(mode)


def apply_mode(mode: int | None, descriptor: int | None, path: str) -> None:
    """Give a new file or folder exactly this mode, regardless of the umask."""
    if mode is None:
        return
    if descriptor is None:
        os.chmod(path, mode)  # noqa: PTH101
    else:
        os.fchmod(descriptor, mode)
