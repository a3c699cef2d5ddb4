"""Objects as files in a folder on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from io import BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from sqlalchemy_file.exceptions import InvalidKeyError
from sqlalchemy_file.storage.common.attributes import refuse_extra
from sqlalchemy_file.storage.common.calling import Translator, raise_failures, sort_out, translated
from sqlalchemy_file.storage.common.keys import RESERVED, TEMPORARY, is_valid
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo, PendingUpload
from sqlalchemy_file.storage.common.streams import pour, read_range
from sqlalchemy_file.storage.local import files
from sqlalchemy_file.storage.local.directories import CAN_HOLD, NO_FOLLOW, Folder, Route
from sqlalchemy_file.storage.local.root import Root, check_local_key
from sqlalchemy_file.storage.local.temporary import locked, temporary_files_below
from sqlalchemy_file.storage.local.writing import Writer, by_folder


class LocalStorage:
    """A folder on this machine. Each object is a file; keys with slashes are in sub-folders.

        StorageManager.add_storage("uploads", "file:///srv/uploads", file_mode=0o600)

    An object appears under its key only when it is complete. With ``fsync``, the file and its name
    are on disk when `put` returns. The small files of one flush are synced together, after the last
    of them. Symbolic links below the root are neither followed nor listed. A key cannot be an
    object and a folder at once (``a`` and ``a/b``). ``list`` is sorted by code points.

    Attributes are kept in an extended attribute of each file, if the file system supports these.
    With ``sidecars`` they are kept in ``<key>.metadata.json`` next to the file, as in version 0.7.

    ``create`` creates a missing root. If another folder has taken the place of the root, because
    its disk was unmounted, nothing is stored, deleted or listed.

    ``file_mode`` and ``folder_mode`` are the permissions of new files and folders, regardless of
    the umask. ``0o600`` and ``0o700`` keep other users of the machine out. A root that is created
    here gets ``folder_mode``.
    """

    concurrency = 1  # a small file is written faster than handed to a thread
    _takes_extra = False

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        sidecars: bool = False,
        fsync: bool = True,
        create: bool = True,
        file_mode: int | None = None,
        folder_mode: int | None = None,
    ) -> None:
        path = os.path.abspath(root)  # noqa: PTH100  a root that is a link stays one
        self._root = Root(
            path, create=create, hold=CAN_HOLD, file_mode=file_mode, folder_mode=folder_mode
        )
        self._at_root = os.path.join(path, "")  # noqa: PTH118
        self._sidecars = sidecars
        self._check = partial(check_local_key, sidecars=sidecars)
        self._writer = Writer(self._root, sidecars, fsync)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._root.path!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        self._root.check(self._check(key))
        with Translator(self._root.writing_error, key) as translator:
            if attributes.extra and not self._takes_extra:
                refuse_extra(attributes, key)
            read = partial(translator.read, content)
            size, kept = self._writer.write(
                key, attributes, lambda file: pour(read, file.write), exclusive=exclusive
            )
        return ObjectInfo(key=key, size=size, attributes=kept)

    def stat(self, key: str) -> ObjectInfo:
        with Translator(self._root.reading_error, key):
            route, name = self._way_to(key)
            with route:
                found = route.last.stat(name)
                files.refuse_unless_file(found)
                kept = files.read_sidecar(route.last, name) if self._sidecars else files.NOTHING
                kept = files.read_extended(route.last, name) if kept == files.NOTHING else kept
                return files.info_of(key, found, kept)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with Translator(self._root.reading_error, key), self.open_file(key) as file:
            size = os.fstat(file.fileno()).st_size
            yield from read_range(file, start, size if end is None else min(end, size))

    def delete(self, keys: Sequence[str]) -> None:
        self._root.check()
        valid, failures = sort_out(keys, self._check)
        for folder, group in by_folder(valid):
            self._delete_in(folder, group, failures)
        raise_failures(failures, self._root.writing_error)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        info = self.stat(key)
        if new_key == key:
            return info
        self._root.check(new_key)
        with (
            Translator(self._root.writing_error, self._check(new_key)),
            self.open_file(key) as source,
        ):
            size, kept = self._writer.write(new_key, info.attributes, partial(files.clone, source))
        return ObjectInfo(key=new_key, size=size, attributes=kept)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        above, slash, _ = prefix.rpartition("/")
        if above and not self._is_object(above):
            return  # "../": no key begins like that
        self._root.check()
        with Translator(self._root.root_error):
            try:
                route = self._root.route(above.split("/") if above else [])
            except (FileNotFoundError, NotADirectoryError):
                if self._root.is_lost():
                    raise
                return
            listing = files.Listing(prefix, start_after or "", self._is_object)
            with route:
                yield from listing.below(route.last, above + slash)

    def uploads(self) -> Iterator[PendingUpload]:
        """Yield temporary files: those being written, and those that killed processes left."""
        with Translator(self._root.root_error):
            for path in temporary_files_below(self._root.path):
                with suppress(FileNotFoundError):  # published since
                    written = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
                    key = path.relative_to(self._root.path).as_posix()
                    yield PendingUpload(key=key, id=path.name, begun_at=written)

    def abort_upload(self, upload: PendingUpload) -> None:
        """Delete a temporary file; its ``key`` is the path of its file below the root."""
        *folders, name = upload.key.split("/")
        if not name.startswith(TEMPORARY) or {"", ".", ".."} & {*folders}:
            raise InvalidKeyError("this is no draft of an upload", key=upload.key)
        gone = suppress(FileNotFoundError, NotADirectoryError)
        with Translator(self._root.root_error), gone, self._root.route(folders) as route:
            route.last.discard(name)

    def path(self, key: str) -> Path:
        return Path(self._root.path, *self._check(key).split("/"))

    def open_file(self, key: str) -> FileIO:
        """Return the object's file, open for reading and unbuffered."""
        with Translator(self._root.reading_error, key):
            route, name = self._way_to(key)
            with route:
                return files.open_object(route.last, name)

    def read_file(self, key: str) -> bytes:
        """Return the whole object."""
        self._check(key)
        if "/" in key or not NO_FOLLOW:
            with self.open_file(key) as file:
                return file.readall()
        try:
            return files.read_object(self._at_root + key)
        except OSError as error:
            raise translated(error, self._root.reading_error, key) from error

    def notes(self) -> dict[str, bytes]:
        """Return the notes of this folder, from its extended attributes or from hidden files."""
        with Translator(self._root.root_error):
            found = files.noted_at(self._root.path)
        for info in self.list(RESERVED):
            found[info.key.removeprefix(RESERVED)] = self.read_file(info.key)
        return found

    def add_note(self, name: str, content: bytes) -> None:
        """Add a note to this folder, in a hidden file if there are no extended attributes."""
        with Translator(self._root.root_error):
            is_noted = files.note_at(self._root.path, name, content)
        if not is_noted:
            self.put(f"{RESERVED}{name}", BytesIO(content), Attributes())

    def remove_note(self, name: str) -> None:
        """Remove a note; a missing one is no error."""
        with Translator(self._root.root_error):
            files.unnote_at(self._root.path, name)
        self.delete([f"{RESERVED}{name}"])

    def _way_to(self, key: str) -> tuple[Route, str]:
        """Return the route to the folder of an object, and the name of its file."""
        *folders, name = self._check(key).split("/")
        return self._root.route(folders) if folders else self._root.here, name

    def _is_object(self, key: str) -> bool:
        return is_valid(key, self._check)

    def _delete_in(
        self, folders: Sequence[str], keys: Sequence[str], failures: dict[str, Exception]
    ) -> None:
        try:
            with self._root.route(folders) as route:
                with locked(route.last) if self._sidecars else nullcontext():
                    self._unlink(route.last, keys, failures)
                changed = route.remove_empty()
                if self._writer.fsync:
                    changed.sync()
        except (FileNotFoundError, NotADirectoryError) as error:
            # No such folder: no such objects, unless the whole storage is not there.
            if self._root.is_lost():
                failures.update(dict.fromkeys(keys, error))
        except OSError as error:
            failures.update(dict.fromkeys(keys, error))

    def _unlink(self, folder: Folder, keys: Sequence[str], failures: dict[str, Exception]) -> None:
        for key in keys:
            try:
                for name in self._writer.names_of(key):
                    folder.discard(name)
            except OSError as error:
                failures[key] = error
