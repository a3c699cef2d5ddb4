"""Filesystems describe files in their own ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from sqlalchemy_file.storage import FsspecStorage
from sqlalchemy_file.storage.fsspec.folders import info_of
from tests.storage.helpers import keys, names, put, read

NOON = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
DATES: dict[str, tuple[dict[str, Any], datetime | None]] = {
    "seconds": ({"mtime": NOON.timestamp()}, NOON),
    "a date": ({"LastModified": NOON}, NOON),
    "a date of another zone": (
        {"updated": NOON.astimezone(timezone(timedelta(hours=2)))},
        NOON,
    ),
    "a date without a zone": ({"created": NOON.replace(tzinfo=None)}, NOON),
    "text": ({"last_modified": "2026-03-01T12:30:45+00:00"}, NOON),
    "text of no date": ({"modify": "yesterday"}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("name", DATES)
def test_the_time_of_a_file_is_read(name: str) -> None:
    entry, expected = DATES[name]
    assert info_of("key", entry).last_modified == expected


def test_size_and_etag_of_a_file_are_read() -> None:
    info = info_of("key", {"size": 5, "ETag": '"abc"'})
    assert (info.key, info.size, info.etag) == ("key", 5, "abc")
    assert info_of("key", {"size": None}).size == 0


def test_a_filesystem_that_cannot_copy_gets_the_bytes_again(tmp_path: Path) -> None:
    class Plain(LocalFileSystem):
        cachable = False

        def cp_file(self, path1: str, path2: str, **options: Any) -> None:
            raise NotImplementedError

    storage = FsspecStorage(Plain(), root=str(tmp_path))
    put(storage, "key", b"bytes")
    assert storage.copy("key", "copy").size == 5
    assert read(storage, "copy") == b"bytes"
    assert storage.copy("key", "key").size == 5
    assert names(tmp_path) == ["copy", "key"]


def test_a_prefix_that_no_key_has_lists_nothing(tmp_path: Path) -> None:
    storage = FsspecStorage(LocalFileSystem(), root=str(tmp_path / "root"))
    put(storage, "key")
    assert [info.key for info in storage.list("../")] == []
    assert keys(storage) == ["key"]
