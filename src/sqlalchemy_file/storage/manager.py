"""Names of storages, and the default among them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO, TextIOBase
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, cast

from sqlalchemy_file.deprecation import with_metadata
from sqlalchemy_file.exceptions import MissingExtraError, UnknownStorageError
from sqlalchemy_file.observing import Task
from sqlalchemy_file.storage.adapters import adapt
from sqlalchemy_file.storage.attributes import attributes_of
from sqlalchemy_file.storage.base import AsyncStorage, Storage, check_key, is_native, named
from sqlalchemy_file.storage.chunks import aspooled, async_chunks, reader_of, size_left
from sqlalchemy_file.storage.location import Location, overlap
from sqlalchemy_file.storage.noting import note
from sqlalchemy_file.storage.reserved import refuse_reserved
from sqlalchemy_file.storage.stored_file import StoredFile
from sqlalchemy_file.storage.verifying import averify, verify
from sqlalchemy_file.transfer import get_limit, in_thread, set_limit

__all__ = ["StorageManager", "attributes_of"]


@dataclass(frozen=True, slots=True)
class _Registered:
    given: Any
    storage: Storage


class StorageManager:
    """The storages of this process, by their names.

    The path of an object is the name of its storage, a slash, and its key.
    """

    # Replaced as a whole and never changed, so that reading needs no lock.
    _registered: Mapping[str, _Registered] = {}
    _default: str | None = None
    _lock = threading.Lock()

    @classmethod
    def add_storage(cls, name: str, container: Any, **options: Any) -> None:
        """Add a storage under a name, which may hold slashes; the first is the default.

        Takes what `adapt` takes: a libcloud ``Container``, an address such as
        ``file:///srv/uploads`` or ``s3://bucket``, a store of obstore, a filesystem of fsspec, or
        any `Storage`; and the options of that kind of storage. Nothing is asked of the storage.

        Raises `RuntimeError` if the name is taken, or begins like another one (``media`` and
        ``media/avatars``), since a path could then mean either; `InvalidStorageError` for an
        address or an option that means nothing, `TypeError` for what is no storage,
        `MissingExtraError`.
        """
        _check_name(name)
        registered = _Registered(container, _adapted(name, container, options))
        with cls._lock:
            cls._refuse_ambiguous(name)
            cls._registered = {**cls._registered, name: registered}
            cls._default = cls._default or name

    @classmethod
    def get(cls, name: str | None = None) -> Any:
        """Return what was added under a name, or as the default: a libcloud ``Container``, say."""
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
    def set_limit(cls, limit: int | None) -> None:
        """Let no flush, nor what follows a commit, have more requests under way than ``limit``.

        It holds for all storages together, and for each flush by itself. Without it, or with
        None, each storage says how many serve it best; 1 stores one file after the other.
        """
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise TypeError(f"the limit is a number of requests or None, not {limit!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"the limit is at least 1, not {limit}")
        set_limit(limit)

    @classmethod
    def get_limit(cls) -> int | None:
        """Return the limit, or None where each storage says how many requests serve it best."""
        return get_limit()

    @classmethod
    def set_default(cls, name: str) -> None:
        """Let another storage be the default."""
        with cls._lock:
            cls._found(name)
            cls._default = name

    @classmethod
    def get_default(cls) -> str:
        """Return the name of the default storage."""
        default = cls._default
        if default is None:
            raise UnknownStorageError(
                "No default storage has been added: call StorageManager.add_storage(name, ...)"
            )
        return default

    @classmethod
    def clear(cls) -> None:
        """Forget all storages, and the limit; their objects stay."""
        with cls._lock:
            cls._registered = {}
            cls._default = None
        set_limit(None)

    @classmethod
    def path(cls, storage_name: str, key: str) -> str:
        """Return the path of an object; raises `InvalidKeyError`, `UnknownStorageError`."""
        cls._found(storage_name)
        return f"{storage_name}/{refuse_reserved(check_key(key))}"

    @classmethod
    def resolve(cls, path: str) -> tuple[str, str]:
        """Return the storage name and the key of a path.

        A path that a record names knows them itself. A plain one is split behind the storage name
        that was added, else at its last slash.
        """
        if isinstance(path, Location):
            return path.storage, path.key
        end = path.rfind("/")
        last = end
        while end > 0:
            if path[:end] in cls._registered:
                return path[:end], path[end + 1 :]
            end = path.rfind("/", 0, end)
        return path[: max(last, 0)], path[last + 1 :]

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

        A file is stored from where it stands. ``content_path`` names a file on disk instead.
        An asynchronous file or iterator raises `TypeError`: `asave_file` takes these.
        """
        extra = with_metadata(extra, metadata)
        storage_name = upload_storage or cls.get_default()
        storage = cls.storage(storage_name)
        cls.path(storage_name, name)
        attributes = attributes_of(None, None, extra, headers)
        task = Task("store", storage_name, (name,))
        with _opened(content, content_path) as stream, task, named(storage_name):
            size = size_left(stream)
            info = verify(storage, storage.put(name, stream, attributes), size)
            task.size = info.size
        note(f"{storage_name}/{name}")
        return StoredFile(storage, name, storage_name=storage_name, info=info)

    @classmethod
    def get_file(cls, path: str) -> StoredFile:
        """Open the object of a path; a missing one raises `ObjectNotFoundError` at once."""
        storage_name, key = cls.resolve(path)
        storage = cls.storage(storage_name)
        return StoredFile(storage, key, storage_name=storage_name).require()

    @classmethod
    def view(
        cls, path: str, filename: str | None = None, content_type: str | None = None
    ) -> StoredFile:
        """Open the object of a path, of which the name and type are known; nothing is requested."""
        storage_name, key = cls.resolve(path)
        found = cls._found(storage_name)
        return StoredFile(found.storage, key, storage_name, None, filename, content_type)

    @classmethod
    def delete_file(cls, path: str) -> bool:
        """Delete the object of a path, and what lies beside it; a missing one is no error."""
        storage_name, key = cls.resolve(path)
        refuse_reserved(key)
        storage = cls.storage(storage_name)
        with Task("delete", storage_name, (key,)), named(storage_name):
            storage.delete([key])
        return True

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
        """Store as `save_file` does, while the event loop stays free.

        Takes asynchronous files and iterators as well. Cancelled, it ends when nothing is under
        way any more; the object is then whole, or what it was before.
        """
        if (chunks := async_chunks(content)) is not None:
            with await aspooled(chunks) as spool:
                spool.seek(0)
                return await cls.asave_file(name, spool, upload_storage, extra, headers)
        storage_name = upload_storage or cls.get_default()
        storage = cls.storage(storage_name)
        if not is_native(storage):
            save = partial(cls.save_file, name, content, storage_name, None, extra, headers)
            return await in_thread(partial(save, content_path))
        cls.path(storage_name, name)
        attributes = attributes_of(None, None, extra, headers)
        task = Task("store", storage_name, (name,))
        with _opened(content, content_path) as stream, task, named(storage_name):
            size = size_left(stream)
            stored = await cast("AsyncStorage", storage).aput(name, stream, attributes)
            info = await averify(storage, stored, size)
            task.size = info.size
        note(f"{storage_name}/{name}")
        return StoredFile(storage, name, storage_name=storage_name, info=info)

    @classmethod
    async def aget_file(cls, path: str) -> StoredFile:
        """Open as `get_file` does, while the event loop stays free."""
        storage_name, key = cls.resolve(path)
        storage = cls.storage(storage_name)
        if not is_native(storage):
            return await in_thread(partial(cls.get_file, path))
        with named(storage_name):
            info = await cast("AsyncStorage", storage).astat(key)
        return StoredFile(storage, key, storage_name=storage_name, info=info)

    @classmethod
    async def adelete_file(cls, path: str) -> bool:
        """Delete as `delete_file` does, while the event loop stays free."""
        storage_name, key = cls.resolve(path)
        refuse_reserved(key)
        storage = cls.storage(storage_name)
        if not is_native(storage):
            return await in_thread(partial(cls.delete_file, path))
        with Task("delete", storage_name, (key,)), named(storage_name):
            await cast("AsyncStorage", storage).adelete([key])
        return True

    @classmethod
    def _refuse_ambiguous(cls, name: str) -> None:
        if name in cls._registered:
            raise RuntimeError(f"Storage {name} has already been added")
        other = next((each for each in cls._registered if overlap(each, name)), None)
        if other is not None:
            raise RuntimeError(
                f"Storage {name!r} cannot be added beside {other!r}: a path that begins with both "
                "names could mean an object of either; choose a name that does not begin like "
                "another one"
            )

    @classmethod
    def _found(cls, name: str | None) -> _Registered:
        registered = cls._registered
        chosen = cls.get_default() if name is None else name
        try:
            return registered[chosen]
        except KeyError:
            known = ", ".join(map(repr, registered)) or "none"
        raise UnknownStorageError(f"{chosen} storage has not been added (added: {known})")

    # Names that programs written for older releases call.

    @classmethod
    def _clear(cls) -> None:
        cls.clear()

    @classmethod
    def _get_storage_and_file_id(cls, path: str) -> tuple[str, str]:
        return cls.resolve(path)


