"""Write an object into a folder: complete and on disk before it gets its name.

The small new files of a batch are synced at its end, together. One after the other, each waits for
the disk by itself; together they wait about as long as two or three of them alone.
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
from typing import TypeAlias, TypeVar

from sqlalchemy_file.storage.common.errors import Translator
from sqlalchemy_file.storage.common.keys import SIDECAR
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.storage.local.attributes import publish_both, sidecar_of, write_extended
from sqlalchemy_file.storage.local.directories import Folder, KnownRoot, Route
from sqlalchemy_file.storage.local.errors import FolderErrors
from sqlalchemy_file.storage.local.files import begin_sync, refuse_taken
from sqlalchemy_file.storage.local.rules import Modes, apply_mode
from sqlalchemy_file.storage.local.temporary import TemporaryFile, can_be_unnamed
from sqlalchemy_file.transfer import Operation, carry_out, results

_THREADS = 4

Sync: TypeAlias = Callable[[Sequence[str]], None]
"""Syncs the objects of one storage with these keys, and their names, to disk."""

_unsynced: ContextVar[dict[Sync, list[str]] | None] = ContextVar("_unsynced", default=None)


@contextmanager
def synced_together() -> Iterator[None]:
    """Sync everything that storages store in this block at its end.

    Raises what the syncing raises; then nobody knows which of the objects are on disk.
    """
    unsynced: dict[Sync, list[str]] = {}
    token = _unsynced.set(unsynced)
    try:
        yield
    finally:
        _unsynced.reset(token)
    parts = [
        Operation(partial(sync, keys[start::_THREADS]))
        for sync, keys in unsynced.items()
        for start in range(min(_THREADS, len(keys)))
    ]
    results(carry_out(parts, limit=_THREADS))


T = TypeVar("T")

_SMALL = 1024 * 1024
"""Up to how many bytes a file is better synced together with others than alone."""

_OPEN_AT_ONCE = 32  # objects while they are synced: a process may not open files without end

_ATTEMPTS = 200  # of a writer under whose hands a folder is removed, in some ten seconds


@dataclass(slots=True, kw_only=True, eq=False)
class Writer:
    """Writes files below one root; its folders may be removed by others whenever they are empty."""

    root: str
    sidecars: bool
    fsync: bool
    create: bool
    hold: bool
    known: KnownRoot
    modes: Modes
    errors: FolderErrors
    _unnamed: dict[int | None, bool] = field(default_factory=dict)
    """Whether files without a name can be made, by the file system; None is that of the root."""

    def write(
        self,
        key: str,
        attributes: Attributes,
        fill: Callable[[TemporaryFile], int],
        *,
        exclusive: bool = False,
    ) -> tuple[int, Attributes]:
        """Write a temporary file by ``fill``; return its size, and the attributes that are kept."""
        *folders, name = key.split("/")
        with self._route(folders) as route, self._temporary_file(route) as temporary:
            if exclusive:
                refuse_taken(route.last, name)
            size = fill(temporary)
            temporary.require_size(size)
            if not self.sidecars:
                attributes = write_extended(temporary.descriptor, attributes)
            unsynced = self._unsynced(route.last, name, size)
            syncs = self.fsync and unsynced is None
            if syncs:
                temporary.sync()
            if self.sidecars:
                kept = sidecar_of(attributes)
                self._publish_both(route, name, temporary, kept, exclusive=exclusive, syncs=syncs)
            else:
                self._retrying(
                    route, lambda: temporary.publish(route.last, name, exclusive=exclusive)
                )
            if syncs:
                route.sync()
            if unsynced is not None:
                unsynced.setdefault(self.sync_all, []).append(key)
        return size, attributes

    def names_of(self, key: str) -> tuple[str, ...]:
        """Return the names of an object's file and its sidecar."""
        name = key.rpartition("/")[2]
        return (name, f"{name}{SIDECAR}") if self.sidecars else (name,)

    def sync_all(self, keys: Sequence[str]) -> None:
        """Sync objects and their names to disk; deleted ones are left out."""
        for folders, group in by_folder(keys):
            with Translator(self.errors.root):
                try:
                    with Route(self.root, folders, create=False, hold=self.hold) as route:
                        for start in range(0, len(group), _OPEN_AT_ONCE):
                            self._sync(route.last, group[start : start + _OPEN_AT_ONCE])
                        route.sync()
                except (FileNotFoundError, NotADirectoryError):
                    if self.errors.root_is_lost():
                        raise

    def _sync(self, folder: Folder, keys: Sequence[str]) -> None:
        """Let the system begin to write all of them, and only then wait for each."""
        with ExitStack() as stack:
            begun: list[tuple[str, FileIO]] = []
            for key in keys:
                with Translator(self.errors.writing, key):
                    found = (begin_sync(folder, name) for name in self.names_of(key))
                    begun += [(key, stack.enter_context(file)) for file in found if file]
            for key, file in begun:
                with Translator(self.errors.writing, key):
                    os.fsync(file.fileno())

    def make_root(self) -> None:
        if self.create and make_root(self.root, self.modes.folder):
            self.known.remember()

    def _raise_if_root_is_gone(self) -> None:
        if not os.path.isdir(self.root):  # noqa: PTH112
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.root)

    def _unsynced(self, folder: Folder, name: str, size: int) -> dict[Sync, list[str]] | None:
        """Return what a new file is synced with, if it may wait: a small one that replaces none."""
        unsynced = _unsynced.get() if self.fsync and self.hold else None
        waits = unsynced is not None and size <= _SMALL and not folder.exists(name)
        return unsynced if waits else None

    def _route(self, folders: Sequence[str]) -> Route:
        if self.hold and not folders and not self.sidecars:
            return Route.to_root(self.root)
        for _ in _attempts():
            try:
                mode = self.modes.folder
                return Route(self.root, folders, create=True, hold=self.hold, mode=mode)
            except FileNotFoundError:
                # The root is gone, or a folder that became empty was removed just now.
                self.make_root()
                self._raise_if_root_is_gone()
        raise _gave_up()

    def _temporary_file(self, route: Route) -> TemporaryFile:
        mode = self.modes.file
        return self._retrying(
            route, lambda: TemporaryFile(route.last, unnamed=self._nameless(route), mode=mode)
        )

    def _nameless(self, route: Route) -> bool:
        if not self.hold:
            return False
        # Another file system may be mounted on a folder below the root.
        device = route.last.device() if len(route.folders) > 1 else None
        known = self._unnamed.get(device)
        if known is None:
            known = can_be_unnamed(route.last)
            if not known:
                route.last.raise_if_removed()  # then nothing was learnt
            self._unnamed[device] = self._unnamed[route.last.device()] = known
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
        with self._temporary_file(route) if kept else nullcontext() as sidecar:
            if sidecar is not None:
                sidecar.write(kept)
                if syncs:
                    sidecar.sync()
            publish = partial(publish_both, exclusive=exclusive)
            self._retrying(route, lambda: publish(route.last, name, temporary, sidecar))

    def _retrying(self, route: Route, action: Callable[[], T]) -> T:
        """Do something in the last folder, which is made again whenever somebody removed it."""
        try:
            return action()
        except FileNotFoundError:
            self.make_root()
            self._raise_if_root_is_gone()
        for _ in _attempts():
            try:
                route.again()
                return action()
            except FileNotFoundError:
                self._raise_if_root_is_gone()
        raise _gave_up()


def by_folder(keys: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the folders that lead to some keys, each with its keys."""
    for folder, group in groupby(sorted(keys, key=_folder_name), key=_folder_name):
        yield folder.split("/") if folder else [], list(group)


def _folder_name(key: str) -> str:
    return key.rpartition("/")[0]


def make_root(root: str, mode: int | None) -> bool:
    """Make a storage's folder where it is missing; one that is there keeps its mode."""
    if os.path.isdir(root):  # noqa: PTH112
        return False
    os.makedirs(root, 0o777 if mode is None else mode, exist_ok=True)  # noqa: PTH103
    apply_mode(mode, None, root)
    return True


def _attempts() -> Iterator[int]:
    """Count the attempts, pausing longer and longer between them.

    A folder that is being removed can still be entered for as long as the disk takes to remove it.
    """
    for attempt in range(_ATTEMPTS):
        if attempt > 2:
            time.sleep(min(attempt, 50) / 1000)
        yield attempt


def _gave_up() -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "the folder is removed again and again")
