"""Records of files as plain data: their objects, and where they are; keys and checksums."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from copy import deepcopy
from itertools import compress
from typing import Any, BinaryIO, NamedTuple, Protocol

from uuid_utils import uuid7

from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.keys import Location
from sqlalchemy_file.storage.common.streams import is_in_memory, size_left
from sqlalchemy_file.storage.registry import Registered
from sqlalchemy_file.transfer import submit_cpu_bound

LARGE = 1024 * 1024
"""From how many bytes on another thread is worth its while, and how many may wait for it."""

_CONTAINERS = frozenset({dict, list})
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")

SET_BY_SAVING: frozenset[str] = frozenset({
    "saved", "path", "files", "file_id", "upload_storage", "url", "uploaded_at", "checksum",
    "thumbnail", "variants",
})  # fmt: skip
"""Keys that name objects, and what was found out while these were stored."""


def entries_in(raw: str | bytes) -> list[Any]:
    """Return what the text in a file column holds: records, unless another program wrote it.

    Raises `ValueError` for a text that is not JSON, or is nested too deeply to be read.
    """
    try:
        value = json.loads(raw)
    except RecursionError as error:
        raise ValueError("the value is nested too deeply") from error
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def paths_of(record: Mapping[str, Any], own: str | None = None) -> tuple[str, ...]:
    """Return the paths of every object that belongs to a record, its own first.

    ``own`` is what `own_path` has returned, if it has been asked already.

    They are `Location`s: the record itself names the storage of an object, even one that this
    process does not know. Rows of older versions may lack ``files``, or ``path``; what they do have
    is believed.
    """
    path = record.get("path")
    if (  # as in most records
        record.get("files") == [path]
        and not (record.get("thumbnail") or record.get("variants"))
        and isinstance(path, str)
        and path
    ):
        return (own or Location.of(path, record.get("upload_storage")),)
    return tuple(dict.fromkeys(_paths(record)))


def own_path(record: Mapping[str, Any]) -> str | None:
    """Return the path of the file itself, or None for a record that names no object."""
    path, storage_name = record.get("path"), record.get("upload_storage")
    if isinstance(path, str) and path:
        return Location.of(path, storage_name)
    files = record.get("files")
    if isinstance(files, list | tuple) and files and isinstance(files[0], str) and files[0]:
        return Location.of(files[0], storage_name)
    key = record.get("file_id")
    return Location.of(f"{storage_name}/{key}", storage_name) if storage_name and key else None


def sha256_of(record: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of an object's bytes in hexadecimal, if its record tells it."""
    found = _SHA256.fullmatch(str(record.get("checksum")))
    return None if found is None else found[1]


def entity_tag(storage: str, key: str, sha256: str | None) -> str:
    """Return a strong entity tag: of the bytes, else of the object, whose bytes never change."""
    known = hashlib.sha256(f"{storage}/{key}".encode()).hexdigest() if sha256 is None else sha256
    digest = base64.urlsafe_b64encode(bytes.fromhex(known)).rstrip(b"=")
    return f'"{digest.decode("ascii")}"'


def _paths(record: Mapping[str, Any]) -> Iterator[str]:
    own = own_path(record)
    if own is not None:
        yield own
    derived = {
        each["path"]: Location.of(each["path"], each.get("upload_storage"))
        for each in _derived(record)
        if isinstance(each.get("path"), str) and each["path"]
    }
    files, storage_name = record.get("files"), record.get("upload_storage")
    if isinstance(files, list | tuple):
        for path in files:
            if isinstance(path, str) and path:
                yield derived.get(path) or Location.of(path, storage_name)
    yield from derived.values()


