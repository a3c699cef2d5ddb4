"""Objects that belong to a file beside its own, as processors store them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import ObjectExistsError
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.stored_file import StoredFile
from tests.models import Paper
from tests.stores import add_memory, contents, keys


def save(session: Session, file: File) -> File:
    session.add(Paper(body=file))
    session.commit()
    return file


class Deriving(File):
    """Stores a further object when it is stored, as a processor would."""

    def apply_processors(self, processors: Any, upload_storage: str | None = None) -> None:
        self.derived(upload_storage)
        super().apply_processors(processors, upload_storage)

    def derived(self, upload_storage: str | None) -> None:
        raise NotImplementedError


def derive(session: Session, work: Callable[[File, str | None], None]) -> File:
    kind = type("Derived", (Deriving,), {"derived": work})
    file: File = kind(b"content", filename="a.txt")
    return save(session, file)


def test_store_content_adds_an_object_that_belongs_to_the_file(
    session: Session, storage: MemoryStorage
) -> None:
    opened: list[StoredFile] = []
    file = derive(
        session,
        lambda file, name: opened.append(
            file.store_content(
                io.BytesIO(b"derived"),
                name,
                extra={"meta_data": {"filename": "b.css", "content_type": "text/css"}},
            )
        ),
    )
    assert file["files"] == [file["path"], f"main/{opened[0].name}"]
    assert (opened[0].read(), opened[0].filename) == (b"derived", "b.css")
    assert storage.stat(opened[0].name).attributes.content_type == "text/css"
    assert contents(storage) == [b"content", b"derived"]


def test_a_further_object_may_have_a_key_of_its_own(
    session: Session, storage: MemoryStorage
) -> None:
    file = derive(session, lambda file, name: file.store_content(b"d", name, "derived/1") and None)
    assert file["files"][1] == "main/derived/1"
    assert "derived/1" in keys(storage)


def test_an_empty_key_stands_for_a_new_one(session: Session, storage: MemoryStorage) -> None:
    file = derive(session, lambda file, name: file.store_content(b"d", name, "") and None)
    assert contents(storage) == [b"content", b"d"]
    assert len(file["files"]) == 2


def test_a_further_object_never_takes_the_place_of_another(
    session: Session, storage: MemoryStorage
) -> None:
    with session.no_autoflush:
        storage.put("taken", io.BytesIO(b"somebody else's"), *_no_attributes())
        with pytest.raises(ObjectExistsError, match="taken"):
            derive(session, lambda file, name: file.store_content(b"d", name, "taken") and None)
    assert contents(storage) == [b"somebody else's"]


def _no_attributes() -> tuple[Any, ...]:
    from sqlalchemy_file.storage.common.protocol import Attributes

    return (Attributes(),)


def test_a_further_object_may_lie_in_another_storage(session: Session) -> None:
    other = add_memory("other")
    file = derive(session, lambda file, name: file.store_content(b"d", "other") and None)
    assert contents(other) == [b"d"]
    assert file["files"][1].startswith("other/")
    session.delete(session.scalars(select(Paper)).one())
    session.commit()
    assert keys(other) == []


def test_metadata_is_deprecated_and_means_extra(session: Session, storage: MemoryStorage) -> None:
    def work(file: File, name: str | None) -> None:
        with pytest.warns(DeprecationWarning, match="metadata attribute is deprecated"):
            file.store_content(b"d", name, "k", metadata={"filename": "d.txt", "by": "me"})

    derive(session, work)
    attributes = storage.stat("k").attributes
    assert (attributes.filename, attributes.metadata) == ("d.txt", {"by": "me"})


def test_further_content_must_be_given(session: Session, storage: MemoryStorage) -> None:
    with pytest.raises(ValueError, match="Either content or content_path must be specified"):
        derive(session, lambda file, name: file.store_content(None) and None)
    assert keys(storage) == []


def test_further_content_may_be_a_path(
    session: Session, storage: MemoryStorage, tmp_path: Any
) -> None:
    path = tmp_path / "more"
    path.write_bytes(b"more")
    derive(session, lambda file, name: file.store_content(None, content_path=str(path)) and None)
    assert contents(storage) == [b"content", b"more"]
