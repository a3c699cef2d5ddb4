"""Objects in any fsspec filesystem: FTP, SFTP, SMB, WebHDFS, s3fs and others."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, BinaryIO, TypeVar
from urllib.parse import SplitResult, urlunsplit

from fsspec.registry import available_protocols, get_filesystem_class

from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    InvalidStorageError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from sqlalchemy_file.storage.common.attributes import refuse_extra
from sqlalchemy_file.storage.common.calling import (
    MAX_RETRIES,
    Translator,
    checked_number,
    checked_verify,
    raise_failures,
    retrying,
    sort_out,
)
from sqlalchemy_file.storage.common.keys import TEMPORARY, check_key, is_hidden, is_listed, is_valid
from sqlalchemy_file.storage.common.protocol import Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import copy_by_reading, read_range
from sqlalchemy_file.storage.fsspec import folders, instances
from sqlalchemy_file.support.defaults import CONCURRENCY

WINDOW = 2 * 1024 * 1024
"""Bytes in one request."""

T = TypeVar("T")


class FsspecStorage:
    """A folder, or a bucket with a prefix, in an fsspec filesystem.

        StorageManager.add_storage("archive", "sftp://me@host/srv/uploads", password=password)

    In a filesystem with folders, an object is written under a hidden name and renamed. In an object
    store it appears when it is complete. ``exclusive`` looks the key up first, so two writers at
    the same moment may both succeed. Attributes are not kept. ``list`` keeps all keys in memory.

    Each thread has a filesystem of its own, made with the arguments of the given one. Filesystems
    that use fsspec's event loop are shared by all threads. A forked process, and a thread that has
    lost its connection, make new ones. Idempotent calls are retried ``max_retries`` times.

    With ``verify`` the size of each written file is compared with the sent one, in folders before
    the object appears. In folders this is the default.
    """

    def __init__(
        self,
        filesystem: Any,
        *,
        root: str | None = None,
        concurrency: int = CONCURRENCY,
        max_retries: int = MAX_RETRIES,
        verify: bool | None = None,
    ) -> None:
        self._instances, root = instances.instances_of(filesystem, root)
        protocol = self._instances.kind.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self._root = root if root.endswith("/") or not root else f"{root}/"
        self._is_bucket = bool(protocols & instances.BUCKETS.keys())
        if self._is_bucket and not root.strip("/"):
            raise InvalidStorageError("the root in a store of objects begins with a bucket")
        instances.advise_another_way(protocols)
        self.concurrency: int = checked_number("concurrency", concurrency)
        self._max_retries = checked_number("max_retries", max_retries)
        is_on = checked_verify(not self._is_bucket if verify is None else verify)
        self.verify: bool = is_on and self._is_bucket
        self._verifies_drafts = is_on and not self._is_bucket

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._instances.kind.__name__}, root={self._root!r})"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        meaning = partial(self._our_error, creates=exclusive)
        with Translator(meaning, self._check(key)) as translator:
            self._retrying(lambda each: self._refuse_folder(each, key, exclusive=exclusive))
            filesystem = self._ready()
            refuse_extra(attributes, key)
            read = partial(translator.read_full, content)
            if self._is_bucket:
                size = folders.write_at_once(filesystem, self._path(key), read)
            else:
                size = self._put_in_folder(filesystem, key, read, exclusive=exclusive)
            return ObjectInfo(key=key, size=size)

    def stat(self, key: str) -> ObjectInfo:
        with Translator(self._our_error, self._check(key)):
            return self._retrying(lambda filesystem: self._described(filesystem, key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with Translator(self._our_error, self._check(key)):
            path = self._path(key)
            size = self._retrying(lambda filesystem: self._described(filesystem, key)).size
            end = size if end is None else min(end, size)
            if start >= end:
                return
            if end - start <= WINDOW:
                data = self._retrying(lambda each: each.cat_file(path, start=start, end=end))
                yield from (
                    data[at : at + folders.READ_SIZE]
                    for at in range(0, len(data), folders.READ_SIZE)
                )
                return
            with self._ready().open(path, "rb", block_size=WINDOW) as file:
                yield from read_range(file, start, end, folders.READ_SIZE)

    def delete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, self._check)
        with Translator(self._our_error):
            self._delete_each(valid, failures)
        raise_failures(failures, self._our_error)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        self._check(new_key)
        with Translator(self._our_error, self._check(key)):
            found = self._retrying(lambda filesystem: self._described(filesystem, key))
            if new_key == key:
                return found
            try:
                filesystem = self._ready()
                self._copy_inside(filesystem, key, new_key)
                return self._described(filesystem, new_key)
            except NotImplementedError:  # this filesystem cannot
                return copy_by_reading(self, key, new_key)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        if folder and not is_valid(folder, self._check):
            return
        with Translator(self._our_error):
            found = [
                folders.info_of(key, entry)
                for key, entry in self._retrying(lambda each: self._entries(each, folder))
                if key.startswith(prefix) and key > (start_after or "") and is_listed(key, prefix)
            ]
            found.sort(key=lambda info: info.key)
            yield from found

    def _path(self, key: str) -> str:
        return f"{self._root}{key}"

    def _check(self, key: str) -> str:
        check_key(key)
        if is_hidden(key):
            raise InvalidKeyError(
                f"a name in a key does not begin with {TEMPORARY!r} here", key=key
            )
        return key

    def _entries(self, filesystem: Any, folder: str) -> Sequence[tuple[str, dict[str, Any]]]:
        path = self._path(folder).rstrip("/") or self._root
        try:
            found: dict[str, dict[str, Any]] = filesystem.find(path, detail=True)
        except FileNotFoundError:
            self._refuse_missing_bucket(filesystem, None)
            return []
        above = self._root.lstrip("/")
        entries = {
            name.lstrip("/").removeprefix(above): each
            for name, each in found.items()
            if each.get("type") != "directory"
        }
        return [
            each
            for each in folders.with_set_aside(entries).items()
            if is_valid(each[0], self._check)
        ]

    def _put_in_folder(self, filesystem: Any, key: str, read: Any, *, exclusive: bool) -> int:
        if self._root.strip("/"):
            filesystem.makedirs(self._root.rstrip("/"), exist_ok=True)
        with self._draft_of(filesystem, key) as draft:
            size = folders.write(filesystem, draft, read)
            if self._verifies_drafts:
                self._retrying(partial(folders.require_size, path=draft, size=size))
            if exclusive:
                self._refuse_folder(filesystem, key, exclusive=True)
        return size

    def _copy_inside(self, filesystem: Any, key: str, new_key: str) -> None:
        self._refuse_folder(filesystem, new_key, exclusive=False)
        if self._is_bucket:
            filesystem.cp_file(self._path(key), self._path(new_key))
            return
        with self._draft_of(filesystem, new_key) as draft:
            filesystem.cp_file(self._path(key), draft)

    @contextmanager
    def _draft_of(self, filesystem: Any, key: str) -> Iterator[str]:
        """Yield a hidden path, which is renamed at the end of the block."""
        draft, path = f"{self._root}{TEMPORARY}{uuid.uuid4().hex}", self._path(key)
        try:
            yield draft
            if "/" in key:
                filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            folders.publish(filesystem, draft, path, self._retrying)
        except BaseException:
            with suppress(Exception):
                filesystem.rm_file(draft)
            raise

    def _refuse_folder(self, filesystem: Any, key: str, *, exclusive: bool) -> None:
        if self._is_bucket and not exclusive:
            return
        try:
            found = filesystem.info(self._path(key))
        except folders.NO_SUCH:
            return
        if found.get("type") != "directory":
            if exclusive:
                raise ObjectExistsError(key=key)
        elif not self._is_bucket:
            raise StorageError("other objects lie below this key, as in a folder", key=key)

    def _described(self, filesystem: Any, key: str) -> ObjectInfo:
        path = self._path(key)
        found = filesystem.info(path) if self._is_bucket else folders.described(filesystem, path)
        if found.get("type") == "directory":
            raise ObjectNotFoundError(key=key)
        return folders.info_of(key, found)

    def _delete_each(self, keys: Sequence[str], failures: dict[str, Exception]) -> None:
        delete = self._delete_from_bucket if self._is_bucket else folders.remove_object
        for index, key in enumerate(keys):
            try:
                self._retrying(partial(delete, path=self._path(key)))
            except Exception as error:  # noqa: BLE001  one failure must not spare the others
                if instances.is_lost(error):  # all further keys would fail too
                    failures.update(dict.fromkeys(keys[index:], error))
                    return
                failures[key] = error

    def _delete_from_bucket(self, filesystem: Any, path: str) -> None:
        try:
            filesystem.rm_file(path)
        except folders.NO_SUCH:
            self._refuse_missing_bucket(filesystem, None)

    def _retrying(self, action: Callable[[Any], T]) -> T:
        """Retry an idempotent operation with another connection if one is lost."""
        # Filesystems on fsspec's event loop retry by themselves.
        most = 0 if self._instances.kind.async_impl else self._max_retries
        return retrying(lambda: action(self._ready()), self._is_lost, most)

    def _is_lost(self, error: Exception) -> bool:
        """Return True if the connection is lost, and forget it then."""
        if not instances.is_lost(error):
            return False
        self._instances.drop()
        return True

    def _ready(self) -> Any:
        filesystem = self._instances.get()
        filesystem.invalidate_cache()  # else it would answer from memory
        return filesystem

    def _refuse_missing_bucket(self, filesystem: Any, key: str | None) -> None:
        if not self._is_bucket:
            return
        try:
            filesystem.info(self._root.lstrip("/").partition("/")[0])
        except FileNotFoundError:
            raise StorageError("the bucket or container does not exist", key=key) from None

    def _our_error(
        self, error: Exception, key: str | None, *, creates: bool = False
    ) -> StorageError:
        self._is_lost(error)
        if isinstance(error, folders.NO_SUCH):
            try:
                self._refuse_missing_bucket(self._instances.get(), key)
            except StorageError as missing:
                return missing
            except Exception:  # noqa: BLE001, S110  the first error says more
                pass
            return ObjectNotFoundError(key=key)
        if isinstance(error, FileExistsError) and creates:
            return ObjectExistsError(key=key)
        if isinstance(error, NotImplementedError):
            return StorageError("this fsspec filesystem cannot do that", key=key)
        return StorageError(self._instances.message(error), key=key)


def storage_at(parts: SplitResult, given: Mapping[str, Any]) -> FsspecStorage | None:
    """Return the storage of a URL, or None if fsspec does not know the scheme.

    The filesystem is made at its first use, since some connect at once.
    """
    if parts.scheme not in available_protocols():
        return None
    if parts.query:
        raise InvalidStorageError(
            f"the URL of this storage at {parts.scheme}:// has a query: options of fsspec's "
            "filesystems are given to add_storage by their names"
        )
    options = dict(given)
    names = options.keys() & {"concurrency", "max_retries", "verify"}
    own = {name: options.pop(name) for name in names}
    try:
        kind = get_filesystem_class(parts.scheme)
    except ImportError as error:
        raise InvalidStorageError(
            f"a storage at {parts.scheme}:// needs one more package; fsspec says: {error}"
        ) from error
    url = urlunsplit(parts)
    # fsspec calls these two itself for a URL.
    options = {**kind._get_kwargs_from_urls(url), **instances.with_limits(parts.scheme, options)}
    root = str(kind._strip_protocol(url))
    return FsspecStorage(instances.Instances(kind, (), options), root=root, **own)
