"""Rows and files that release 0.7.0 left load, open and are deleted completely."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from sqlalchemy_file import File
from sqlalchemy_file.storage import StorageManager
from tests.compatibility.old_release import (
    BODY,
    COVER,
    COVER_RECORD,
    OBJECTS,
    THUMB,
    TWO,
    Document,
    names,
)


def test_old_rows_load_and_open(old: Document, session: Session) -> None:
    assert (old.content.filename, old.content.size) == ("../h\u00e9llo.txt", 5)
    assert old.content.pages == 3
    assert old.content.file.read() == b"hello"
    assert old.content.file.filename == "../h\u00e9llo.txt"
    assert StorageManager.get_file(old.content.path).content_type == "text/plain"
    assert [page.file.read() for page in old.pages] == [b"one", b"two"]
    thumbnail = StorageManager.get_file(old.cover["thumbnail"]["path"])
    assert (thumbnail.read(), thumbnail.filename) == (OBJECTS[THUMB][0], "c.png.thumbnail8x4.png")
    empty = session.get_one(Document, 2)
    assert (empty.content, empty.cover, empty.pages) == (None, None, None)


def test_old_rows_are_deleted_completely(old: Document, session: Session, folder: Path) -> None:
    session.delete(old)
    session.delete(session.get_one(Document, 2))
    session.commit()
    assert names(folder) == set()


def test_old_rows_are_deleted_completely_in_bulk(
    old: Document, session: Session, folder: Path
) -> None:
    session.execute(delete(Document))
    session.commit()
    assert names(folder) == set()


def test_an_old_file_is_replaced(old: Document, session: Session, folder: Path) -> None:
    old.content = File(b"new", filename="new.txt")
    old.cover = None
    old.pages.pop(0)
    session.commit()
    key = old.content["file_id"]
    assert names(folder) == {key, f"{key}.metadata.json", TWO, f"{TWO}.metadata.json"}
    assert old.content.file.read() == b"new"


def test_an_old_record_is_not_rewritten_by_a_change_beside_it(
    old: Document, session: Session
) -> None:
    old.content = None
    session.commit()
    raw = session.scalar(text("SELECT cover FROM document WHERE id = 1"))
    assert json.loads(raw) == COVER_RECORD


def test_an_old_file_copied_to_another_row_outlives_its_first(
    old: Document, session: Session
) -> None:
    session.add(Document(id=3, cover=old.cover))
    session.commit()
    session.delete(old)
    session.commit()
    copy = session.get_one(Document, 3).cover
    assert copy.file.read() == OBJECTS[COVER][0]
    assert StorageManager.get_file(copy["thumbnail"]["path"]).read() == OBJECTS[THUMB][0]


LACKING: list[tuple[str, ...]] = [
    *[(key,) for key in COVER_RECORD],
    ("saved", "path", "url", "uploaded_at", "extra", "content_path"),
    ("files", "saved", "thumbnail"),
    ("path", "files", "saved"),
    ("file_id", "upload_storage", "saved"),
]


@pytest.mark.parametrize("lacking", LACKING, ids=" ".join)
def test_a_row_that_lacks_keys_is_opened_and_deleted(
    session: Session, folder: Path, lacking: tuple[str, ...]
) -> None:
    record = {key: value for key, value in COVER_RECORD.items() if key not in lacking}
    left = {COVER, THUMB} if {"files", "thumbnail"} - set(lacking) else {COVER}
    for key in left:
        (folder / key).write_bytes(OBJECTS[key][0])
        (folder / f"{key}.metadata.json").write_text(OBJECTS[key][1])
    query = text("INSERT INTO document (id, cover) VALUES (1, :cover)")
    session.execute(query, {"cover": json.dumps(record)})
    session.commit()
    document = session.get_one(Document, 1)
    assert document.cover.saved
    assert document.cover.file.read() == OBJECTS[COVER][0]
    with pytest.raises(TypeError, match="immutable"):
        document.cover.width = 1
    session.delete(document)
    session.commit()
    assert names(folder) == set()


def test_a_row_that_lacks_keys_keeps_its_file_when_it_is_assigned_again(
    session: Session, folder: Path
) -> None:
    (folder / BODY).write_bytes(b"hello")
    record = json.dumps({"upload_storage": "att", "file_id": BODY, "filename": "a.txt"})
    session.execute(text("INSERT INTO document (id, content) VALUES (1, :r)"), {"r": record})
    document = session.get_one(Document, 1)
    session.add(Document(id=2, content=document.content))
    document.content = document.content
    session.commit()
    session.delete(document)
    session.commit()
    assert session.get_one(Document, 2).content.file.read() == b"hello"
