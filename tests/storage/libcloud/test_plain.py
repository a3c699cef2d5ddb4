"""Containers of drivers that know little."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver

from sqlalchemy_file.storage.common.attributes import date_of
from sqlalchemy_file.storage.libcloud import LibcloudStorage
from tests.storage.helpers import put, read


def test_an_object_that_is_copied_to_itself_stays(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    storage = LibcloudStorage(LocalStorageDriver(str(tmp_path)).get_container("files"))
    put(storage, "key", b"bytes")
    assert storage.copy("key", "key").size == 5
    assert read(storage, "key") == b"bytes"


def test_a_driver_without_uploads_in_parts_has_none_to_abort() -> None:
    storage = LibcloudStorage(DummyStorageDriver("key", "secret").create_container("files"))
    assert list(storage.uploads()) == []
    assert not storage.lists_from_key


def test_the_dummy_driver_keeps_metadata_under_the_name_that_it_uses_itself() -> None:
    storage = LibcloudStorage(DummyStorageDriver("key", "secret").create_container("files"))
    put(storage, "key", metadata={"cdn_url": "mine", "page": "1"})
    assert storage.stat("key").attributes.metadata == {"cdn_url": "mine", "page": "1"}
    put(storage, "plain")
    assert storage.stat("plain").attributes.metadata == {}


NOON = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (NOON, NOON),
        ("2026-03-01T12:30:45+00:00", NOON),
        ("Sun, 01 Mar 2026 12:30:45 GMT", NOON),
        ("yesterday", None),
        (None, None),
    ],
)
def test_dates_are_read_as_drivers_tell_them(told: object, expected: datetime | None) -> None:
    assert date_of(told) == expected
