"""Write, rename and remove files of fsspec filesystems, and read their listings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from fsspec.spec import AbstractFileSystem

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.attributes import date_of
from sqlalchemy_file.storage.common.keys import TEMPORARY
from sqlalchemy_file.storage.common.protocol import ObjectInfo
from sqlalchemy_file.storage.common.streams import PART_SIZE, pour
from sqlalchemy_file.storage.fsspec.instances import is_lost

READ_SIZE = 1024 * 1024

NO_SUCH = (FileNotFoundError, NotADirectoryError)

_ASIDE = f"{TEMPORARY}old-"
"""The prefix of the name of a file while it is being replaced."""

_ATTEMPTS = 3  # a reader of the key may rename the old file back meanwhile

Retrying = Callable[[Callable[[Any], Any]], Any]
"""Retries an idempotent call, with another connection if one is lost."""


def write(filesystem: Any, path: str, read: Callable[[int], bytes]) -> int:
    """Write all that ``read`` returns; return the number of bytes."""
    with filesystem.open(path, "wb") as file:
        return pour(read, file.write, READ_SIZE)


def write_at_once(filesystem: Any, path: str, read: Callable[[int], bytes]) -> int:
    """Write all that ``read`` returns into a bucket, or nothing; return the number of bytes."""
    begun = [read(PART_SIZE)]
    if len(begun[0]) < PART_SIZE:
        filesystem.pipe_file(path, begun[0])
        return len(begun[0])
    file = filesystem.open(path, "wb", block_size=PART_SIZE)  # S3: 10,000 parts, 50 GB
    try:
        size: int = file.write(begun.pop())  # not kept in memory
        size += pour(read, file.write, READ_SIZE)
        file.close()
    except BaseException:
        # Closing, and garbage collection, would complete the upload.
        with suppress(Exception):
            file.discard()
        file.closed = True
        raise
    return size


def require_size(filesystem: Any, path: str, size: int) -> None:
    kept = filesystem.info(path).get("size")
    if kept is not None and kept != size:
        raise StorageError(f"the server was given {size} bytes and has {kept} of them")


def publish(filesystem: Any, draft: str, path: str, retrying: Retrying) -> None:
    """Rename a draft to the path of its object; an older object is replaced without a gap."""
    try:
        move(filesystem, draft, path)
    except Exception as error:
        # Some servers refuse to rename over an existing file.
        if is_lost(error) or not _both_are_there(filesystem, draft, path):
            raise
        _replace(filesystem, draft, path, retrying)


def _replace(filesystem: Any, draft: str, path: str, retrying: Retrying) -> None:
    aside = _aside_of(path)
    for attempt in range(_ATTEMPTS):
        remove(filesystem, aside)  # left if a process was killed
        move(filesystem, path, aside)
        try:
            move(filesystem, draft, path)
            break
        except BaseException as error:
            with suppress(Exception):  # else the next request does it
                retrying(partial(_put_back, path=path))
            is_over = is_lost(error) or attempt == _ATTEMPTS - 1
            if is_over or not _both_are_there(filesystem, draft, path):
                raise
    with suppress(Exception):
        filesystem.rm_file(aside)


def described(filesystem: Any, path: str) -> dict[str, Any]:
    """Return the facts about a file; one that was never replaced gets its name back."""
    try:
        found: dict[str, Any] = filesystem.info(path)
    except NO_SUCH:
        if not _put_back(filesystem, path):
            raise
        found = filesystem.info(path)
    return found


def with_set_aside(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return a listing in which files that are being replaced have their own names."""
    kept: dict[str, Any] = {}
    for key, entry in entries.items():
        folder, slash, name = key.rpartition("/")
        if name.startswith(_ASIDE):
            kept.setdefault(f"{folder}{slash}{name.removeprefix(_ASIDE)}", entry)
        else:
            kept[key] = entry
    return kept


def move(filesystem: Any, path: str, new_path: str) -> None:
    if type(filesystem).mv is not AbstractFileSystem.mv:
        filesystem.mv(path, new_path)
        return
    # fsspec's own method would take brackets and asterisks in a key as a pattern.
    filesystem.cp_file(path, new_path)
    filesystem.rm_file(path)


def remove(filesystem: Any, path: str) -> bool:
    """Remove a file; return False if it is missing."""
    try:
        filesystem.rm_file(path)
    except Exception as error:
        # Not every filesystem reports a missing file by `NO_SUCH`.
        if not isinstance(error, NO_SUCH) and (is_lost(error) or _is_there(filesystem, path)):
            raise
        return False
    return True


def remove_object(filesystem: Any, path: str) -> None:
    """Remove an object that may be missing, or being replaced."""
    if not remove(filesystem, path):
        remove(filesystem, _aside_of(path))


def _put_back(filesystem: Any, path: str) -> bool:
    """Rename the old file back if it was not replaced; return True if that was done."""
    aside = _aside_of(path)
    if _exists(filesystem, path):
        remove(filesystem, aside)
        return False
    if not _exists(filesystem, aside):
        return False
    move(filesystem, aside, path)
    return True


def _aside_of(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{_ASIDE}{name}"


def _both_are_there(filesystem: Any, *paths: str) -> bool:
    return all(filesystem.exists(path) for path in paths)


def _exists(filesystem: Any, path: str) -> bool:
    # The filesystem's own method returns False for every error.
    try:
        filesystem.info(path)
    except NO_SUCH:
        return False
    return True


def _is_there(filesystem: Any, path: str) -> bool:
    try:
        return _exists(filesystem, path)
    except Exception:  # noqa: BLE001  the first error says more
        return True


_DATES = ("mtime", "LastModified", "last_modified", "modify", "updated", "created")


def info_of(key: str, entry: dict[str, Any]) -> ObjectInfo:
    date = next((entry[name] for name in _DATES if entry.get(name)), None)
    etag = entry.get("ETag") or entry.get("etag")
    return ObjectInfo(
        key=key,
        size=int(entry.get("size") or 0),
        last_modified=date_of(date),
        etag=str(etag).strip('"') if etag else None,
    )