def _adapted(name: str, thing: Any, options: Mapping[str, Any]) -> Storage:
    try:
        with named(name):
            return adapt(thing, **options)
    except MissingExtraError as error:
        error.storage = name
        raise
    except TypeError as error:
        error.add_note(f"while adding the storage {name!r}")
        raise


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a storage is a string, not {type(name).__name__}")
    if not name or name.startswith("/") or name.endswith("/"):
        raise ValueError(f"the name of a storage neither begins nor ends with a slash: {name!r}")


@contextmanager
def _opened(content: Any, content_path: str | PathLike[str] | None) -> Iterator[BinaryIO]:
    """Yield the content as a binary file; only one that was opened here is closed."""
    if content is None and content_path is None:
        raise ValueError("Either content or content_path must be specified")
    if content is None:
        with Path(cast("str", content_path)).open("rb") as file:
            yield file
        return
    if isinstance(content, TextIOBase):
        raise TypeError("a file must be opened in binary mode ('rb'), not as text")
    if async_chunks(content) is not None:
        raise TypeError(
            "asynchronous content can be awaited only: await asave_file, or give its bytes, "
            "a binary file or an ordinary iterator"
        )
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, bytes | bytearray | memoryview):
        content = BytesIO(content)
    yield content if callable(getattr(content, "read", None)) else reader_of(content)
