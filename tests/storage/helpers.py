"""What several tests of storages do."""

from __future__ import annotations

import io
from pathlib import Path

from sqlalchemy_file.storage import Attributes, ObjectInfo, Storage

PLAIN = Attributes()


def put(storage: Storage, key: str, data: bytes = b"bytes", **attributes: object) -> ObjectInfo:
    return storage.put(key, io.BytesIO(data), Attributes(**attributes))  # type: ignore[arg-type]


def read(storage: Storage, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(storage.stream(key, start, end))


def keys(storage: Storage) -> list[str]:
    return [info.key for info in storage.list()]


def names(folder: Path) -> list[str]:
    """Return everything below a folder, files and folders."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