def _derived(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if isinstance(record.get("thumbnail"), Mapping):
        yield record["thumbnail"]
    variants = record.get("variants")
    if isinstance(variants, Mapping):
        yield from (variant for variant in variants.values() if isinstance(variant, Mapping))


def relocated(
    record: Mapping[str, Any],
    new_paths: Mapping[str, str],
    url_of: Callable[[str], str | None],
) -> dict[str, Any]:
    """Return a record with ``new_paths`` in place of its own paths and those of its variants."""
    moved = deepcopy(dict(record))
    moved["files"] = [new_paths[path] for path in paths_of(record)]
    for part in (moved, *_derived(moved)):
        if part.get("path") in new_paths and isinstance(part, dict):
            part["path"] = new_paths[part["path"]]
            part["file_id"] = part["path"].removeprefix(f"{part.get('upload_storage')}/")
            part["url"] = url_of(part["path"])
    return moved


def described_extra(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``extra`` as rows keep it: with the name and type that the object got."""
    extra, content_type = record.get("extra"), record["content_type"]
    described = {"filename": record["filename"], "content_type": content_type}
    if not extra:
        return {"content_type": content_type, "meta_data": described}
    meta_data = {**described, **(extra.get("meta_data") or {})}
    return {"content_type": content_type, **extra, "meta_data": meta_data}


def snapshot(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with lists and dicts of its own, one level deep."""
    own = dict(record)
    for key in compress(record, map(_CONTAINERS.__contains__, map(type, record.values()))):
        own[key] = own[key].copy()
    return own


def without_objects(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an external record that a new file may have.

    The record of another file, or a client's JSON, may name objects of other rows.
    """
    return {key: value for key, value in record.items() if key not in SET_BY_SAVING}


# --- objects


class StoredObject(NamedTuple):
    """One object that was just stored. ``size`` is the number of bytes that were read."""

    key: str
    path: str
    size: int
    checksum: str
    registered: Registered


def fresh_key(neighbour: str = "", epoch: int | None = None) -> str:
    """Return a new key, a UUIDv7, in the folder of another key (or of a prefix).

    Its last eight digits are the epoch of the ledger that stores it, else that of its neighbour.
    """
    key = str(uuid7())
    if not neighbour and epoch is None:
        return key
    folder, slash, name = neighbour.rpartition("/")
    if epoch is None and name:
        epoch = epoch_of(name)
    return f"{folder}{slash}{key if epoch is None else f'{key[:-8]}{epoch:08x}'}"


def epoch_of(key: str) -> int | None:
    """Return the epoch in which an object was stored, if its key tells.

    Keys made without a ledger end in any digits: what is no epoch of a ledger says nothing.
    """
    found = _WITH_EPOCH.search(key)
    return None if found is None else int(found[1], 16)


KEY_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([47])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""The id that this package, or 0.7, has made for a key, with its version."""
_WITH_EPOCH = re.compile(
    r"(?:^|/)[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{4}([0-9a-f]{8})[^/]*$"
)


def public_url(path: str) -> str | None:
    """Return the permanent public URL of an object, if it has one."""
    return StorageManager.public_url(*StorageManager.resolve(path))


# --- checksums


class Hash(Protocol):
    """A hash of `hashlib`, or what goes before one."""

    def update(self, data: Any, /) -> None: ...

    def hexdigest(self) -> str: ...


class HashBehind:
    """A hash that is computed in another thread, while the next bytes are written.

    Few of them wait. That bounds memory, and they are still in the processor's cache.
    """

    def __init__(self, inner: Hash) -> None:
        self._inner = inner
        self._waiting: deque[bytes] = deque()
        self._job: Future[None] | None = None

    def update(self, data: Any, /) -> None:
        # A stream that lends its own buffer may overwrite it before it is hashed.
        self._waiting.append(data if type(data) is bytes else bytes(data))
        # One that is about to end may leave a chunk: the next one finds it first in the queue.
        if self._job is None or self._job.done():
            self._join()
            self._job = submit_cpu_bound(self._work)
        elif sum(map(len, self._waiting)) > LARGE:
            self._join()

    def hexdigest(self) -> str:
        self._join()
        self._work()
        return self._inner.hexdigest()

    def _work(self) -> None:
        while self._waiting:
            self._inner.update(self._waiting[0])
            self._waiting.popleft()  # only now, so that it counts as waiting until then

    def _join(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.result()


class Measured(io.RawIOBase):
    """Reads a stream through, counting its bytes and hashing them on the way."""

    size: int = 0
    error: BaseException | None = None
    """What the stream itself raised, so that it is not taken for a fault of the storage."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash: Hash = hashlib.sha256()

    @property
    def checksum(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def readable(self) -> bool:
        return True

    def size_left(self) -> int | None:
        """Return how many bytes there are still to be read, where that is known."""
        return size_left(self._stream)

    def is_in_memory(self) -> bool:
        """Return True if reading takes no time."""
        return is_in_memory(self._stream)

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            chunk = self._stream.read(-1 if size is None else size)
        except BaseException as error:
            self.error = error
            raise
        if chunk != b"":  # None is an error: a stream that has no bytes yet is not at its end
            self._hash.update(chunk)
            self.size += len(chunk)
            if self.size >= LARGE and not isinstance(self._hash, HashBehind):
                self._hash = HashBehind(self._hash)
        return chunk

    def readall(self) -> bytes:
        return self.read(-1)

    def readinto(self, buffer: Any, /) -> int:
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
