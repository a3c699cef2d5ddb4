"""Small functions that existing programs import from here."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy_file.content.received import uploaded_file
from sqlalchemy_file.support.names import moved

__all__ = ["convert_size", "get_content_from_file_obj"]

__getattr__: Callable[[str], Any] = moved(
    __name__,
    {
        "INMEMORY_FILESIZE": "sqlalchemy_file.legacy",
        "LOCAL_STORAGE_DRIVER_NAME": "sqlalchemy_file.legacy",
        "flatmap": "sqlalchemy_file.legacy",
        "get_content_size_from_fileobj": "sqlalchemy_file.legacy",
        "get_content_type_from_fileobj": "sqlalchemy_file.legacy",
        "get_filename_from_fileob": "sqlalchemy_file.legacy",
        "get_metadata_file_obj": "sqlalchemy_file.legacy",
    },
)

_UNITS = {
    "": 1,
    "k": 1000,
    "K": 1000,  # as version 0.7.0 took it
    "M": 1000**2,
    "G": 1000**3,
    "T": 1000**4,
    "Ki": 1024,
    "Mi": 1024**2,
    "Gi": 1024**3,
    "Ti": 1024**4,
}
_SIZE = re.compile(r"\s*(\d+)\s*([kKMGT]|[KMGT]i|)\s*", re.ASCII)


def convert_size(size: float | str) -> int:
    """Return a size in bytes: ``2000``, ``"2k"`` (1000s) or ``"2Ki"`` (1024s), up to T and Ti.

    Floats such as ``1.5e6`` are rounded down. Raises `ValueError` for an invalid size, and
    `TypeError` for another type.
    """
    if isinstance(size, str):
        match = _SIZE.fullmatch(size)
        if match is not None:
            return int(match.group(1)) * _UNITS[match.group(2)]
    elif not isinstance(size, int | float) or isinstance(size, bool):
        raise TypeError(f"a size is a number or a str such as '2M', not {size!r}")
    elif 0 <= size < math.inf:
        return int(size)
    raise ValueError(
        f"Invalid size {size}: expected a number of bytes, or a number with one of "
        "k, M, G, T, Ki, Mi, Gi, Ti behind it, as in '2M'"
    )


def get_content_from_file_obj(obj: Any) -> Any:
    """Return a binary file of text or bytes, the file inside an upload object, or ``obj``."""
    if isinstance(obj, str):
        obj = obj.encode()
    if isinstance(obj, bytes | bytearray | memoryview):
        return io.BytesIO(obj)
    return uploaded_file(obj)
