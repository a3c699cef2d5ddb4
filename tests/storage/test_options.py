"""Options of a driver, and headers, that a storage carries out or refuses."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from libcloud.common.types import LibcloudError
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.drivers.local import LocalStorageDriver
from obstore.store import LocalStore, MemoryStore
from s3fs import S3FileSystem
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage import Attributes, LocalStorage, Storage, adapt
from sqlalchemy_file.validators import ContentTypeValidator
from tests.databases import tables_on
from tests.storage.helpers import keys, put


@pytest.fixture(params=["folder", "obstore", "obstore folder", "fsspec"])
def without_options(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return LocalStorage(tmp_path)
    if request.param == "fsspec":
        return adapt(MemoryFileSystem(), root=f"/options{tmp_path}")
    return adapt(MemoryStore() if request.param == "obstore" else LocalStore(tmp_path))


@pytest.mark.parametrize("extra", [{"acl": "public-read"}, {"ACL": "private"}, {"unknown": None}])
def test_an_option_that_a_storage_cannot_carry_out_is_refused_before_anything_is_stored(
    without_options: Storage, extra: dict[str, Any]
) -> None:
    name = next(iter(extra))
    with pytest.raises(StorageError, match=f"does not support '{name}' of 'extra'"):
        put(without_options, "key", extra=extra)
    assert keys(without_options) == []


def test_the_type_and_the_metadata_are_no_options(without_options: Storage) -> None:
    StorageManager.add_storage("main", without_options)
    extra = {"content_type": "text/plain", "meta_data": {"pages": "3"}}
    StorageManager.save_file("key", b"bytes", extra=extra)
    without_options.delete(["key"])


def test_libclouds_own_drivers_pass_over_options_of_others(tmp_path: Path) -> None:
    (tmp_path / "container").mkdir()
    for container in (
        LocalStorageDriver(str(tmp_path)).get_container("container"),
        DummyStorageDriver("key", "secret").create_container("container"),
    ):
        put(adapt(container), "key", extra={"acl": "private", "unknown": 1})


def test_a_bucket_of_fsspec_takes_no_options_and_names_a_better_way(
    s3_filesystem: S3FileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="sqlalchemy_file"):
        storage = adapt(s3_filesystem, root="bucket")
    assert "s3://, with the extra sqlalchemy-file[obstore], does better" in caplog.text
    with pytest.raises(StorageError, match="does not support 'acl'"):
        put(storage, "key", extra={"acl": "private"})


# --- metadata through libcloud's own methods


class RefusingContainer:
    """A driver that fails as servers do, wherever metadata come along."""

    def __init__(self, error: Exception) -> None:
        driver = DummyStorageDriver("key", "secret")
        self.container = driver.create_container("container")
        self.uploads: list[dict[str, Any]] = []
        self._error = error
        self._real = driver.upload_object_via_stream
        driver.upload_object_via_stream = self._upload

    def _upload(
        self, iterator: Any, container: Any, object_name: str, extra: Any = None, **_: Any
    ) -> Any:
        self.uploads.append(extra)
        if "meta_data" in extra:
            raise self._error
        return self._real(iterator.read(), container, object_name, extra)


@pytest.fixture
def as_any_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let libcloud's Dummy driver be used by libcloud's own methods, as any other one."""
    from sqlalchemy_file.storage.libcloud import drivers

    monkeypatch.setattr(drivers, "DummyStorageDriver", type("NoDriver", (), {}))


@pytest.mark.usefixtures("as_any_driver")
@pytest.mark.parametrize(
    "message",
    [
        "Unexpected status code: 503",
        "status_code=503",
        "Unexpected status code, status=500, body: status 400",
        "Unknown error. Status code: 429",
        "Unexpected status code: 403",
        "Unexpected status code: 507",
    ],
)
def test_a_server_that_fails_does_not_lose_the_metadata(message: str) -> None:
    refusing = RefusingContainer(LibcloudError(message))
    storage = adapt(refusing.container)
    with pytest.raises(StorageError, match=message[:12]):
        put(storage, "key", filename="name")
    assert len(refusing.uploads) == 1
    assert keys(storage) == []


@pytest.mark.usefixtures("as_any_driver")
@pytest.mark.parametrize(
    "error",
    [
        LibcloudError("Unexpected status code: 400"),
        LibcloudError("status_code=501"),
        LibcloudError("no metadata here"),
        NotImplementedError(),
    ],
)
def test_a_storage_that_knows_no_metadata_is_not_said_to_keep_them(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    storage = adapt(RefusingContainer(error).container)
    info = put(storage, "key", filename="name", content_type="text/plain", metadata={"a": "b"})
    assert info.attributes == Attributes(content_type="text/plain")
    assert "'key' is stored without its name and metadata" in caplog.text


# --- contents that come compressed


class Base(DeclarativeBase):
    pass


class Page(Base):
    __tablename__ = "compressed_page"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(
        FileField(
            headers={"Content-Encoding": "gzip"},
            validators=[ContentTypeValidator(["text/css", "text/html", "image/svg+xml"])],
        )
    )
    other: Mapped[File | None] = mapped_column(FileField())


@pytest.mark.parametrize(
    ("given", "content_type"),
    [
        ({"content_type": "text/css"}, "text/css"),
        ({"content_type": "text/html", "filename": "page.gz"}, "text/html"),
        ({"filename": "style.css"}, "text/css"),
        ({"filename": "style.css.gz"}, "text/css"),
        ({"filename": "picture.svg", "content_type": "image/svg+xml"}, "image/svg+xml"),
    ],
)
def test_a_content_that_says_it_is_compressed_has_the_type_of_what_is_inside(
    given: dict[str, str], content_type: str
) -> None:
    StorageManager.add_storage("main", "memory://")
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    data = gzip.compress(b"body { color: red }")
    with Session(engine) as session:
        page = Page(body=File(data, **given))
        page.other = File(data, **given, headers={"content-encoding": "br"})
        session.add(page)
        session.commit()
        for file in (page.body, page.other):
            assert file is not None
            assert file["content_type"] == content_type
            assert file.file.content_type == content_type
            assert file.file.info.attributes.content_type == content_type


def test_without_the_header_the_bytes_are_believed() -> None:
    StorageManager.add_storage("main", "memory://")
    with tables_on("sqlite://", Base.metadata) as engine, Session(engine) as session:
        for headers in (None, {}, {"Content-Encoding": "identity"}, {"Cache-Control": "no-store"}):
            page = Page(
                other=File(gzip.compress(b"body"), content_type="text/css", headers=headers)
            )
            session.add(page)
            session.commit()
            assert page.other is not None
            assert page.other["content_type"] == "application/gzip"
