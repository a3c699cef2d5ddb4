"""Attributes of objects, and notes of whole folders, where a file system has room for them.

They are extended attributes of the files and folders (Linux: ext4, xfs, btrfs and recent tmpfs have
them, FAT and many network file systems do not; ext4 takes some 4 KB of them), or a file next to the
object, ``<key>.metadata.json``, in the format of version 0.7.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

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
"""How the names of a folder's notes begin."""


def write_extended(descriptor: int, attributes: Attributes) -> Attributes:
    """Keep attributes with an open file, and return those that are kept: all or none."""
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
    """Return the attributes of an object; none where another program laid it there."""
    if not _CAN:
        return NOTHING
    try:
        with open_object(folder, name) as file:
            meta_data = json.loads(os.getxattr(file.fileno(), NAME))
    except (OSError, ValueError):
        return NOTHING
    return attributes_from(meta_data) if isinstance(meta_data, dict) else NOTHING


def read_sidecar(folder: Folder, name: str) -> Attributes:
    """Return the attributes of an object; none where another program laid it there."""
    try:
        with open_object(folder, f"{name}{SIDECAR}") as file:
            meta_data = json.loads(file.read())
    except (OSError, ValueError):
        return Attributes()
    return attributes_from(meta_data if isinstance(meta_data, dict) else {})


def sidecar_of(attributes: Attributes) -> bytes:
    """Return the content of a sidecar, empty where there is nothing to keep."""
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
    """Note something; return False where the file system has no attributes, or no room in them."""
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
    """Remove what was noted under a name, if anything was."""
    if name in noted_at(folder):
        os.removexattr(folder, f"{_PREFIX}{name}")
