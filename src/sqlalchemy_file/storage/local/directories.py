# ruff: noqa: PTH112, PTH116, PTH118
# pathlib does not support names relative to an open folder.
"""Folders below a root, opened one by one, so that no symbolic link leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Self

from sqlalchemy_file.storage.common.keys import in_order

BINARY = getattr(os, "O_BINARY", 0)
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# A named pipe would otherwise keep `open` waiting for a writer.
NO_WAITING = getattr(os, "O_NONBLOCK", 0)
_ENTER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | NO_FOLLOW

CAN_HOLD = bool(NO_FOLLOW) and {os.open, os.mkdir, os.rename, os.unlink, os.link, os.rmdir} <= (
    os.supports_dir_fd
)
"""Whether this platform opens names relative to an open folder (not on Windows)."""


class LinkedFolderError(OSError):
    """A symbolic link is in the place of a folder."""

    def __init__(self, name: str) -> None:
        super().__init__(errno.ELOOP, os.strerror(errno.ELOOP), name)


class Folder:
    """One folder, held open if the platform can, else known by its path.

    An open folder stays the same if its name is replaced by a symbolic link. By path, each step
    checks for links first, and a fast attacker on the same disk can win that race.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        self.path: str = path
        self._descriptor = descriptor

    @classmethod
    def root(cls, path: str, *, hold: bool = CAN_HOLD) -> Self:
        """Return the root; the operator may have chosen a symbolic link."""
        if hold:
            return cls(path, os.open(path, _ENTER & ~NO_FOLLOW))
        if not os.path.isdir(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return cls(path)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def child(self, name: str, *, create: bool, mode: int | None = None) -> Folder:
        """Return a folder in this one; a link raises `LinkedFolderError`."""
        try:
            return self._child(name)
        except FileNotFoundError:
            if not create:
                raise
        try:
            os.mkdir(self._at(name), 0o777 if mode is None else mode, dir_fd=self._descriptor)
        except FileExistsError:
            return self._child(name)
        child = self._child(name)
        apply_mode(mode, child._descriptor, child.path)
        return child

    def _child(self, name: str) -> Folder:
        path = os.path.join(self.path, name)
        if self._descriptor is not None:
            return Folder(path, self._entered(name))
        found = os.lstat(path).st_mode
        if stat.S_ISLNK(found):
            raise LinkedFolderError(path)
        if not stat.S_ISDIR(found):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return Folder(path)

    def _entered(self, name: str) -> int:
        try:
            return os.open(name, _ENTER, dir_fd=self._descriptor)
        except NotADirectoryError:
            # Linux reports files and links alike.
            if self.has_link(name):
                raise LinkedFolderError(name) from None
            raise

    def raise_if_removed(self) -> None:
        if not os.stat(self._here).st_nlink:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)

    def device(self) -> int:
        """Return the device number of the file system of new files in this folder."""
        return os.stat(self._here).st_dev

    def open(self, name: str, flags: int, mode: int | None = None) -> int:
        """Return the descriptor of a file; a symbolic link is refused with ``ELOOP``."""
        if not NO_FOLLOW and self.has_link(name):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        return os.open(
            self._at(name),
            flags | NO_FOLLOW | BINARY,
            0o666 if mode is None else mode,
            dir_fd=self._descriptor,
        )

    def open_unnamed(self, mode: int | None = None) -> int:
        """Return the descriptor of a new file that has no name yet; Linux only."""
        flags = os.O_TMPFILE | os.O_WRONLY
        mode = 0o666 if mode is None else mode
        try:
            return os.open(self._at("."), flags, mode, dir_fd=self._descriptor)
        except PermissionError:
            self.raise_if_removed()  # ext4 reports this for a folder that was removed meanwhile
            raise

    def name_descriptor(self, descriptor: int, name: str) -> None:
        """Give a name to a file without one; a taken name raises `FileExistsError`."""
        # Without src_dir_fd Python calls link(2), which would link the symbolic link in /proc. Its
        # value does not matter.
        os.link(
            f"/proc/self/fd/{descriptor}",
            self._at(name),
            src_dir_fd=descriptor,
            dst_dir_fd=self._descriptor,
        )

    def link(self, name: str, new_name: str) -> None:
        here = self._descriptor
        os.link(self._at(name), self._at(new_name), src_dir_fd=here, dst_dir_fd=here)

    def replace(self, name: str, new_name: str) -> None:
        here = self._descriptor
        os.replace(self._at(name), self._at(new_name), src_dir_fd=here, dst_dir_fd=here)

    def unlink(self, name: str) -> None:
        os.unlink(self._at(name), dir_fd=self._descriptor)

    def discard(self, name: str) -> None:
        """Delete a file that may be missing; a folder of that name is left alone."""
        try:
            self.unlink(name)
        except FileNotFoundError:
            pass
        except OSError as error:
            # No file has a name that is too long for its file system.
            if error.errno != errno.ENAMETOOLONG and not stat.S_ISDIR(self.stat(name).st_mode):
                raise

    def remove_folder(self, name: str) -> None:
        os.rmdir(self._at(name), dir_fd=self._descriptor)

    def stat(self, name: str) -> os.stat_result:
        """Return the facts about a name; of a symbolic link itself, not of its target."""
        return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)

    def _mode_of(self, name: str) -> int:
        try:
            return self.stat(name).st_mode
        except FileNotFoundError:
            return 0

    def exists(self, name: str) -> bool:
        return bool(self._mode_of(name))

    def has_file(self, name: str) -> bool:
        return stat.S_ISREG(self._mode_of(name))

    def has_link(self, name: str) -> bool:
        return stat.S_ISLNK(self._mode_of(name))

    def names(self) -> Iterator[str]:
        """Return the files and folders, in the order of their keys: ``a!`` before ``a/``."""
        with os.scandir(self._here) as entries:
            return in_order(_names_of(entries))

    def sync(self) -> None:
        """Sync the names in this folder to disk, if the platform can."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        elif CAN_HOLD:
            with Folder.root(self.path) as folder:
                folder.sync()

    @property
    def _here(self) -> str | int:
        return self.path if self._descriptor is None else self._descriptor

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}" if self._descriptor is None else name


@dataclass(slots=True, eq=False)
class Route:
    """The folders from the root to a key, all open until the block ends."""

    root: str
    names: Sequence[str]
    _: KW_ONLY
    hold: bool = CAN_HOLD
    create: bool = False
    mode: int | None = None
    folders: list[Folder] = field(default_factory=list)
    last: Folder = field(init=False)

    def walk(self) -> Self:
        """Open all folders, again if a folder that had become empty was removed."""
        self.close()
        self.last = Folder.root(self.root, hold=self.hold)
        self.folders = [self.last]
        try:
            for name in self.names:
                self.last = self.last.child(name, create=self.create, mode=self.mode)
                self.folders.append(self.last)
        except BaseException:
            self.close()
            raise
        return self

    def sync(self) -> None:
        """Sync all folders, the last one first."""
        for folder in reversed(self.folders):
            folder.sync()

    def remove_empty(self) -> Folder:
        """Remove empty folders, but not the root; return the last folder that was changed."""
        for depth in range(len(self.names), 0, -1):
            try:
                self.folders[depth - 1].remove_folder(self.names[depth - 1])
            except OSError:
                return self.folders[depth]
        return self.folders[0]

    def close(self) -> None:
        if self.hold:  # a route by paths stays usable, also for other threads
            while self.folders:
                self.folders.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _names_of(entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield f"{entry.name}/"
        elif entry.is_file(follow_symlinks=False):
            yield entry.name


def apply_mode(mode: int | None, descriptor: int | None, path: str) -> None:
    """Give a new file or folder exactly this mode, regardless of the umask."""
    if mode is None:
        return
    if descriptor is None:
        os.chmod(path, mode)  # noqa: PTH101
    else:
        os.fchmod(descriptor, mode)
