"""Objects in this process's memory, for tests and for trying things out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO

from sqlalchemy_file.exceptions import DeletionError, ObjectExistsError, ObjectNotFoundError
from sqlalchemy_file.storage.common.calling import sort_out
from sqlalchemy_file.storage.common.keys import check_key, is_listed
from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE, Attributes, ObjectInfo
from sqlalchemy_file.storage.common.streams import as_bytes


class MemoryStorage:
    """Objects in this process's memory, for tests."""

    concurrency = 1  # nothing is waited for

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, ObjectInfo]] = {}
        self._notes: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._objects)} objects>"

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        check_key(key)
        if exclusive:
            self._refuse_taken(key)
        chunks = iter(partial(content.read, CHUNK_SIZE), b"")
        data = b"".join(each if type(each) is bytes else as_bytes(each) for each in chunks)
        info = ObjectInfo(
            key=key,
            size=len(data),
            last_modified=datetime.now(UTC),
            etag=hashlib.sha256(data).hexdigest()[:32],
            attributes=attributes,
        )
        with self._lock:
            if exclusive:
                self._refuse_taken(key)
            self._objects[key] = data, info
        return info

    def stat(self, key: str) -> ObjectInfo:
        return self._found(key)[1]

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        data, info = self._found(key)
        end = info.size if end is None else min(end, info.size)
        while start < end:
            stop = min(start + CHUNK_SIZE, end)
            yield data[start:stop]
            start = stop

    def delete(self, keys: Sequence[str]) -> None:
        valid, failures = sort_out(keys, check_key)
        with self._lock:
            for key in valid:
                self._objects.pop(key, None)
        if failures:
            raise DeletionError(failures)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        check_key(new_key)
        data, info = self._found(key)
        copied = replace(info, key=new_key, last_modified=datetime.now(UTC))
        with self._lock:
            self._objects[new_key] = data, copied
        return copied

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        with self._lock:
            keys = [
                key for key in self._objects if key.startswith(prefix) and is_listed(key, prefix)
            ]
        for key in sorted(keys):
            found = self._objects.get(key)
            if key > (start_after or "") and found:
                yield replace(found[1], attributes=Attributes())

    def notes(self) -> dict[str, bytes]:
        """Return the notes of this storage."""
        return dict(self._notes)

    def add_note(self, name: str, content: bytes) -> None:
        """Add a note to this storage."""
        self._notes[name] = content

    def remove_note(self, name: str) -> None:
        """Remove a note; a missing one is no error."""
        self._notes.pop(name, None)

    def _found(self, key: str) -> tuple[bytes, ObjectInfo]:
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise ObjectNotFoundError(key=key) from None

    def _refuse_taken(self, key: str) -> None:
        if key in self._objects:
            raise ObjectExistsError(key=key)
