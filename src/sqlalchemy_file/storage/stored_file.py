"""One stored object, open for reading."""

from __future__ import annotations

import io
from asyncio import CancelledError
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, NoReturn, SupportsIndex, cast

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.adapters import adapt, is_from
from sqlalchemy_file.storage.common.attributes import meta_data_of
from sqlalchemy_file.storage.common.calling import is_native
from sqlalchemy_file.storage.common.protocol import (
    CHUNK_SIZE,
    AsyncStorage,
    HasDriverObject,
    HasPath,
    HasPublicURL,
    ObjectInfo,
    Storage,
    named,
)
from sqlalchemy_file.storage.readers import AsyncReader, FileReader, reader_for
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE, UNNAMED
from sqlalchemy_file.transfer import in_thread

_init = io.BufferedReader.__init__
_read = io.BufferedReader.read


class StoredFile(io.BufferedReader):
    """One object of a storage as a binary file, readable and seekable.

        with zipfile.ZipFile(document.content.file) as archive: ...

    Nothing is requested before it is needed, and nothing that ``info``, ``filename`` and
    ``content_type`` already contain. A missing object raises `ObjectNotFoundError` then. Reading in
    order is one request; after a seek only the needed ranges are requested. For version 0.7, a
    libcloud ``Object`` alone is accepted too.
    """

    _info: ObjectInfo | None = None
    _areader: AsyncReader | None = None

    def __init__(
        self,
        storage: Storage,
        key: str | None = None,
        storage_name: str | None = None,
        info: ObjectInfo | None = None,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> None:
        if key is None:
            storage, key = _place_of(storage)
        self._reader = reader = reader_for(storage, key, storage_name, info.size if info else None)
        _init(self, reader, reader.read_ahead)
        self._storage = storage
        self._storage_name = storage_name or ""
        self._key = key
        if info is not None:
            self._info = info
        self._filename = filename
        self._content_type = content_type

    def __del__(self) -> None:
        """Leave closing to the reader; there is nothing to write."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._key!r} in storage {self._storage_name!r}>"

    @property
    def storage_name(self) -> str | None:
        """The name of the storage, or None."""
        return self._storage_name or None

    @property
    def info(self) -> ObjectInfo:
        """The facts of the storage about the object, requested once."""
        if self._info is None:
            with named(self._storage_name):
                self._info = self._storage.stat(self._key)
        return self._info

    @property
    def filename(self) -> str:
        """The name of the file, or ``unnamed``."""
        return self._filename or self.info.attributes.filename or UNNAMED

    @filename.setter
    def filename(self, filename: str | None) -> None:
        self._filename = filename

    @property
    def content_type(self) -> str:
        """The content type, or ``application/octet-stream``."""
        return self._content_type or self.info.attributes.content_type or UNKNOWN_TYPE

    @content_type.setter
    def content_type(self, content_type: str | None) -> None:
        self._content_type = content_type

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._info.size if self._info else self._reader.size()

    @cached_property
    def object(self) -> Any:
        """The libcloud ``Object``, or an object with the same attributes."""
        with named(self._storage_name):
            if isinstance(self._storage, HasDriverObject):
                return self._storage.driver_object(self._key)
        return ObjectView(self)

    def get_cdn_url(self) -> str | None:
        """Return a path on this machine's disk, a permanent URL, or the driver's own URL.

        The URL of the S3 driver is signed and expires. None if there is none.
        """
        if isinstance(self._storage, HasPath):
            return str(self._storage.path(self._key))
        if isinstance(self._storage, HasPublicURL):
            address = self._storage.public_url(self._key)
            if address is not None:
                return address
        if not isinstance(self._storage, HasDriverObject):
            return None
        try:
            return str(self.object.get_cdn_url())
        except NotImplementedError:
            return None

    def read(self, n: int | None = -1, chunk_size: int | None = None) -> bytes:
        """Read ``n`` bytes, or all to the end. ``chunk_size`` has no effect; version 0.7 had it."""
        return _read(self, n)

    def stream(self, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """Yield the rest in chunks of ``chunk_size`` bytes."""
        while chunk := super().read(chunk_size):
            yield chunk

    async def aread(self, n: int | None = -1) -> bytes:
        """Read as `read` does, without blocking the event loop.

        A cancellation leaves the position of the file unchanged.
        """
        start = self.tell()
        if not is_native(self._storage):
            try:
                return await in_thread(partial(super().read, n))
            except CancelledError:
                with suppress(OSError, StorageError):  # the cancellation is raised
                    self.seek(start)
                raise
        data = await self._native_reader().read(start, None if n is None or n < 0 else n)
        self.seek(start + len(data))
        return data

    async def astream(self, chunk_size: int = CHUNK_SIZE) -> AsyncIterator[bytes]:
        """Yield as `stream` does, without blocking the event loop."""
        try:
            while chunk := await self.aread(chunk_size):
                yield chunk
        finally:
            if self._areader is not None:
                await self._areader.close()

    def _native_reader(self) -> AsyncReader:
        if self._areader is None:
            storage = cast("AsyncStorage", self._storage)
            self._areader = AsyncReader(storage, self._key, self._storage_name)
        return self._areader

    def require(self) -> StoredFile:
        """Return this file if its object exists, else raise `ObjectNotFoundError`."""
        if isinstance(self._reader, FileReader):
            self._reader.open()
        else:
            self.info  # noqa: B018  asks the storage
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"an open {type(self).__name__} can be neither pickled nor copied: "
            "keep the path, and open it again by StorageManager.get_file(path)"
        )


def _place_of(thing: Any) -> tuple[Storage, str]:
    """Return the storage and the key of a libcloud ``Object``."""
    if not is_from(thing, "libcloud.storage.base", "Object"):
        raise TypeError(
            "a StoredFile is of a storage and a key, or of an object of libcloud, not of "
            f"{type(thing).__name__} alone"
        )
    return adapt(thing.container), thing.name


class ObjectView:
    """The attributes of a libcloud ``Object``, for other storages."""

    def __init__(self, file: StoredFile) -> None:
        info, storage = file.info, file._storage
        self.name: str = info.key
        self.size: int = info.size
        self.hash: str | None = info.etag
        self.meta_data: dict[str, Any] = meta_data_of(info.attributes)
        self.extra: dict[str, Any] = {
            "content_type": info.attributes.content_type,
            "etag": info.etag,
        }
        # Programs look at this name to see that `get_cdn_url` is a path on disk.
        kind = "Local Storage" if isinstance(storage, HasPath) else type(storage).__name__
        self.driver: SimpleNamespace = SimpleNamespace(name=kind)
        self.container: SimpleNamespace = SimpleNamespace(name=file.storage_name or "")
        self._file = file

    def get_cdn_url(self) -> str | None:
        return self._file.get_cdn_url()

    def as_stream(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the whole object."""
        self._file.seek(0)
        yield from self._file.stream(chunk_size or CHUNK_SIZE)
