"""A file, before it is stored and after: its record, what may change, and its duplicates."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import ContentSpentError
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.stored_file import StoredFile
from tests.stores import contents, keys, sqlite

KEYS = {
    "filename",
    "content_type",
    "declared_content_type",
    "size",
    "checksum",
    "files",
    "file_id",
    "upload_storage",
    "path",
    "url",
    "saved",
    "uploaded_at",
    "extra",
    "headers",
    "content_path",
}


class Base(DeclarativeBase):
    pass


class Scan(File):
    """A class of a program's own."""

    @property
    def label(self) -> str:
        return f"scan of {self.filename}"


class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(extra={"acl": "private"}))
    scan: Mapped[Scan | None] = mapped_column(FileField(upload_type=Scan))
    scans: Mapped[list[Scan] | None] = mapped_column(FileField(upload_type=Scan, multiple=True))


@pytest.fixture
def saved(session: Session) -> File:
    return save(session, File(b"content", filename="a.txt", pages=3))


def save(session: Session, file: File) -> File:
    session.add(Paper(body=file))
    session.commit()
    return file


# --- before


def test_a_file_describes_its_content_before_it_is_stored() -> None:
    file = File(b"content", filename="a.txt", content_type="text/css; charset=utf-8", pages=3)
    assert dict(file) == {
        "filename": "a.txt",
        "content_type": "text/css",
        "declared_content_type": "text/css",
        "size": 7,
        "files": [],
        "content_path": None,
        "pages": 3,
    }
    assert not file.saved


def test_a_file_that_nothing_names_is_unnamed() -> None:
    assert File(b"content").filename == "unnamed"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.png", "photo.png"),
        ("a\r\nX-Evil: 1.txt", "aX-Evil: 1.txt"),
        ("evil\u202efdp.exe", "evilfdp.exe"),
        ("x" * 300 + ".tar.gz", "x" * 248 + ".tar.gz"),
        ("..", "unnamed"),
        ("日本語.txt", "日本語.txt"),
    ],
)
def test_names_are_cleaned(raw: str, clean: str) -> None:
    assert File(b"", filename=raw).filename == clean


def test_the_name_of_a_handle_is_cleaned_to_its_last_part(tmp_path: Any) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(b"content")
    with path.open("rb") as handle:
        assert File(handle).filename == "report.txt"


def test_a_handle_named_by_its_number_is_unnamed() -> None:
    handle = io.BytesIO(b"content")
    handle.name = 7  # type: ignore[attr-defined]
    assert File(handle).filename == "unnamed"


def test_an_unsaved_file_cannot_be_opened() -> None:
    with pytest.raises(RuntimeError, match="Only available for saved file"):
        File(b"content").file  # noqa: B018


def test_an_unsaved_file_is_open_to_change() -> None:
    file = File(b"content")
    file.pages = 3
    file["filename"] = "b.txt"
    del file.pages
    assert "pages" not in file
    assert file.filename == "b.txt"


# --- the record


def test_the_record_has_every_key(saved: File) -> None:
    assert set(saved) == {*KEYS, "pages"}


def test_the_record_says_what_was_stored(saved: File, storage: MemoryStorage) -> None:
    (key,) = keys(storage)
    now = datetime.now(UTC)
    assert saved["file_id"] == key
    assert saved["upload_storage"] == "main"
    assert saved["path"] == f"main/{key}"
    assert saved["files"] == [f"main/{key}"]
    assert saved["size"] == 7
    assert saved["checksum"] == f"sha256:{hashlib.sha256(b'content').hexdigest()}"
    assert saved["saved"] is True
    assert saved["url"] is None
    assert now - timedelta(minutes=1) < datetime.fromisoformat(saved["uploaded_at"]) <= now


def test_the_id_is_a_time_ordered_uuid(saved: File) -> None:
    assert uuid.UUID(saved["file_id"]).version == 7


def test_the_record_is_the_json_of_the_column(saved: File, session: Session) -> None:
    raw = session.scalar(text("SELECT body FROM paper"))
    assert json.loads(raw) == saved.encode()
    assert type(saved.encode()) is dict


def test_the_record_holds_no_content(saved: File) -> None:
    assert "original_content" not in saved
    assert "original_content" not in saved.encode()


def test_the_fields_options_are_in_the_record_unless_the_file_has_its_own(session: Session) -> None:
    own = save(session, File(b"own", extra={"acl": "public", "meta_data": {"k": "v"}}))
    fields = save(session, File(b"the field's"))
    assert own["extra"]["acl"] == "public"
    assert own["extra"]["meta_data"]["k"] == "v"
    assert fields["extra"]["acl"] == "private"
    assert fields["extra"]["meta_data"]["content_type"] == fields["content_type"]


def test_a_loaded_file_is_equal_to_the_one_that_was_stored(saved: File, session: Session) -> None:
    session.expire_all()
    loaded = session.scalars(select(Paper)).one().body
    assert loaded == saved
    assert loaded is not saved


def test_decode_turns_a_record_into_the_same_file(saved: File) -> None:
    file = File.decode(saved.encode())
    assert file == saved
    assert file.saved
    with file.file as stream:
        assert stream.read() == b"content"


