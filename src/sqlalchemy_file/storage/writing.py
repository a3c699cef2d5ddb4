"""How an object gets into a folder: complete, on disk, and only then under its name."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy_file.storage.base import Attributes
from sqlalchemy_file.storage.drafts import Draft, can_be_unnamed
from sqlalchemy_file.storage.files import refuse_taken
from sqlalchemy_file.storage.folders import Folder, Route
from sqlalchemy_file.storage.sidecars import publish_both, sidecar_of
from sqlalchemy_file.storage.syncing import Syncing, is_together, sync_later

T = TypeVar("T")

_SMALL = 1024 * 1024
"""Up to how many bytes a file is better synced together with others than alone."""

_ATTEMPTS = 200  # of a writer under whose hands a folder is removed, in some ten seconds


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes files below one root; its folders may be removed by others whenever they are empty."""

    root: str
    sidecars: bool
    fsync: bool
    create: bool
    hold: bool
    syncing: Syncing
    """Does later what is left to the end of a batch."""
    _unnamed: bool | None = None

    def write(
        self,
        key: str,
        attributes: Attributes,
        fill: Callable[[Draft], int],
        *,
        exclusive: bool = False,
    ) -> int:
        """Return what ``fill`` does: how many bytes it wrote into the draft it was given."""
        *folders, name = key.split("/")
        with self._route(folders) as route, self._draft(route) as draft:
            if exclusive:
                refuse_taken(route.last, name)
            size = fill(draft)
            waits = self.fsync and self._can_wait(route.last, name, size)
            syncs = self.fsync and not waits
            if syncs:
                draft.sync()
            if self.sidecars:
                kept = sidecar_of(attributes)
                self._publish_both(route, name, draft, kept, exclusive=exclusive, syncs=syncs)
            else:
                self._insist(route, lambda: draft.publish(route.last, name, exclusive=exclusive))
            if syncs:
                route.sync()
            elif waits:
                sync_later(self.syncing, key, size)
        return size

    def make_root(self) -> None:
        if self.create:
            os.makedirs(self.root, exist_ok=True)  # noqa: PTH103

    def _raise_if_root_is_gone(self) -> None:
        if not os.path.isdir(self.root):  # noqa: PTH112
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.root)

    def _can_wait(self, folder: Folder, name: str, size: int) -> bool:
        """Tell whether a new file is synced with others: a small one, that replaces none."""
        return self.hold and is_together() and size <= _SMALL and not folder.exists(name)

    def _route(self, folders: Sequence[str]) -> Route:
        if self.hold and not folders and not self.sidecars:
            return Route.to_root(self.root)
        for _ in _attempts():
            try:
                return Route(self.root, folders, create=True, hold=self.hold)
            except FileNotFoundError:
                # The root is gone, or a folder, empty once more, was removed just now.
                self.make_root()
                self._raise_if_root_is_gone()
        raise _gave_up()

    def _draft(self, route: Route) -> Draft:
        return self._insist(route, lambda: Draft(route.last, unnamed=self._nameless(route)))

    def _nameless(self, route: Route) -> bool:
        if self._unnamed is None:
            unnamed = self.hold and can_be_unnamed(route.folders[0])
            if not unnamed:
                self._raise_if_root_is_gone()  # then nothing was learnt
            self._unnamed = unnamed
        return self._unnamed

    def _publish_both(
        self, route: Route, name: str, draft: Draft, kept: bytes, *, exclusive: bool, syncs: bool
    ) -> None:
        with self._draft(route) if kept else nullcontext() as sidecar:
            if sidecar is not None:
                sidecar.write(kept)
                if syncs:
                    sidecar.sync()
            publish = partial(publish_both, exclusive=exclusive)
            self._insist(route, lambda: publish(route.last, name, draft, sidecar))

    def _insist(self, route: Route, action: Callable[[], T]) -> T:
        """Do something in the last folder, which is made anew whenever somebody removed it."""
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
