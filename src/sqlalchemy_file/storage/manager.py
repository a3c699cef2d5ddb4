"""The names of storages, and the default storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from os import PathLike
from typing import Any

from sqlalchemy_file.exceptions import ObjectNotFoundError, UnknownStorageError
from sqlalchemy_file.observing import Task
from sqlalchemy_file.storage.common.attributes import attributes_of
from sqlalchemy_file.storage.common.calling import (
    IN_LOOP,
    IN_THREAD,
    Calling,
    is_native,
    run,
    verify,
)
from sqlalchemy_file.storage.common.keys import check_key, refuse_reserved
from sqlalchemy_file.storage.common.protocol import Attributes, Storage, named
from sqlalchemy_file.storage.common.streams import aspooled, async_chunks, opened, size_left
from sqlalchemy_file.storage.registry import OldNames, Registry, registered_as
from sqlalchemy_file.storage.stored_file import StoredFile
from sqlalchemy_file.support.defaults import Limits, current_limits, set_limits
from sqlalchemy_file.support.names import with_metadata

__all__ = ["StorageManager", "attributes_of"]


noted: ContextVar[list[str] | None] = ContextVar("sqlalchemy_file_noted", default=None)
"""Receives the path of each object that `StorageManager` stores, unless it is None."""


class StorageManager(Registry, metaclass=OldNames):
    """The storages of this process, by name.

        StorageManager.add_storage("media", "s3://bucket/prefix")

    The path of an object is the name of its storage, a slash, and its key.
    """

    @classmethod
    def add_storage(
        cls,
        name: str,
        container: Any,
        *,
        replace: bool = False,
        base_url: str | None = None,
        **options: Any,
    ) -> None:
        """Add a storage under a name; the first one is the default. No server is contacted.

        ``container`` is everything that `adapt` accepts: a URL such as ``file:///srv/uploads`` or
        ``s3://bucket``, a folder as a `pathlib.Path`, a libcloud ``Container``, an obstore store,
        an fsspec filesystem, or any `Storage`. Options are those of this kind of storage.

        ``replace`` replaces a storage of that name; rows then look for their objects in the new
        one. ``base_url`` says that everybody can read the objects at ``<base_url>/<key>``; it
        becomes the ``url`` of new records.

        Raises `RuntimeError` if the name is taken, or begins like another one (``media`` and
        ``media/avatars``); `InvalidStorageError` for an invalid URL or option; `TypeError` for an
        object that is not a storage; `MissingExtraError`.
        """
        registered = registered_as(name, container, options, base_url)
        with cls._lock:
            cls._register(name, registered, replace=replace)

    @classmethod
    @contextmanager
    def override(
        cls, name: str, container: Any, *, base_url: str | None = None, **options: Any
    ) -> Iterator[Storage]:
        """Use another storage under a name inside a ``with`` block, in all threads; for tests.

            with StorageManager.override("media", "memory://") as storage:
                ...

        Takes the arguments of `add_storage`. The name need not have been added.
        """
        registered = registered_as(name, container, options, base_url)
        with cls._lock:
            before, default = cls._registered.get(name), cls._default_storage_name
            cls._register(name, registered, replace=True)
        try:
            yield registered.storage
        finally:
            with cls._lock:
                if before is None:
                    cls._forget(name)
                    cls._default_storage_name = default
                else:
                    cls._registered = {**cls._registered, name: before}

    @classmethod
    def exists(cls, path: str) -> bool:
        """Return True if there is an object with this path."""
        return run(cls._exists(IN_THREAD, path))

    @classmethod
    async def aexists(cls, path: str) -> bool:
        """Return the same as `exists`, without blocking the event loop."""
        return await cls._exists(IN_LOOP, path)

    @classmethod
    async def _exists(cls, calling: Calling, path: str) -> bool:
        storage_name, key, storage = cls._located(path)
        with suppress(ObjectNotFoundError), named(storage_name):
            await calling.call(storage, "stat", key)
            return True
        return False

    @classmethod
    def get(cls, name: str | None = None) -> Any:
        """Return the object that was given to `add_storage`, such as a libcloud ``Container``."""
        return cls._found(name).given

    @classmethod
    def storage(cls, name: str | None = None) -> Storage:
        """Return the storage of a name, or the default one."""
        return cls._found(name).storage

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all storages, in the order in which they were added."""
        return list(cls._registered)

    @classmethod
    def set_limit(cls, limit: int | Limits | None) -> None:
        """Set the limits of concurrency, from now on and for all storages together.

            StorageManager.set_limit(Limits(requests=16, parts=2))

        A number is ``Limits(requests=limit)``, and None, the default, is ``Limits()``.
        """
        set_limits(limit if isinstance(limit, Limits) else Limits(requests=limit))

    @classmethod
    def get_limit(cls) -> int | None:
        """Return the number of requests at a time; None is each storage's own ``concurrency``."""
        return current_limits().requests

    @classmethod
    def limits(cls) -> Limits:
        """Return all limits."""
        return current_limits()

    @classmethod
    def public_url(cls, storage_name: str, key: str) -> str | None:
        """Return the permanent public URL of an object, or None."""
        return cls._found(storage_name).public_url(key)

    @classmethod
    def is_public(cls, storage_name: str) -> bool:
        """Return True if a storage was added with a ``base_url``."""
        registered = cls._registered.get(storage_name)
        return registered is not None and registered.base_url is not None

    @classmethod
    def set_default(cls, name: str) -> None:
        """Make another storage the default."""
        with cls._lock:
            cls._found(name)
            cls._default_storage_name = name

    @classmethod
    def clear(cls) -> None:
        """Forget all storages, and the limit; their objects stay."""
        with cls._lock:
            cls._registered = {}
            cls._default_storage_name = None
        set_limits(Limits())

    @classmethod
    def path(cls, storage_name: str, key: str) -> str:
        """Return the path of an object; raises `InvalidKeyError`, `UnknownStorageError`."""
        cls._found(storage_name)
        return f"{storage_name}/{refuse_reserved(check_key(key))}"

    @classmethod
    def save_file(
        cls,
        name: str,
        content: Any = None,
        upload_storage: str | None = None,
        metadata: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        content_path: str | PathLike[str] | None = None,
    ) -> StoredFile:
        """Store a binary file, an iterator of bytes, bytes or text under the key ``name``.

            StorageManager.save_file("logo.png", Path("logo.png").open("rb"), "media")

        A file is stored from its current position. ``content_path`` is a file on disk instead.
        Asynchronous content raises `TypeError`: use `asave_file`.
        """
        given = opened(content, content_path)
        attributes = attributes_of(None, None, with_metadata(extra, metadata), headers)
        return run(cls._save(IN_THREAD, name, given, upload_storage, attributes))

    @classmethod
    def get_file(cls, path: str) -> StoredFile:
        """Open an object for reading.

            data = StorageManager.get_file("media/logo.png").read()

        Raises `ObjectNotFoundError` if it is missing.
        """
        storage_name, key, storage = cls._located(path)
        return StoredFile(storage, key, storage_name=storage_name).require()

    @classmethod
    def view(
        cls, path: str, filename: str | None = None, content_type: str | None = None
    ) -> StoredFile:
        """Open an object whose name and type are known, without a request."""
        storage_name, key, storage = cls._located(path)
        return StoredFile(storage, key, storage_name, None, filename, content_type)

    @classmethod
    def delete_file(cls, path: str) -> bool:
        """Delete an object; a missing one is no error."""
        return run(cls._delete(IN_THREAD, path))

    @classmethod
    async def asave_file(
        cls,
        name: str,
        content: Any = None,
        upload_storage: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        content_path: str | PathLike[str] | None = None,
    ) -> StoredFile:
        """Store as `save_file` does, without blocking the event loop.

        Takes asynchronous files and iterators too. After a cancellation the object is complete, or
        as it was before.
        """
        if (chunks := async_chunks(content)) is not None:
            with await aspooled(chunks) as spool:
                spool.seek(0)
                return await cls.asave_file(name, spool, upload_storage, extra, headers)
        given = opened(content, content_path)
        attributes = attributes_of(None, None, extra, headers)
        return await cls._save(IN_LOOP, name, given, upload_storage, attributes)

    @classmethod
    async def _save(
        cls,
        calling: Calling,
        name: str,
        given: Any,
        storage_name: str | None,
        attributes: Attributes,
    ) -> StoredFile:
        storage_name = storage_name or cls.get_default()
        storage = cls.storage(storage_name)
        path = cls.path(storage_name, name)
        with given as stream, Task("store", storage_name, (name,)) as task, named(storage_name):
            size = size_left(stream)
            stored = await calling.call(storage, "put", name, stream, attributes)
            info = await verify(calling, storage, stored, size)
            task.size = info.size
        if (paths := noted.get()) is not None:
            paths.append(path)
        return StoredFile(storage, name, storage_name=storage_name, info=info)

    @classmethod
    async def aget_file(cls, path: str) -> StoredFile:
        """Open as `get_file` does, without blocking the event loop."""
        storage_name, key, storage = cls._located(path)
        if not is_native(storage):
            return await IN_LOOP.run(partial(cls.get_file, path))
        with named(storage_name):
            info = await IN_LOOP.call(storage, "stat", key)
        return StoredFile(storage, key, storage_name=storage_name, info=info)

    @classmethod
    async def adelete_file(cls, path: str) -> bool:
        """Delete as `delete_file` does, without blocking the event loop."""
        return await cls._delete(IN_LOOP, path)

    @classmethod
    async def _delete(cls, calling: Calling, path: str) -> bool:
        storage_name, key, storage = cls._located(path)
        refuse_reserved(key)
        with Task("delete", storage_name, (key,)), named(storage_name):
            await calling.call(storage, "delete", [key])
        return True

    @classmethod
    def _located(cls, path: str) -> tuple[str, str, Storage]:
        storage_name, key = cls.resolve(path)
        if not storage_name:
            raise UnknownStorageError(
                f"{path!r} is no path of an object: that is the name of a storage, a slash and a "
                f"key, as in 'media/{path or 'key'}' (added: {cls._known()})"
            )
        return storage_name, key, cls._found(storage_name).storage

    # Names that programs written for older versions call.
    _clear = clear
