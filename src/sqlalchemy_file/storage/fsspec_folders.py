"""What is done in filesystems of fsspec that are folders, unlike stores of objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fsspec.spec import AbstractFileSystem

from sqlalchemy_file.storage.fsspec_limits import is_lost

READ_SIZE = 1024 * 1024
"""How many bytes are moved at a time."""

NO_SUCH = (FileNotFoundError, NotADirectoryError)


def write(filesystem: Any, path: str, read: Callable[[int], bytes]) -> int:
    """Write all that ``read`` returns, and return how many bytes it was."""
    size = 0
    with filesystem.open(path, "wb") as file:
        while chunk := read(READ_SIZE):
            file.write(chunk)
            size += len(chunk)
    return size


def move(filesystem: Any, path: str, new_path: str) -> None:
    if type(filesystem).mv is not AbstractFileSystem.mv:
        filesystem.mv(path, new_path)
        return
    # fsspec's own would take brackets and asterisks in a key for a pattern.
    filesystem.cp_file(path, new_path)
    filesystem.rm_file(path)


def remove(filesystem: Any, path: str) -> None:
    """Remove a file that may be gone already."""
    try:
        filesystem.rm_file(path)
    except NO_SUCH:
        pass
    except Exception as error:
        # Not every filesystem says by its error that nothing was there.
        if is_lost(error) or _is_there(filesystem, path):
            raise


def _is_there(filesystem: Any, path: str) -> bool:
    # Not exists(): that takes every error for a no.
    try:
        filesystem.info(path)
    except NO_SUCH:
        return False
    except Exception:  # noqa: BLE001  the first error says more
        return True
    return True
