"""Names of version 0.7.0 without a use. Importing them warns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from itertools import chain
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import Any

from sqlalchemy_file.content.received import upload_type
from sqlalchemy_file.content.sources import given_name
from sqlalchemy_file.detection import UNKNOWN, guess_type
from sqlalchemy_file.support.defaults import UNNAMED

LOCAL_STORAGE_DRIVER_NAME = "Local Storage"
INMEMORY_FILESIZE = 1024 * 1024


def flatmap(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """Return the elements of several lists in one."""
    return list(chain.from_iterable(lists))


def get_metadata_file_obj(metadata: dict[str, Any]) -> SpooledTemporaryFile[bytes]:
    """Return a file with the JSON of an object's metadata, at its start."""
    file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(INMEMORY_FILESIZE)  # noqa: SIM115
    file.write(json.dumps(metadata).encode())
    file.seek(0)
    return file


def get_filename_from_fileob(fileobj: Any) -> str:
    """Return the name that comes with content, without its folder, or ``unnamed``."""
    return PurePath(given_name(fileobj, None) or UNNAMED).name


def get_content_type_from_fileobj(fileobj: Any, filename: str) -> str:
    """Return the content type that comes with content, else the one of its name's suffix."""
    declared = upload_type(fileobj)
    return declared or guess_type(filename) or UNKNOWN


def get_content_size_from_fileobj(file: Any) -> int:
    """Return the number of bytes of a file that can seek; `RuntimeError` for any other."""
    if not (hasattr(file, "seek") and hasattr(file, "tell")):
        raise RuntimeError("Unable to determine the file's size.")
    position = file.tell()
    file.seek(0, os.SEEK_END)
    size = int(file.tell())
    file.seek(position)
    return size
