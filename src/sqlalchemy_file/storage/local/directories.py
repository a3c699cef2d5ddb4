# ruff: noqa: PTH112, PTH116, PTH118
# pathlib knows no names relative to an open folder.
"""Folders below a root, opened one by one, so that no symbolic link leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.sorting import in_order
from sqlalchemy_file.storage.local.rules import apply_mode

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
    """One folder: held open where the platform can, else known by its path.

    An open folder stays the same folder when somebody swaps its name for a symbolic link. By path
    alone, links are looked for before each step, which a fast attacker on the same disk can outrun.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def root(cls, path: str, *, hold: bool = CAN_HOLD) -> Self:
        """Return the root; it may be a symbolic link itself, it is the operator who set it."""
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
        """Return a folder in this one, made if need be; `LinkedFolderError` for a link."""
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
        apply_mode(mode, child._descriptor, child._path)
        return child

    def _child(self, name: str) -> Folder:
        path = os.path.join(self._path, name)
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
            # Linux says the same of a file and of a link.
            if self.has_link(name):
                raise LinkedFolderError(name) from None
            raise

    def raise_if_removed(self) -> None:
        """Raise `FileNotFoundError` if this folder is no longer anywhere."""
        here = self._path if self._descriptor is None else self._descriptor
        if not os.stat(here).st_nlink:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)

    def device(self) -> int:
        """Return the device number of the file system of new files in this folder."""
        return os.stat(self._path if self._descriptor is None else self._descriptor).st_dev

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
        except PermissionError as error:
            # What ext4 says of a folder that was removed while it was held open.
            if self._descriptor is not None and os.fstat(self._descriptor).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
            raise

    def name_descriptor(self, descriptor: int, name: str) -> None:
        """Give a name to a file that has none; `FileExistsError` where it is taken."""
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

    def exists(self, name: str) -> bool:
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def has_file(self, name: str) -> bool:
        return self.exists(name) and stat.S_ISREG(self.stat(name).st_mode)

    def has_link(self, name: str) -> bool:
        return self.exists(name) and stat.S_ISLNK(self.stat(name).st_mode)

    def names(self) -> Iterator[str]:
        """Return its files and folders, in order; the names of folders end with a slash.

        With that slash they stand where the keys below them belong: ``a!`` before ``a/x``.
        However many there are, few of them are held in memory.
        """
        with os.scandir(self._path if self._descriptor is None else self._descriptor) as entries:
            return in_order(_names_of(entries))

    def sync(self) -> None:
        """Have the names in this folder on disk, where the platform can."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        elif CAN_HOLD:
            with Folder.root(self._path) as folder:
                folder.sync()

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if self._descriptor is None else name


class Route:
    """The folders from the root to a key, all open until the block ends."""

    __slots__ = ("_create", "_hold", "_mode", "_names", "_root", "folders")

    def __init__(
        self,
        root: str,
        names: Sequence[str],
        *,
        create: bool,
        hold: bool = CAN_HOLD,
        mode: int | None = None,
    ) -> None:
        self._root = root
        self._mode = mode
        self._names = names
        self._create = create
        self._hold = hold
        self.folders: list[Folder] = []
        self._walk()

    @classmethod
    def to_root(cls, root: str) -> Self:
        """Return the way to names right under the root, where nothing can be swapped or opened."""
        route = cls.__new__(cls)
        route._root, route._names, route._create, route._hold = root, (), False, CAN_HOLD
        route._mode = None
        route.folders = [Folder(root)]
        return route

    @property
    def last(self) -> Folder:
        return self.folders[-1]

    def again(self) -> None:
        """Walk it again, after a folder that had become empty was removed."""
        self.close()
        self._walk()

    def sync(self) -> None:
        """Have a new name in the last folder on disk, with the folders that lead to it."""
        for folder in reversed(self.folders):
            folder.sync()

    def remove_empty(self) -> Folder:
        """Remove folders that hold nothing, the last first, never the root.

        Return the folder in which the last change was made.
        """
        for depth in range(len(self._names), 0, -1):
            try:
                self.folders[depth - 1].remove_folder(self._names[depth - 1])
            except OSError:
                return self.folders[depth]
        return self.folders[0]

    def close(self) -> None:
        while self.folders:
            self.folders.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _walk(self) -> None:
        try:
            self.folders.append(Folder.root(self._root, hold=self._hold))
            for name in self._names:
                self.folders.append(self.last.child(name, create=self._create, mode=self._mode))
        except BaseException:
            self.close()
            raise


def _names_of(entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield f"{entry.name}/"
        elif entry.is_file(follow_symlinks=False):
            yield entry.name


class KnownRoot:
    """A folder, remembered by its device and inode."""

    __slots__ = ("_known", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: tuple[int, int] | None = None

    def remember(self) -> None:
        """Take the folder that is there now for the one that is meant."""
        found = os.stat(self._path)
        self._known = found.st_dev, found.st_ino

    def check(self, key: str | None = None) -> None:
        """Raise `StorageError` where another folder is there; a missing one is not judged here."""
        try:
            found = os.stat(self._path)
        except OSError:
            return
        if (found.st_dev, found.st_ino) != self._known:
            raise StorageError(
                f"{self._path!r} is not the folder that was added: a disk has been mounted or "
                "unmounted there, or the folder was replaced; correct that, or restart the program",
                key=key,
            )