def test_the_content_is_not_at_hand_once_the_transaction_is_over(saved: File) -> None:
    with pytest.raises(ContentSpentError, match=r"read it with \.file"):
        saved.original_content  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        saved.nothing  # noqa: B018


# --- immutability


CHANGES: dict[str, Callable[[File], object]] = {
    "item": lambda file: file.__setitem__("filename", "x"),
    "attribute": lambda file: setattr(file, "filename", "x"),
    "del": lambda file: file.__delitem__("filename"),
    "update": lambda file: file.update(filename="x"),
    "setdefault": lambda file: file.setdefault("new", 1),
    "pop": lambda file: file.pop("filename"),
    "popitem": lambda file: file.popitem(),
    "clear": lambda file: file.clear(),
    "|=": lambda file: file.__ior__({"filename": "x"}),
    "store_content": lambda file: file.store_content(b"more"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_saved_file_refuses(saved: File, storage: MemoryStorage, change: str) -> None:
    before = dict(saved)
    with pytest.raises(TypeError, match="immutable"):
        CHANGES[change](saved)
    assert dict(saved) == before
    assert contents(storage) == [b"content"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_loaded_file_refuses(saved: File, session: Session, change: str) -> None:
    session.expire_all()
    loaded = session.scalars(select(Paper)).one().body
    assert loaded is not None
    with pytest.raises(TypeError, match="immutable"):
        CHANGES[change](loaded)


# --- opening


def test_file_opens_the_object(saved: File) -> None:
    with saved.file as stream:
        assert isinstance(stream, StoredFile)
        assert (stream.read(), stream.filename) == (b"content", "a.txt")
        assert (stream.name, stream.content_type) == (saved["file_id"], saved["content_type"])


def test_each_file_is_a_view_of_its_own(saved: File) -> None:
    first, second = saved.file, saved.file
    assert (first.read(3), second.read()) == (b"con", b"content")


# --- a class of one's own


def test_upload_type_names_the_class_of_what_is_loaded(session: Session) -> None:
    session.add(Paper(scan=Scan(b"1", "a.txt"), scans=[Scan(b"2", "b.txt")]))
    session.commit()
    paper = session.scalars(select(Paper)).one()
    assert paper.scan is not None
    assert paper.scan.label == "scan of a.txt"
    assert paper.scans is not None
    assert paper.scans[0].label == "scan of b.txt"


def test_content_is_made_into_a_file_of_that_class(session: Session) -> None:
    paper = Paper(scan=b"1", scans=[b"2"])
    paper.scans.append(b"3")
    session.add(paper)
    session.commit()
    assert [type(file) for file in (paper.scan, *paper.scans)] == [Scan] * 3


class Stamped(File):
    """Keeps more in its row than the record, as 0.7.0 let programs do."""

    def encode(self) -> dict[str, Any]:
        return {**super().encode(), "stamp": "seen"}

    @classmethod
    def decode(cls, data: Any) -> Stamped:
        return super().decode({**data, "stamp": data["stamp"].upper()})


class StampedBase(DeclarativeBase):
    pass


class StampedPaper(StampedBase):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[Stamped | None] = mapped_column(FileField(upload_type=Stamped))


def test_encode_and_decode_of_a_subclass_are_used(storage: MemoryStorage) -> None:
    engine = sqlite(StampedBase)
    with Session(engine) as session:
        session.add(StampedPaper(body=Stamped(b"content")))
        session.commit()
        assert '"stamp": "seen"' in session.scalar(text("SELECT body FROM paper"))
        paper = session.scalars(select(StampedPaper)).one()
        assert paper.body is not None
        assert paper.body["stamp"] == "SEEN"
        session.delete(paper)
        session.commit()
    engine.dispose()
    assert keys(storage) == []


OLD_NAMES = ["source", "place", "upload", "uploaded", "release", "prepare", "settle", "revert"]
OLD_NAMES += ["begun", "copied", "undoable", "needs_await", "needs_fetching", "fetch_content"]
OLD_NAMES += [
    "afetch_content",
    "finish_saving",
    "chosen_storage",
    "apply_defaults",
    "scaled_copies",
]
OLD_NAMES += ["decoded_for", "leave_decoding", "expect_processors"]


@pytest.mark.parametrize("name", OLD_NAMES)
def test_a_key_of_any_name_is_an_attribute(name: str) -> None:
    file = File(b"x", **{name: "given"})
    assert getattr(file, name) == "given"
    setattr(file, name, "changed")
    assert file[name] == "changed"
    delattr(file, name)
    assert name not in file


def test_a_file_has_no_other_public_names_than_its_documented_calls() -> None:
    public = {name for name in dir(File) if not name.startswith("_")} - set(dir(dict))
    assert public == {
        *("aexists", "apply_processors", "apply_validators", "astore_content", "avalidated_for"),
        *("decode", "encode", "validated_for", "variant"),
        *("exists", "file"),
        *("original_content", "save_to_storage", "saved", "store_content"),
    }
