"""A program written for release 0.7.0 runs unchanged."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
from libcloud.storage.drivers.dummy import DummyStorageDriver
from libcloud.storage.types import ObjectDoesNotExistError
from sqlalchemy import Column, Integer, select
from sqlalchemy.orm import Session
from starlette.responses import FileResponse

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import ContentTypeValidationError, ValidationError
from sqlalchemy_file.helpers import convert_size, get_content_from_file_obj
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.processors import Processor, ThumbnailGenerator
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.stored_file import StoredFile
from sqlalchemy_file.validators import ContentTypeValidator, SizeValidator, Validator
from tests.compatibility.old_release import (
    Base,
    Document,
    names,
)


class WordCounter(Validator):
    """Adds a key, as validators do."""

    def process(self, file: File, attr_key: str) -> None:
        file.original_content.seek(0)
        file.words = len(file.original_content.read().split())
        file.original_content.seek(0)


class Shouter(Processor):
    """Reads what was just stored, and stores a further object."""

    def process(self, file: File, upload_storage: str | None = None) -> None:
        loud = file.file.read().upper()
        assert file.saved
        stored = file.store_content(
            io.BytesIO(loud),
            upload_storage,
            extra={"meta_data": {"filename": f"{file.filename}!", "content_type": "text/x-loud"}},
        )
        file.update({"loud": {"path": f"{upload_storage}/{stored.name}", "name": stored.filename}})


class Stamped(File):
    """A subclass with the signatures that 0.7.0 had."""

    def save_to_storage(self, upload_storage: str | None = None) -> None:
        self.stamp = "before"
        super().save_to_storage(upload_storage)

    def apply_processors(self, processors: Any, upload_storage: str | None = None) -> None:
        super().apply_processors(processors, upload_storage)
        self.stamp = f"{self.stamp}, after"


class Article(Base):  # type: ignore[misc,valid-type]
    __tablename__ = "article"
    id = Column(Integer, primary_key=True)
    body = Column(
        FileField(
            upload_type=Stamped,
            validators=[SizeValidator("1k"), WordCounter(), ContentTypeValidator(["text/plain"])],
            processors=[Shouter()],
        )
    )


def test_the_storages_own_pages_program_runs(session: Session, folder: Path) -> None:
    article = Article(body=Stamped("many small words", filename="a.txt"))
    session.add(article)
    session.commit()
    assert article.body["words"] == 3
    assert article.body["stamp"] == "before, after"
    loud = StorageManager.get_file(article.body["loud"]["path"])
    assert (loud.read(), loud.filename) == (b"MANY SMALL WORDS", "a.txt!")
    assert loud.content_type == "text/x-loud"
    assert article.body["files"] == [article.body["path"], article.body["loud"]["path"]]
    session.delete(article)
    session.commit()
    assert names(folder) == set()


def test_validators_refuse_as_before(session: Session, folder: Path) -> None:
    session.add(Article(body=Stamped(b"\x89PNG\r\n\x1a\n" + b"\0" * 20, content_type="text/plain")))
    with pytest.raises(ContentTypeValidationError) as caught:
        session.commit()
    session.rollback()
    assert caught.value.key == "body"
    session.add(Article(body="x" * 1001))
    with pytest.raises(ValidationError, match="Allowed maximum size is 1k") as refused:
        session.commit()
    assert (refused.value.key, names(folder)) == ("body", set())


def test_a_file_saved_by_hand_is_saved(folder: Path) -> None:
    file = File(b"direct", filename="x.txt")
    file.save_to_storage("att")
    assert file.saved
    assert file.file.read() == b"direct"
    file.apply_processors([Shouter()], "att")
    assert StorageManager.get_file(file["loud"]["path"]).read() == b"DIRECT"


def test_the_manager_stores_and_deletes_by_hand(folder: Path) -> None:
    extra = {"meta_data": {"filename": "q.txt", "content_type": "text/plain"}}
    stored = StorageManager.save_file("by-hand", io.BytesIO(b"abc"), extra=extra)
    assert isinstance(stored, StoredFile)
    assert (stored.name, stored.filename, stored.content_type) == ("by-hand", "q.txt", "text/plain")
    assert StorageManager.get_file("att/by-hand").object.meta_data["filename"] == "q.txt"
    assert StorageManager.delete_file("att/by-hand") is True
    assert names(folder) == set()
    with pytest.raises(ObjectDoesNotExistError):
        StorageManager.get_file("att/by-hand")


def test_lists_keep_what_was_taken_out(old: Document) -> None:
    taken = old.pages.pop(0)
    assert type(old.pages) is MutableList
    assert old.pages._removed == [taken]


def test_what_is_missing_or_closed_raises_as_before(old: Document) -> None:
    with pytest.raises(AttributeError):
        old.content.nothing  # noqa: B018
    with pytest.raises(TypeError, match="Already saved files are immutable"):
        old.content.filename = "x"
    with pytest.raises(RuntimeError, match="Only available for saved file"):
        File(b"x").file  # noqa: B018
    with pytest.raises(RuntimeError, match="nope storage has not been added"):
        StorageManager.get("nope")
    StorageManager._clear()
    with pytest.raises(RuntimeError, match="No default storage has been added"):
        StorageManager.get_default()


def test_the_small_functions_do_as_before() -> None:
    assert [convert_size(size) for size in ("2M", "2Mi", "3k", "3Ki", 5)] == [
        *(2_000_000, 2_097_152, 3000, 3072, 5)
    ]
    assert get_content_from_file_obj("abc").read() == b"abc"
    assert StorageManager._get_storage_and_file_id("a/b/c") == ("a/b", "c")
    assert vars(ThumbnailGenerator())["thumbnail_size"] == (128, 128)


# --- serving, as starlette-admin does


def test_a_local_object_is_served_by_its_path_on_disk(old: Document) -> None:
    file = StorageManager.get_file(old.content["path"])
    assert file.object.driver.name == "Local Storage"
    address = file.get_cdn_url()
    assert address is not None
    assert Path(address).read_bytes() == b"hello"
    response = FileResponse(address, media_type=file.content_type, filename="a.txt")
    assert response.headers["content-type"].startswith("text/plain")


def test_an_object_elsewhere_is_served_as_a_stream(session: Session) -> None:
    StorageManager.add_storage("elsewhere", "memory://")
    document = Document(content=File(b"hello", filename="a.txt"))
    session.add(document)
    session.commit()
    file = StorageManager.get_file(document.content["path"])
    assert file.object.driver.name != "Local Storage"
    assert file.get_cdn_url() is None
    assert b"".join(file.object.as_stream()) == b"hello"


def test_libclouds_dummy_driver_serves_test_suites(session: Session) -> None:
    driver = DummyStorageDriver("key", "secret")
    StorageManager.add_storage("dummy", driver.create_container("dummy"))
    document = Document(content=File(b"hello", filename="a.txt"))
    session.add(document)
    session.commit()
    (stored,) = driver.list_container_objects(StorageManager.get())
    assert document.content["path"] == f"dummy/{stored.name}"
    session.delete(document)
    session.commit()
    assert driver.list_container_objects(StorageManager.get()) == []


def test_no_warning_is_raised_on_the_way(old: Document, session: Session, folder: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old.content = File(b"new", filename="new.txt")
        session.commit()
        assert session.scalars(select(Document.content)).all()
    assert [str(warning.message) for warning in caught] == []
