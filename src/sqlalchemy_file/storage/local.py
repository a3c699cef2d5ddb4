"""Objects as files in a folder on disk."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy_file.exceptions import (
    DeletionError,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.attributes import attributes_from, meta_data_of
from sqlalchemy_file.storage.base import CHUNK_SIZE, Attributes, ObjectInfo, check_key
from sqlalchemy_file.storage.border import Border, translated
from sqlalchemy_file.storage.drafts import TEMPORARY, Draft, can_be_unnamed
from sqlalchemy_file.storage.folders import CAN_HOLD, NO_WAITING, Folder, Route

SIDECAR = ".metadata.json"
"""What is appended to a key for the file that holds the attributes of its object."""

_ATTEMPTS = 100  # how often a folder may be removed under a writer's hands before it gives up
_UNFIT_FOR_WINDOWS = re.compile(r'[<>:"|?*]|[. ](/|$)')


class LocalStorage:
    """A folder whose files are the objects; keys with slashes lie in sub-folders.

    An object appears under its key only when it is complete and, with ``fsync``, on disk together
    with its name. Symbolic links below the root are not followed, and not listed. One key
    cannot be both an object and the beginning of others (``a`` and ``a/b``). ``list`` goes by
    code points, which is also the order of the keys' UTF-8 bytes.

    With ``sidecars`` the attributes lie beside each object in ``<key>.metadata.json``, as
    releases before 1.0 laid them; else they are not kept. ``create`` makes a missing root.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        sidecars: bool = False,
        fsync: bool = True,
        create: bool = True,
    ) -> None:
        self._root = os.path.abspath(root)
        self._sidecars = sidecars
        self._fsync = fsync
        self._create = create
        self._hold = CAN_HOLD
        self._unnamed: bool | None = None
        with Border(self._about_root):
            self._make_root()
            Folder.root(self._root, hold=self._hold).close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._root!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        with Border(self._about_writing, key) as border:
            size = self._store(
                key, attributes, exclusive, lambda draft: _pour(partial(border.read, content), draft)
            )
        kept = attributes if self._sidecars else Attributes()
        return ObjectInfo(key=key, size=size, attributes=kept)

    def stat(self, key: str) -> ObjectInfo:
        with Border(self._about_reading, key), self._folder_of(key) as (folder, name):
            found = folder.stat(name)
            _refuse_unless_file(found)
            return _info(key, found, self._read_sidecar(folder, name))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with Border(self._about_reading, key), self.open_file(key) as file:
            size = os.fstat(file.fileno()).st_size
            end = size if end is None else min(end, size)
            if start:
                file.seek(start)
            while start < end and (chunk := file.read(min(CHUNK_SIZE, end - start))):
                start += len(chunk)
                yield chunk

    def delete(self, keys: Sequence[str]) -> None:
        failures: dict[str, Exception] = {}
        valid = []
        for key in keys:
            try:
                valid.append(self._check(key))
            except InvalidKeyError as error:
                failures[str(key)] = error
        for folder, group in groupby(sorted(valid, key=_folder_name), key=_folder_name):
            self._delete_in(folder.split("/") if folder else [], list(group), failures)
        if failures:
            raise DeletionError(
                {
                    key: translated(error, self._about_writing, key)
                    for key, error in failures.items()
                }
            )

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        info = self.stat(key)
        if new_key == key:
            return info
        with Border(self._about_writing, new_key), self.open_file(key) as source:
            size = self._store(new_key, info.attributes, False, partial(_clone, source))
        return ObjectInfo(key=new_key, size=size, attributes=info.attributes)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        above, slash, _ = prefix.rpartition("/")
        if above and not self._is_object(above):
            return  # "../": no key begins like that
        with Border(self._about_root):
            try:
                route = self._route(above.split("/") if above else [])
            except (FileNotFoundError, NotADirectoryError):
                if self._root_is_lost():
                    raise
                return
            with route:
                yield from self._walk(route.last, above + slash, prefix, start_after)

    def path(self, key: str) -> Path:
        return Path(self._root, *self._check(key).split("/"))

    def open_file(self, key: str) -> FileIO:
        """Return the object's file, open for reading and unbuffered."""
        with Border(self._about_reading, key), self._folder_of(key) as (folder, name):
            descriptor = folder.open(name, os.O_RDONLY | NO_WAITING)
            try:
                _refuse_unless_file(os.fstat(descriptor))
                return _ObjectFile(descriptor, "rb")
            except BaseException:
                os.close(descriptor)
                raise

    # --- writing

    def _store(
        self, key: str, attributes: Attributes, exclusive: bool, fill: Callable[[Draft], int]
    ) -> int:
        *folders, name = self._check(key).split("/")
        with ExitStack() as stack:
            route, draft = self._begin(stack, folders)
            if exclusive:
                _refuse_taken(route.last, name)
            size = fill(draft)
            note = self._write_sidecar(stack, route.last, attributes)
            if self._fsync:
                draft.sync()
            self._publish(route, name, draft, note, exclusive)
            if self._fsync:
                route.sync()
        return size

    def _begin(self, stack: ExitStack, folders: Sequence[str]) -> tuple[Route, Draft]:
        """Return the way to the object, and the draft of it there."""
        for attempt in range(_ATTEMPTS):
            try:
                route = Route(self._root, folders, create=True, hold=self._hold)
            except FileNotFoundError:
                # The root is gone, or a folder, empty once more, was removed just now.
                if attempt and not folders:
                    raise
                self._make_root()
                continue
            stack.enter_context(route)
            try:
                return route, stack.enter_context(Draft(route.last, unnamed=self._nameless(route)))
            except FileNotFoundError:
                route.close()
        raise FileNotFoundError(errno.ENOENT, "the folder is removed again and again")

    def _nameless(self, route: Route) -> bool:
        if self._unnamed is None:
            self._unnamed = self._hold and can_be_unnamed(route.folders[0])
        return self._unnamed

    def _publish(
        self, route: Route, name: str, draft: Draft, note: Draft | None, exclusive: bool
    ) -> None:
        for _ in range(_ATTEMPTS):
            try:
                if not self._sidecars:
                    return draft.publish(route.last, name, exclusive=exclusive)
                return _publish_both(route.last, name, draft, note, exclusive)
            except FileNotFoundError:
                route.again()
        raise FileNotFoundError(errno.ENOENT, "the folder is removed again and again")

    def _write_sidecar(
        self, stack: ExitStack, folder: Folder, attributes: Attributes
    ) -> Draft | None:
        meta_data = meta_data_of(attributes) if self._sidecars else {}
        if not meta_data:
            return None
        note = stack.enter_context(Draft(folder, unnamed=bool(self._unnamed)))
        note.write(json.dumps(meta_data).encode())
        if self._fsync:
            note.sync()
        return note

    # --- reading

    def _folder_of(self, key: str) -> _Place:
        *folders, name = self._check(key).split("/")
        # A name right under the root needs no way there that could be swapped for another.
        return _Place(self._route(folders) if folders else None, Folder(self._root), name)

    def _route(self, folders: Sequence[str]) -> Route:
        return Route(self._root, folders, create=False, hold=self._hold)

    def _read_sidecar(self, folder: Folder, name: str) -> Attributes:
        if not self._sidecars:
            return Attributes()
        try:
            with _ObjectFile(folder.open(f"{name}{SIDECAR}", os.O_RDONLY | NO_WAITING)) as file:
                meta_data = json.loads(file.read())
        except (OSError, ValueError):
            return Attributes()  # an object of another program, or half a sidecar of one
        return attributes_from(meta_data if isinstance(meta_data, dict) else {})

    def _walk(
        self, folder: Folder, path: str, prefix: str, start_after: str | None
    ) -> Iterator[ObjectInfo]:
        for name in folder.names():
            key = f"{path}{name}"
            if name.endswith("/"):
                if _may_hold(key, prefix, start_after):
                    yield from self._walk_into(folder, key, prefix, start_after)
            elif key.startswith(prefix) and key > (start_after or "") and self._is_object(key):
                with suppress(FileNotFoundError):
                    yield _info(key, folder.stat(name), Attributes())

    def _walk_into(
        self, folder: Folder, path: str, prefix: str, start_after: str | None
    ) -> Iterator[ObjectInfo]:
        try:
            child = folder.child(path[:-1].rpartition("/")[2], create=False)
        except (FileNotFoundError, NotADirectoryError):
            return  # removed since, or swapped for a link
        try:
            yield from self._walk(child, path, prefix, start_after)
        finally:
            child.close()

    def _is_object(self, key: str) -> bool:
        try:
            self._check(key)
        except InvalidKeyError:
            return False
        return True

    # --- deleting

    def _delete_in(
        self, folders: Sequence[str], keys: Sequence[str], failures: dict[str, Exception]
    ) -> None:
        try:
            with self._route(folders) as route:
                with route.last.locked() if self._sidecars else nullcontext():
                    self._unlink(route.last, keys, failures)
                changed = route.remove_empty()
                if self._fsync:
                    changed.sync()
        except (FileNotFoundError, NotADirectoryError) as error:
            # No such folder: no such objects, unless the whole storage is not there.
            if self._root_is_lost():
                failures.update(dict.fromkeys(keys, error))
        except OSError as error:
            failures.update(dict.fromkeys(keys, error))

    def _unlink(
        self, folder: Folder, keys: Sequence[str], failures: dict[str, Exception]
    ) -> None:
        for key in keys:
            name = key.rpartition("/")[2]
            try:
                folder.discard(name)
                if self._sidecars:
                    folder.discard(f"{name}{SIDECAR}")
            except OSError as error:
                failures[key] = error

    # --- keys and errors

    def _check(self, key: str) -> str:
        check_key(key)
        if TEMPORARY in key and any(part.startswith(TEMPORARY) for part in key.split("/")):
            raise InvalidKeyError(f"names with {TEMPORARY!r} in front are for drafts", key=key)
        if self._sidecars and f"{SIDECAR}/" in f"{key}/":
            raise InvalidKeyError(f"names that end with {SIDECAR!r} are for attributes", key=key)
        if os.name == "nt" and _UNFIT_FOR_WINDOWS.search(key):
            raise InvalidKeyError("Windows has no such file names", key=key)
        return key

    def _make_root(self) -> None:
        if self._create:
            os.makedirs(self._root, exist_ok=True)

    def _root_is_lost(self) -> bool:
        # A folder that we may make is merely empty; one that we may not is, say, not mounted.
        return not self._create and not os.path.isdir(self._root)

    def _about_root(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return StorageError(f"there is no folder {self._root!r}: make it, or say create=True")
        return _about_disk(error, key)

    def _about_reading(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            if self._root_is_lost():
                return self._about_root(error, key)
            return ObjectNotFoundError(key=key)
        return _about_disk(error, key)

    def _about_writing(self, error: Exception, key: str | None) -> StorageError | None:
        if isinstance(error, FileNotFoundError):
            return StorageError(f"there is no folder {self._root!r} to write to", key=key)
        if isinstance(error, FileExistsError):
            return ObjectExistsError("an object is stored there already", key=key)
        if isinstance(error, NotADirectoryError):
            return StorageError(
                "an object, or a symbolic link, lies where the key needs a folder", key=key
            )
        if isinstance(error, IsADirectoryError):
            return StorageError("other objects lie below this key, as in a folder", key=key)
        return _about_disk(error, key)


class _Place:
    """The folder that holds an object, and the object's name in it."""

    __slots__ = ("_name", "_root", "_route")

    def __init__(self, route: Route | None, root: Folder, name: str) -> None:
        self._route = route
        self._root = root
        self._name = name

    def __enter__(self) -> tuple[Folder, str]:
        return (self._route.last if self._route else self._root), self._name

    def __exit__(self, *_: object) -> None:
        if self._route:
            self._route.close()


class _ObjectFile(FileIO):
    """A file that may be forgotten without a warning, as opened objects are."""

    def __del__(self) -> None:
        self.close()


def _pour(read: Callable[[int], bytes], draft: Draft) -> int:
    size = 0
    while chunk := read(CHUNK_SIZE):
        draft.write(chunk)
        size += len(chunk)
    return size


def _clone(source: FileIO, draft: Draft) -> int:
    """Let the system copy, which moves no byte on file systems that can share them."""
    size = 0
    try:
        while moved := os.copy_file_range(source.fileno(), draft.descriptor, 1 << 30):
            size += moved
    except (AttributeError, OSError):
        if size:
            raise
    return size or _pour(source.read, draft)


def _publish_both(
    folder: Folder, name: str, draft: Draft, note: Draft | None, exclusive: bool
) -> None:
    """Let the sidecar appear, then its object; nobody else writes either meanwhile."""
    with folder.locked():
        if exclusive:
            _refuse_taken(folder, name)
        if note is None:
            folder.discard(f"{name}{SIDECAR}")
        else:
            note.publish(folder, f"{name}{SIDECAR}", exclusive=False)
        try:
            draft.publish(folder, name, exclusive=exclusive)
        except BaseException:
            if not folder.has_file(name):
                folder.discard(f"{name}{SIDECAR}")
            raise


def _refuse_taken(folder: Folder, name: str) -> None:
    if folder.exists(name):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _refuse_unless_file(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _info(key: str, found: os.stat_result, attributes: Attributes) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=found.st_size,
        last_modified=datetime.fromtimestamp(found.st_mtime, UTC),
        etag=f"{found.st_mtime_ns:x}-{found.st_size:x}",
        attributes=attributes,
    )


def _may_hold(path: str, prefix: str, start_after: str | None) -> bool:
    """Tell whether keys below a folder (with its slash) can be among those asked for."""
    if not (path.startswith(prefix) or prefix.startswith(path)):
        return False
    return start_after is None or start_after < path or start_after.startswith(path)


def _folder_name(key: str) -> str:
    return key.rpartition("/")[0]


def _about_disk(error: Exception, key: str | None) -> StorageError | None:
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENAMETOOLONG:
        return InvalidKeyError("a part of the key is longer than this file system takes", key=key)
    if error.errno == errno.ELOOP:
        return StorageError("a symbolic link lies there, and is not followed", key=key)
    code: Any = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return StorageError(f"{error.strerror or error} ({code})", key=key)
