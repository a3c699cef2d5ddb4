"""Attributes inside their files, as an extended attribute, where the file system has such.

Linux only. ext4, xfs, btrfs and recent tmpfs have them; FAT and many network file systems do not.
ext4 takes some 4 KB of them.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

from sqlalchemy_file.storage.attributes import attributes_from, meta_data_of
from sqlalchemy_file.storage.base import Attributes
from sqlalchemy_file.storage.files import open_object
from sqlalchemy_file.storage.folders import Folder

NAME = "user.sqlalchemy_file"

NOTHING = Attributes()
_CAN = hasattr(os, "setxattr")


def write_extended(descriptor: int, attributes: Attributes) -> Attributes:
    """Keep attributes with an open file, and return those that are kept: all or none."""
    meta_data = meta_data_of(attributes)
    if not meta_data or not _CAN:
        return NOTHING
    try:
        os.setxattr(descriptor, NAME, json.dumps(meta_data, ensure_ascii=False).encode())
    except (OSError, UnicodeEncodeError):  # none here, or not so many
        return NOTHING
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
