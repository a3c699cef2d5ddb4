"""The protocol of storages, which keep bytes and attributes under a key.

Every storage has the six methods of `Storage`. Further capabilities are a protocol each; test for
them with ``isinstance``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from sqlalchemy_file.exceptions import StorageError

CHUNK_SIZE = 256 * 1024
"""How many bytes are moved at a time, where nothing else decides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """The attributes of an object, as far as the storage keeps them.

    ``metadata`` are the user's names and values. ``extra`` are options of one driver, such as
    ``acl``. ``headers`` are sent with the request unchanged.
    """

    filename: str | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One stored object: its key, its size in bytes, and what the storage reports."""

    key: str
    size: int
    last_modified: datetime | None = None
    etag: str | None = None
    attributes: Attributes = field(default_factory=Attributes)


@runtime_checkable
class Storage(Protocol):
    """A storage keeps bytes and attributes under a key.

    Every error of a storage is a `StorageError`, with the original as its cause; a missing object
    is `ObjectNotFoundError`. All methods may be called from several threads at once.
    """

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        """Store what ``content`` yields from its current position.

        The object appears under its key complete or not at all. With ``exclusive``, a key that is
        taken raises `ObjectExistsError`, and nothing is written. Errors of ``content`` pass through
        unchanged. The returned size is that in the storage, if that needs no further request; a
        storage with ``verify = True`` is asked with `stat` as well.
        """
        ...

    def stat(self, key: str) -> ObjectInfo:
        """Return the facts about one object, without reading it."""
        ...

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to, not including, ``end``; never an empty chunk.

        A range past the end of the object yields nothing. A missing object raises at the first
        ``next`` at the latest.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete several objects. A missing one is no error; failures raise `DeletionError`."""
        ...

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        """Copy an object with its attributes, inside the storage if possible."""
        ...

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects whose key starts with ``prefix`` (any characters), in key order."""
        ...


@runtime_checkable
class AsyncStorage(Protocol):
    """A storage with native coroutines: the six methods with an ``a`` in front.

    A cancelled coroutine ends when nothing is in progress any more. The object is then complete or
    missing; with ``exclusive`` it is missing.
    """

    async def aput(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo: ...

    async def astat(self, key: str) -> ObjectInfo: ...

    def astream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]: ...

    async def adelete(self, keys: Sequence[str]) -> None: ...

    async def acopy(self, key: str, new_key: str) -> ObjectInfo: ...

    def alist(
        self, prefix: str = "", start_after: str | None = None
    ) -> AsyncIterator[ObjectInfo]: ...


@runtime_checkable
class HasPath(Protocol):
    """A storage whose objects are files on this machine's disk."""

    def path(self, key: str) -> Path:
        """Return the path of an object, which need not exist."""
        ...


@runtime_checkable
class HasPublicURL(Protocol):
    """A storage whose objects may have permanent public URLs."""

    def public_url(self, key: str) -> str | None:
        """Return the URL, or None for private objects; never a URL that expires."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpload:
    """An upload that is not complete: a multipart upload, or a hidden temporary file."""

    key: str
    id: str
    begun_at: datetime


@runtime_checkable
class HasUploads(Protocol):
    """A storage that can list and abort multipart uploads that were never completed."""

    def uploads(self) -> Iterator[PendingUpload]: ...

    def abort_upload(self, upload: PendingUpload) -> None:
        """Delete the parts of an upload; a missing one is no error."""
        ...


@runtime_checkable
class HasSignedURL(Protocol):
    """A storage that can create presigned URLs."""

    def signed_url(
        self, key: str, *, expires: timedelta | float, method: str = "GET"
    ) -> str | None:
        """Return a URL for one HTTP method, or None if this storage cannot sign.

        ``expires`` is its validity; a number means seconds. Raises `ValueError` if the service does
        not allow that long. Nothing is requested, and the object need not exist.
        """
        ...


@runtime_checkable
class HasSignedDownload(Protocol):
    """A storage that can sign the headers of a download."""

    def signed_download(
        self, key: str, *, expires: timedelta | float, content_type: str, disposition: str
    ) -> str | None:
        """Return a URL for a GET whose answer has this ``Content-Type`` and disposition.

        If the service cannot sign these, the answer has those with which the object was stored.
        None if this storage cannot sign.
        """
        ...


@runtime_checkable
class HasNotes(Protocol):
    """A storage that keeps notes: small texts about itself, apart from its objects.

    The signatures of ledgers are notes.
    """

    def notes(self) -> Mapping[str, bytes]:
        """Return all notes by their names."""
        ...

    def add_note(self, name: str, content: bytes) -> None: ...

    def remove_note(self, name: str) -> None:
        """Remove a note; a missing one is no error."""
        ...


@runtime_checkable
class HasDriverObject(Protocol):
    """A storage that can return the object of its own library (libcloud's ``Object``)."""

    def driver_object(self, key: str) -> Any: ...


class named:  # noqa: N801  contextlib's would cost three times as much
    """A context manager that adds the name of the storage to errors."""

    __slots__ = ("_storage_name",)

    def __init__(self, storage_name: str) -> None:
        self._storage_name = storage_name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StorageError):
            error.storage = error.storage or self._storage_name
