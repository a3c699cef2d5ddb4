"""Which objects a row takes over as they are, and which it gets copies of."""

from __future__ import annotations

import copy
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    create_engine,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import UnknownStorageError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.processors import Processor
from sqlalchemy_file.reconcile import drain
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validators import Validator
from tests.stores import add_memory, contents, keys, named, sqlite


class Base(DeclarativeBase):
    pass


class OldFile(File):
    """Stores itself by ``store_content``, as files of older releases did."""

    def save_to_storage(self, upload_storage: str | None = None) -> None:
        stored = self.store_content(self.original_content, upload_storage)
        self["file_id"] = stored.name
        self["upload_storage"] = upload_storage
        self["path"] = f"{upload_storage}/{stored.name}"
        self["saved"] = True


class Saves(Processor):
    """Stores a further object through the manager, and names it in the record."""

    def process(self, file: File, upload_storage: str | None = None) -> None:
        key = str(uuid.uuid4())
        StorageManager.save_file(key, b"further", upload_storage)
        file["files"].append(f"{upload_storage}/{key}")
        StorageManager.save_file(f"log/{key}", b"log", upload_storage)


class Stores(Validator):
    def process(self, file: File, attr_key: str) -> None:
        file.store_content(b"further")


class Paper(Base):
    __tablename__ = "paper"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())
    pages: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
    old: Mapped[File | None] = mapped_column(FileField(upload_type=OldFile))
    saved_by: Mapped[File | None] = mapped_column(FileField(processors=[Saves()]))
    stored_by: Mapped[File | None] = mapped_column(FileField(validators=[Stores()]))


COLUMNS = ("body", "pages", "old", "saved_by", "stored_by")


def assert_exact(session: Session, storage: MemoryStorage, *expected: bytes) -> None:
    """Check that the storage holds these contents, and that rows name each object once."""
    session.commit()
    engine = session.get_bind()
    assert sorted(named(engine, "paper", *COLUMNS)) == sorted(  # type: ignore[arg-type]
        f"main/{key}" for key in keys(storage)
    )
    assert contents(storage) == sorted(expected)


def stored(content: bytes = b"x") -> File:
    file = File(content)
    file.save_to_storage("main")
    return file


def test_each_file_that_stores_itself_is_accounted_for_by_itself(
    session: Session, storage: MemoryStorage
) -> None:
    session.add(Paper(old=OldFile(b"kept")))
    session.commit()
    session.add(Paper(old=OldFile(b"undone")))
    session.flush()
    session.rollback()
    assert_exact(session, storage, b"kept")


GIVEN: dict[str, Callable[[Session, File], Any]] = {
    "attribute": lambda session, file: session.add(Paper(body=file)),
    "list": lambda session, file: session.add(Paper(pages=[file])),
    "two rows": lambda session, file: session.add_all([Paper(body=file), Paper(body=file)]),
    "insert": lambda session, file: session.execute(insert(Paper).values(body=file)),
    "inserts": lambda session, file: session.execute(insert(Paper), [{"body": file}]),
    "update": lambda session, file: session.execute(update(Paper).values(body=file)),
    "core": lambda session, file: session.connection().execute(
        Paper.__table__.insert(), {"body": file}
    ),
}


@pytest.mark.parametrize("way", GIVEN)
@pytest.mark.parametrize("kind", [File, OldFile])
def test_a_row_takes_over_what_its_file_has_stored(
    session: Session, storage: MemoryStorage, way: str, kind: type[File]
) -> None:
    if way == "update":
        session.add(Paper())
        session.commit()
    file = kind(b"x")
    file.save_to_storage("main")
    path = file["path"]
    GIVEN[way](session, file)
    assert_exact(session, storage, *[b"x"] * (2 if way == "two rows" else 1))
    assert path in named(session.get_bind(), "paper", *COLUMNS)  # type: ignore[arg-type]


