"""The files of objects: opened, read, copied, listed; their attributes, and notes of folders.

Attributes and notes are extended attributes (Linux: ext4 with about 4 KB, xfs, btrfs and recent
tmpfs; not FAT and many network file systems), or attributes are in ``<key>.metadata.json`` next to
the object, as in version 0.7.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import FileIO

from sqlalchemy_file.storage.common.attributes import attributes_from, meta_data_of
from sqlalchemy_file.storage.common.keys import SIDECAR, is_listed
from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE, Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import pour
from sqlalchemy_file.storage.local.directories import (
    NO_FOLLOW,
    NO_WAITING,
    Folder,
    LinkedFolderError,
)
from sqlalchemy_file.storage.local.temporary import TemporaryFile, locked

NAME = "user.sqlalchemy_file"
NOTHING = Attributes()
_CAN = hasattr(os, "setxattr")
_encode = json.JSONEncoder(ensure_ascii=False).encode  # dumps() would make one each time
_NOTES = "user.sqlalchemy-file."
"""The prefix of the names of a folder's notes."""

_READ = os.O_RDONLY | NO_FOLLOW | NO_WAITING


class ObjectFile(FileIO):
    """A file that may be garbage-collected without a warning."""

    def __del__(self) -> None:
        self.close()


def open_object(folder: Folder, name: str) -> ObjectFile:
    """Return the file of an object, open for reading; only regular files are objects."""
    descriptor = folder.open(name, os.O_RDONLY | NO_WAITING)
    try:
        refuse_unless_file(os.fstat(descriptor))
        return ObjectFile(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def begin_sync(folder: Folder, name: str) -> ObjectFile | None:
    """Let the system begin to write a file to disk; return it, or None if it is gone."""
    try:
        file = open_object(folder, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file


def read_object(path: str) -> bytes:
    """Return a whole file by few system calls; for platforms with O_NOFOLLOW."""
    descriptor = os.open(path, _READ)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            refuse_unless_file(found)
        # One byte more than expected, so that a shorter result is the end.
        data = os.read(descriptor, found.st_size + 1)
        if len(data) == found.st_size:
            return data
        # The file grows, or is too large for one call.
        return b"".join([data, *iter(lambda: os.read(descriptor, CHUNK_SIZE), b"")])
    finally:
        os.close(descriptor)


def clone(source: FileIO, temporary: TemporaryFile) -> int:
    """Copy a file inside the system, which shares the bytes on some file systems."""
    size = 0
    try:
        while moved := os.copy_file_range(source.fileno(), temporary.descriptor, 1 << 30):
            size += moved
    except (AttributeError, OSError):
        if size:
            raise
    return size or pour(source.read, temporary.write)


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


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects to list: those with a prefix, after a key, and with valid keys."""

    prefix: str
    start_after: str
    is_object: Callable[[str], bool]

    def below(self, folder: Folder, path: str) -> Iterator[ObjectInfo]:
        """Yield the objects in ``folder``, whose ``path`` ends with a slash or is empty."""
        for name in folder.names():
            key = f"{path}{name}"
            if name.endswith("/"):
                if self._may_hold(key):
                    yield from self._inside(folder, name[:-1], key)
            elif self._wants(key):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield info_of(key, folder.stat(name))

    def _inside(self, folder: Folder, name: str, path: str) -> Iterator[ObjectInfo]:
        try:
            child = folder.child(name, create=False)
        except (FileNotFoundError, NotADirectoryError, LinkedFolderError):
            return  # removed meanwhile, or replaced by a link
        with child:
            yield from self.below(child, path)

    def _wants(self, key: str) -> bool:
        return (
            key.startswith(self.prefix)
            and key > self.start_after
            and is_listed(key, self.prefix)
            and self.is_object(key)
        )

    def _may_hold(self, path: str) -> bool:
        if not (path.startswith(self.prefix) or self.prefix.startswith(path)):
            return False
        return self.start_after < path or self.start_after.startswith(path)


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
        os.setxattr(folder, f"{_NOTES}{name}", content)
    except OSError:
        return False
    return True


def noted_at(folder: str) -> dict[str, bytes]:
    """Return the notes of a folder; none if it is missing."""
    if not _CAN:
        return {}
    try:
        return {
            name.removeprefix(_NOTES): os.getxattr(folder, name)
            for name in os.listxattr(folder)
            if name.startswith(_NOTES)
        }
    except OSError:
        return {}


def unnote_at(folder: str, name: str) -> None:
    if name in noted_at(folder):
        os.removexattr(folder, f"{_NOTES}{name}")
