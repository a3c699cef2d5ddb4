"""Write an object into a folder: complete and on disk before it gets its name.

The small new files of a batch are synced together, which takes about as long as two or three alone.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from itertools import groupby
from typing import TypeVar

from sqlalchemy_file.storage.common.calling import Translator
from sqlalchemy_file.storage.common.keys import SIDECAR
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.storage.local import files
from sqlalchemy_file.storage.local.directories import Folder, Route
from sqlalchemy_file.storage.local.root import Root
from sqlalchemy_file.storage.local.temporary import TemporaryFile, can_be_unnamed
from sqlalchemy_file.transfer import Operation, carry_out, results

_THREADS = 4

_unsynced: ContextVar[dict[Writer, list[str]] | None] = ContextVar("_unsynced", default=None)


@contextmanager
def synced_together() -> Iterator[None]:
    """Sync all objects that this block stores at its end; after an error any may be unsynced."""
    unsynced: dict[Writer, list[str]] = {}
    token = _unsynced.set(unsynced)
    try:
        yield
    finally:
        _unsynced.reset(token)
    parts = [
        Operation(partial(writer.sync_all, keys[start::_THREADS]))
        for writer, keys in unsynced.items()
        for start in range(min(_THREADS, len(keys)))
    ]
    results(carry_out(parts, limit=_THREADS))


T = TypeVar("T")

_SMALL = 1024 * 1024
"""Up to this many bytes a file is synced together with others."""

_OPEN_AT_ONCE = 32  # files that are being synced

_ATTEMPTS = 200  # to write into a folder that is being removed: about ten seconds


@dataclass(slots=True, eq=False)
class Writer:
    """Writes files below one root. Other processes may remove empty folders at any time."""

    root: Root
    sidecars: bool
    fsync: bool
    _unnamed: dict[int | None, bool] = field(default_factory=dict)
    """Whether a file system, by its device, has unnamed files; None is that of the root."""

    def write(
        self,
        key: str,
        attributes: Attributes,
        fill: Callable[[TemporaryFile], int],
        *,
        exclusive: bool = False,
    ) -> tuple[int, Attributes]:
        """Write a file by ``fill``; return its size, and the attributes that are kept."""
        *folders, name = key.split("/")
        root, route = self.root, self.root.here
        if folders or self.sidecars:  # else no folder is opened
            route = Route(root.path, folders, hold=root.hold, create=True, mode=root.folder_mode)
        with route, self._retrying(route, self._begin) as temporary:
            if exclusive:
                files.refuse_taken(route.last, name)
            size = fill(temporary)
            temporary.require_size(size)
            if not self.sidecars:
                attributes = files.write_extended(temporary.descriptor, attributes)
            unsynced = self._unsynced(route.last, name, size)
            syncs = self.fsync and unsynced is None
            if syncs:
                temporary.sync()
            if self.sidecars:
                kept = files.sidecar_of(attributes)
                self._publish_both(route, name, temporary, kept, exclusive=exclusive, syncs=syncs)
            else:
                self._retrying(route, partial(temporary.publish, name=name, exclusive=exclusive))
            if syncs:
                route.sync()
            if unsynced is not None:
                unsynced.setdefault(self, []).append(key)
        return size, attributes

    def names_of(self, key: str) -> tuple[str, ...]:
        """Return the names of an object's file and its sidecar."""
        name = key.rpartition("/")[2]
        return (name, f"{name}{SIDECAR}") if self.sidecars else (name,)

    def sync_all(self, keys: Sequence[str]) -> None:
        """Sync objects and their names to disk; deleted ones are left out."""
        for folders, group in by_folder(keys):
            with Translator(self.root.root_error):
                try:
                    with self.root.route(folders) as route:
                        for start in range(0, len(group), _OPEN_AT_ONCE):
                            self._sync(route.last, group[start : start + _OPEN_AT_ONCE])
                        route.sync()
                except (FileNotFoundError, NotADirectoryError):
                    if self.root.is_lost():
                        raise

    def _sync(self, folder: Folder, keys: Sequence[str]) -> None:
        """Let the system begin to write all of them, and only then wait for each."""
        with ExitStack() as stack:
            begun: list[tuple[str, FileIO]] = []
            for key in keys:
                with Translator(self.root.writing_error, key):
                    found = (files.begin_sync(folder, name) for name in self.names_of(key))
                    begun += [(key, stack.enter_context(file)) for file in found if file]
            for key, file in begun:
                with Translator(self.root.writing_error, key):
                    os.fsync(file.fileno())

    def _unsynced(self, folder: Folder, name: str, size: int) -> dict[Writer, list[str]] | None:
        """Return the batch in which a small file that replaces none is synced, if there is one."""
        unsynced = _unsynced.get() if self.fsync and self.root.hold else None
        waits = unsynced is not None and size <= _SMALL and not folder.exists(name)
        return unsynced if waits else None

    def _begin(self, folder: Folder) -> TemporaryFile:
        return TemporaryFile(folder, unnamed=self._nameless(folder), mode=self.root.file_mode)

    def _nameless(self, folder: Folder) -> bool:
        if not self.root.hold:
            return False
        # Another file system may be mounted on a folder below the root.
        device = None if folder.path == self.root.path else folder.device()
        known = self._unnamed.get(device)
        if known is None:
            known = can_be_unnamed(folder)
            if not known:
                folder.raise_if_removed()  # then nothing was learnt
            self._unnamed[device] = self._unnamed[folder.device()] = known
        return known

    def _publish_both(
        self,
        route: Route,
        name: str,
        temporary: TemporaryFile,
        kept: bytes,
        *,
        exclusive: bool,
        syncs: bool,
    ) -> None:
        with self._retrying(route, self._begin) if kept else nullcontext() as sidecar:
            if sidecar is not None:
                sidecar.write(kept)
                if syncs:
                    sidecar.sync()
            publish = partial(files.publish_both, name=name, temporary=temporary, sidecar=sidecar)
            self._retrying(route, partial(publish, exclusive=exclusive))

    def _retrying(self, route: Route, action: Callable[[Folder], T]) -> T:
        """Act in the last folder, which is created again if another process removes it."""
        for attempt in range(_ATTEMPTS):
            try:
                if attempt:
                    # A folder that is being removed can be entered until the disk has removed it.
                    time.sleep(min(attempt - 1, 50) / 1000)
                if attempt or not route.folders:
                    route.walk()
                return action(route.last)
            except FileNotFoundError:
                self.root.make()
        raise FileNotFoundError(errno.ENOENT, "the folder is removed again and again")


def by_folder(keys: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the folders that lead to some keys, each with its keys."""
    for folder, group in groupby(sorted(keys, key=_folder_name), key=_folder_name):
        yield folder.split("/") if folder else [], list(group)


def _folder_name(key: str) -> str:
    return key.rpartition("/")[0]
