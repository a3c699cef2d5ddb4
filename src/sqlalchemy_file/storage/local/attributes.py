"""Attributes of objects, and notes of folders.

They are extended attributes (Linux: ext4 with about 4 KB, xfs, btrfs and recent tmpfs; not FAT and
many network file systems), or ``<key>.metadata.json`` next to the object, as in version 0.7.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from io import FileIO

from sqlalchemy_file.storage.common.attributes import attributes_from, meta_data_of
from sqlalchemy_file.storage.common.keys import SIDECAR
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.storage.local.directories import Folder
from sqlalchemy_file.storage.local.files import open_object, refuse_taken
from sqlalchemy_file.storage.local.temporary import TemporaryFile, locked

NAME = "user.sqlalchemy_file"

NOTHING = Attributes()
_CAN = hasattr(os, "setxattr")
_encode = json.JSONEncoder(ensure_ascii=False).encode  # dumps() would make one each time
_PREFIX = "user.sqlalchemy-file."
"""The prefix of the names of a folder's notes."""


def write_extended(descriptor: int, attributes: Attributes) -> Attributes:
    """Write attributes to an open file; return those that are kept: all or none."""
    meta_data = meta_data_of(attributes)
    if not meta_data or not _CAN:
        return NOTHING
    try:
        os.setxattr(descriptor, NAME, _encode(meta_data).encode())
    except (OSError, UnicodeEncodeError):  # none here, or not so many
        return NOTHING
    if not attributes.extra and not attributes.headers:
        return attributes
    return replace(attributes, extra={}, headers={})


def read_extended(folder: Folder, name: str) -> Attributes:
    """Return the attributes of an object; none if another program wrote it."""
    if not _CAN:
        return NOTHING
    return _read(folder, name, lambda file: os.getxattr(file.fileno(), NAME))


def read_sidecar(folder: Folder, name: str) -> Attributes:
    """Return the attributes of an object; none if another program wrote it."""
    return _read(folder, f"{name}{SIDECAR}", FileIO.read)


def _read(folder: Folder, name: str, read: Callable[[FileIO], bytes]) -> Attributes:
    try:
        with open_object(folder, name) as file:
            meta_data = json.loads(read(file))
    except (OSError, ValueError):
        return NOTHING
    return attributes_from(meta_data) if isinstance(meta_data, dict) else NOTHING


def sidecar_of(attributes: Attributes) -> bytes:
    """Return the content of a sidecar, which may be empty."""
    meta_data = meta_data_of(attributes)
    return json.dumps(meta_data).encode() if meta_data else b""


def publish_both(
    folder: Folder,
    name: str,
    temporary: TemporaryFile,
    sidecar: TemporaryFile | None,
    *,
    exclusive: bool,
) -> None:
    """Publish the sidecar, then its object, under a lock."""
    with locked(folder):
        if exclusive:
            refuse_taken(folder, name)
        if sidecar is None:
            folder.discard(f"{name}{SIDECAR}")
        else:
            sidecar.publish(folder, f"{name}{SIDECAR}", exclusive=False)
        try:
            temporary.publish(folder, name, exclusive=exclusive)
        except BaseException:
            if not folder.has_file(name):
                folder.discard(f"{name}{SIDECAR}")
            raise


def note_at(folder: str, name: str, content: bytes) -> bool:
    """Add a note; return False if the file system has no attributes, or no room for it."""
    if not _CAN:
        return False
    if not os.path.isdir(folder):  # noqa: PTH112
        raise FileNotFoundError(folder)
    try:
        os.setxattr(folder, f"{_PREFIX}{name}", content)
    except OSError:
        return False
    return True


def noted_at(folder: str) -> dict[str, bytes]:
    """Return the notes of a folder; none if it is missing."""
    if not _CAN:
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
    if name in noted_at(folder):
        os.removexattr(folder, f"{_PREFIX}{name}")