def test_a_rollback_takes_what_was_stored_by_hand_along(
    session: Session, storage: MemoryStorage
) -> None:
    file = stored()
    session.add(Paper(body=file))
    session.flush()
    session.rollback()
    assert_exact(session, storage)
    session.add(Paper(body=file))
    assert_exact(session, storage, b"x")


def test_a_file_that_a_row_took_over_is_copied_for_another_row(
    session: Session, storage: MemoryStorage
) -> None:
    file = stored()
    twin = copy.copy(file)
    session.add(Paper(body=file))
    session.commit()
    session.add(Paper(body=file))
    session.commit()
    session.add(Paper(body=twin))
    assert_exact(session, storage, b"x", b"x", b"x")


def test_a_file_stored_twice_by_hand_leaves_nothing_of_the_first_time(
    session: Session, storage: MemoryStorage
) -> None:
    file = stored()
    file.save_to_storage("main")
    session.add(Paper(body=file))
    assert_exact(session, storage, b"x")


def test_what_a_processor_saves_and_names_is_the_rows(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(saved_by=File(b"x"))
    session.add(paper)
    session.commit()
    log = [key for key in keys(storage) if key.startswith("log/")]
    storage.delete(log)
    assert len(log) == 1, "what the record does not name is no business of the row"
    assert_exact(session, storage, b"further", b"x")
    session.delete(paper)
    assert_exact(session, storage)


def test_what_a_processor_saves_and_names_goes_with_the_rollback(
    session: Session, storage: MemoryStorage
) -> None:
    session.add(Paper(saved_by=File(b"x")))
    session.flush()
    session.rollback()
    assert contents(storage) == [b"log"]


def test_what_is_stored_before_the_content_stays_with_the_file(
    session: Session, storage: MemoryStorage
) -> None:
    file = File(b"x")
    file.store_content(b"by hand")
    paper = Paper(stored_by=file)
    session.add(paper)
    session.flush()
    session.rollback()
    assert contents(storage) == []
    session.add(paper)
    file.store_content(b"again")
    assert_exact(session, storage, b"again", b"further", b"x")
    session.delete(paper)
    assert_exact(session, storage)


@pytest.mark.parametrize("end", ["commit", "delete one", "roll one back"])
def test_one_new_file_on_two_connections_becomes_two_objects(
    storage: MemoryStorage, end: str
) -> None:
    class Left(DeclarativeBase):
        pass

    class Right(DeclarativeBase):
        pass

    def model(base: type[DeclarativeBase]) -> Any:
        return type(
            "Note",
            (base,),
            {
                "__tablename__": "note",
                "__annotations__": {"id": Mapped[int], "body": Mapped[File | None]},
                "id": mapped_column(primary_key=True),
                "body": mapped_column(FileField()),
            },
        )

    notes = {model(base): sqlite(base) for base in (Left, Right)}
    file = File(b"x")
    with Session(binds=dict(notes)) as session:
        first, second = (note(body=file) for note in notes)
        session.add_all([first, second])
        session.commit()
        assert contents(storage) == [b"x", b"x"]
        if end == "delete one":
            session.delete(first)
            session.commit()
            assert contents(storage) == [b"x"]
    paths = [path for engine in notes.values() for path in named(engine, "note", "body")]
    assert sorted(paths) == sorted(f"main/{key}" for key in keys(storage))
    for engine in notes.values():
        engine.dispose()


RECORD = {
    "saved": True, "path": "main/theirs", "files": ["main/theirs"], "file_id": "theirs",
    "upload_storage": "main", "thumbnail": {"path": "main/theirs"},
    "variants": {"small": {"path": "main/theirs"}}, "note": "mine",
}  # fmt: skip


@pytest.mark.parametrize("way", ["update", "keywords", "|=", "constructor"])
def test_a_record_from_outside_names_no_objects(
    session: Session, storage: MemoryStorage, way: str
) -> None:
    StorageManager.save_file("theirs", b"theirs")
    file = File(b"x", **(RECORD if way == "constructor" else {}))
    if way == "update":
        file.update(RECORD)
    elif way == "keywords":
        file.update(**RECORD)
    elif way == "|=":
        file |= RECORD
    session.add(Paper(body=file))
    session.commit()
    assert (file["note"], file["path"] != "main/theirs") == ("mine", True)
    assert contents(storage) == [b"theirs", b"x"]
    assert "thumbnail" not in file


@pytest.mark.parametrize("key", ["path", "thumbnail", "variants", "upload_storage"])
def test_a_key_that_names_objects_cannot_be_set_before_anything_is_stored(
    storage: MemoryStorage, key: str
) -> None:
    file = File(b"x")
    for assign in (file.__setitem__, file.setdefault, lambda *pair: setattr(file, *pair)):
        with pytest.raises(TypeError, match=f"'{key}' is set when the content is stored"):
            assign(key, RECORD[key])
    assert not file.saved


@pytest.mark.parametrize("way", ["delete", "replace", "core"])
def test_a_file_whose_storage_is_unknown_here_is_not_let_go_of(
    session: Session, storage: MemoryStorage, way: str
) -> None:
    far = add_memory("far")
    paper = Paper(body=File(b"far", storage="far"))
    session.add(paper)
    session.commit()
    StorageManager.clear()
    add_memory("here")
    if way == "delete":
        session.delete(paper)
    elif way == "replace":
        paper.body = File(b"new")
    with pytest.raises(UnknownStorageError, match=r"'far', which has not been added here"):
        if way == "core":
            session.execute(delete(Paper))
        session.commit()
    session.rollback()
    assert session.scalar(select(func.count()).select_from(Paper)) == 1
    assert contents(far) == [b"far"]
    paper.pages = [File(b"other")]
    session.commit()


def test_a_file_whose_storage_is_unknown_here_moves_to_another_row(
    session: Session, storage: MemoryStorage
) -> None:
    far = add_memory("far")
    one, two = Paper(body=File(b"far", storage="far")), Paper()
    session.add_all([one, two])
    session.commit()
    StorageManager.clear()
    add_memory("here")
    one.body, two.body = None, one.body
    session.commit()
    assert (one.body, two.body["upload_storage"]) == (None, "far")
    assert contents(far) == [b"far"]


def test_the_error_of_a_small_file_names_it_and_its_column(
    session: Session, storage: MemoryStorage, tmp_path: Path
) -> None:
    source = tmp_path / "gone.txt"
    source.write_bytes(b"x")
    session.add(Paper(body=File(content_path=str(source))))
    source.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        session.flush()
    assert caught.value.__notes__ == ["while storing 'gone.txt' for body"]


def test_the_source_of_a_small_file_is_closed_when_it_is_stored(
    session: Session, storage: MemoryStorage, tmp_path: Path
) -> None:
    source = tmp_path / "source.txt"
    source.write_bytes(b"x")
    session.add(Paper(body=File(content_path=str(source))))
    session.flush()
    assert str(source) not in map(os.path.realpath, Path("/proc/self/fd").glob("*"))
    session.commit()
    assert contents(storage) == [b"x"]


def test_with_a_ledger_the_drain_deletes_what_a_process_cannot(
    storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = MetaData()
    table = Table(
        "paper", metadata, Column("id", Integer, primary_key=True), Column("body", FileField())
    )
    ledger = Ledger(metadata)
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    far = add_memory("far")
    with engine.begin() as connection:
        connection.execute(insert(table).values(body=File(b"far", storage="far")))
    StorageManager.clear()
    add_memory("here")
    with engine.begin() as connection:
        connection.execute(delete(table))
    with engine.connect() as connection:
        assert len(connection.scalars(select(ledger.releases.c.path)).all()) == 1
    assert (contents(far), caplog.text) == ([b"far"], "")
    StorageManager.add_storage("far", far)
    with engine.begin() as connection:
        connection.execute(update(ledger.releases).values(due_at=0))
    assert [finding.kind for finding in drain(engine, metadata)] == ["deleted"]
    assert contents(far) == []
    engine.dispose()
