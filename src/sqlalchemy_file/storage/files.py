"""The files that hold objects: opened, copied, and what is known of them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from io import FileIO

from sqlalchemy_file.storage.base import CHUNK_SIZE, Attributes, ObjectInfo
from sqlalchemy_file.storage.drafts import Draft
from sqlalchemy_file.storage.folders import NO_FOLLOW, NO_WAITING, Folder

_READ = os.O_RDONLY | NO_FOLLOW | NO_WAITING


class ObjectFile(FileIO):
    """A file that may be forgotten without a warning, as opened objects are."""

    def __del__(self) -> None:
        self.close()


def open_object(folder: Folder, name: str) -> ObjectFile:
    """Return the file of an object, open for reading; what is not a regular file is none."""
    descriptor = folder.open(name, os.O_RDONLY | NO_WAITING)
    try:
        refuse_unless_file(os.fstat(descriptor))
        return ObjectFile(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def begin_sync(folder: Folder, name: str) -> ObjectFile | None:
    """Return a file that the system begins to write to disk now, or None if it is gone."""
    try:
        file = open_object(folder, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None  # no file has a name that its file system cannot hold
        raise
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file


def read_object(path: str) -> bytes:
    """Return all of a file by as few system calls as there can be; for platforms with O_NOFOLLOW.

    What is no regular file is refused, as by `open_object`.
    """
    descriptor = os.open(path, _READ)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            refuse_unless_file(found)
        # One byte more than there should be: a shorter answer is the end.
        data = os.read(descriptor, found.st_size + 1)
        return data if len(data) == found.st_size else data + _rest(descriptor)
    finally:
        os.close(descriptor)


def _rest(descriptor: int) -> bytes:
    """Return what is left of a file that grows, or that is too large for one call."""
    return b"".join(iter(lambda: os.read(descriptor, CHUNK_SIZE), b""))


def pour(read: Callable[[int], bytes], draft: Draft) -> int:
    """Write all that ``read`` returns, chunk by chunk; return how many bytes that were."""
    size = 0
    while chunk := read(CHUNK_SIZE):
        draft.write(chunk)
        size += len(chunk)
    return size


def clone(source: FileIO, draft: Draft) -> int:
    """Let the system copy, which moves no byte on file systems that can share them."""
    size = 0
    try:
        while moved := os.copy_file_range(source.fileno(), draft.descriptor, 1 << 30):
            size += moved
    except (AttributeError, OSError):
        if size:
            raise
    return size or pour(source.read, draft)


def refuse_taken(folder: Folder, name: str) -> None:
    if folder.exists(name):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def refuse_unless_file(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def info_of(key: str, found: os.stat_result, attributes: Attributes | None = None) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=found.st_size,
        last_modified=datetime.fromtimestamp(found.st_mtime, UTC),
        etag=f"{found.st_mtime_ns:x}-{found.st_size:x}",
        attributes=attributes or Attributes(),
    )
