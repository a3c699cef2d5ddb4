"""Notes of a folder itself, in its extended attributes: no file among those of its user."""

from __future__ import annotations

import os

_PREFIX = "user.sqlalchemy-file."
_HAS_ATTRIBUTES = hasattr(os, "setxattr")


def note_at(folder: str, name: str, content: bytes) -> bool:
    """Note something; return False where the file system has no attributes, or no room in them."""
    if not _HAS_ATTRIBUTES:
        return False
    if not os.path.isdir(folder):  # noqa: PTH112
        raise FileNotFoundError(folder)
    try:
        os.setxattr(folder, f"{_PREFIX}{name}", content)
    except OSError:
        return False
    return True


def noted_at(folder: str) -> dict[str, bytes]:
    """Return what is noted of a folder; nothing of one that is not there."""
    if not _HAS_ATTRIBUTES:
        return {}
    try:
        return {
            name.removeprefix(_PREFIX): os.getxattr(folder, name)
            for name in os.listxattr(folder)
            if name.startswith(_PREFIX)
        }
    except OSError:
        return {}


def unnote_at(folder: str, name: str) -> None:
    """Remove what was noted under a name, if anything was."""
    if f"{_PREFIX}{name}" in (os.listxattr(folder) if _HAS_ATTRIBUTES else ()):
        os.removexattr(folder, f"{_PREFIX}{name}")
