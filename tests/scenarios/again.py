"""After a rollback a file is what it was before, and can be added again."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import make_transient

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import ContentSpentError, StorageError

from .content import OneWayStream, content_of, filename_of
from .models import Album, Document, Processed
from .table import Group
from .world import World

scenario = Group(name="again")
with_savepoints = scenario.where(
    without=("legacy",),
    because="pysqlite's own transaction mode does not begin before a SAVEPOINT.",
)


def _from_bytes(world: World, label: str) -> File:
    return world.file(label)


def _from_handle(world: World, label: str) -> File:
    return world.file_from(io.BytesIO(content_of(label)), label)


def _from_handle_at_its_end(world: World, label: str) -> File:
    handle = io.BytesIO(content_of(label))
    handle.seek(0, io.SEEK_END)
    return world.file_from(handle, label)


def _from_path(world: World, label: str) -> File:
    path = world.folder / filename_of(label)
    path.write_bytes(content_of(label))
    return File(path)


def _from_content_path(world: World, label: str) -> File:
    path: Path = world.folder / filename_of(label)
    path.write_bytes(content_of(label))
    return File(content_path=str(path))


def _from_stream(world: World, label: str) -> File:
    return world.file_from(OneWayStream(content_of(label)), label)


def _from_iterator(world: World, label: str) -> File:
    def chunks() -> Iterator[bytes]:
        content = content_of(label)
        yield content[:7]
        yield content[7:]

    return world.file_from(chunks(), label)


Make = Callable[[World, str], File]
REWINDABLE: tuple[Make, ...] = (
    _from_bytes,
    _from_handle,
    _from_handle_at_its_end,
    _from_path,
    _from_content_path,
)
ONE_WAY: tuple[Make, ...] = (_from_stream, _from_iterator)


def _add_again(make: Make) -> None:
    source = make.__name__.strip("_")

    def the_same_instance(world: World) -> None:
        with world.session() as session:
            document = Document(attachment=make(world, "again"))
            session.add(document)
            session.flush()
            assert world.opens(document.attachment) == "again"
            session.rollback()
            world.check()
            assert not document.attachment.saved
            session.add(document)
            session.commit()
            assert world.opens(document.attachment) == "again"
        assert world.labels(Document.attachment) == ["again"]

    def the_same_file_in_another_row(world: World) -> None:
        file = make(world, "again")
        with world.session() as session:
            session.add(Document(attachment=file))
            session.flush()
            session.rollback()
            assert not file.saved
            assert "path" not in file
            session.add(Document(attachment=file))
            session.commit()
        assert world.labels(Document.attachment) == ["again"]

    def in_another_session(world: World) -> None:
        document = Document(attachment=make(world, "again"))
        with world.session() as session:
            session.add(document)
            session.flush()
        make_transient(document)
        document.id = None  # type: ignore[assignment]
        with world.session() as session:
            session.add(document)
            session.commit()
        assert world.labels(Document.attachment) == ["again"]

    for run in (the_same_instance, the_same_file_in_another_row, in_another_session):
        scenario.add(f"{run.__name__}_{source}", run)


def _add_one_way(make: Make) -> None:
    def run(world: World) -> None:
        """It works again where the library kept the content, else it says that it is spent."""
        file = make(world, "again")
        with world.session() as session:
            session.add(Document(attachment=file))
            session.flush()
            session.rollback()
            world.check()
            session.add(Document(attachment=file))
            try:
                session.commit()
            except ContentSpentError:
                session.rollback()
        assert world.labels(Document.attachment) in ([], ["again"])

    scenario.add(f"once_only_{make.__name__.strip('_')}", run)


for _make in REWINDABLE:
    _add_again(_make)
for _make in ONE_WAY:
    _add_one_way(_make)


@scenario
def a_handle_that_was_closed_since_is_spent(world: World) -> None:
    handle = io.BytesIO(content_of("closed"))
    file = world.file_from(handle, "closed")
    with world.session() as session:
        session.add(Document(attachment=file))
        session.flush()
        session.rollback()
        handle.close()
        session.add(Document(attachment=file))
        with pytest.raises(ContentSpentError, match="closed"):
            session.commit()
        session.rollback()
        session.add(Document(attachment=world.file("other")))
        session.commit()
    assert world.labels(Document.attachment) == ["other"]


@scenario
def a_file_read_in_the_dead_transaction_is_spent(world: World) -> None:
    with world.session() as session:
        session.add(Document(attachment=world.file("lost")))
        session.flush()
        session.expire_all()
        file = session.query(Document).one().attachment
        assert world.opens(file) == "lost"
        session.rollback()
        session.add(Document(attachment=file))
        with pytest.raises((ContentSpentError, StorageError)):
            session.commit()
        session.rollback()
    assert world.labels(Document.attachment) == []


@scenario
def many_times_over(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("again"))
        for _ in range(3):
            session.add(document)
            session.flush()
            session.rollback()
            world.check()
        session.add(document)
        session.commit()
    assert world.labels(Document.attachment) == ["again"]


@scenario
def after_a_flush_that_failed(world: World) -> None:
    world.save(Document(title="taken", attachment=world.file("old")))
    with world.session() as session:
        document = Document(title="taken", attachment=world.file("again"))
        session.add(document)
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
        assert not document.attachment.saved
        document.title = "free"
        session.add(document)
        session.commit()
    assert world.labels(Document.attachment) == ["old", "again"]


@scenario
def after_an_upload_that_failed(world: World) -> None:
    flaky = world.make_flaky()
    flaky.fail("put", at=1)
    with world.session() as session:
        document = Document(attachment=world.file("again"))
        session.add(document)
        with pytest.raises(StorageError):
            session.commit()
        session.rollback()
        assert not document.attachment.saved
        session.add(document)
        session.commit()
    assert world.labels(Document.attachment) == ["again"]


@scenario
def a_replacement_assigned_again(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document, file = session.get_one(Document, key), world.file("new")
        document.attachment = file
        session.flush()
        session.rollback()
        assert world.opens(document.attachment) == "old"
        document.attachment = file
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def a_list_added_again(world: World) -> None:
    with world.session() as session:
        album = Album(pictures=[world.file("a"), world.file("b")], cover=world.file("c"))
        session.add(album)
        session.flush()
        album.pictures.append(world.file("d"))
        session.flush()
        session.rollback()
        world.check()
        assert [file.saved for file in album.pictures] == [False, False, False]
        session.add(album)
        session.commit()
    assert world.labels(Album.pictures) == [["a", "b", "d"]]


@scenario
def list_elements_appended_again(world: World) -> None:
    key = world.save(Album(pictures=[world.file("a")]))
    with world.session() as session:
        album, file = session.get_one(Album, key), world.file("b")
        album.pictures.append(file)
        session.flush()
        session.rollback()
        album.pictures.append(file)
        session.commit()
    assert world.label(Album.pictures) == ["a", "b"]


@scenario
def a_processed_file_is_processed_again(world: World) -> None:
    with world.session() as session:
        row = Processed(page=world.file("page"))
        session.add(row)
        session.flush()
        session.rollback()
        assert row.page.files == []
        session.add(row)
        session.commit()
    assert len(world.paths(Processed.page)) == 3


@scenario
def keys_added_before_the_flush_are_still_there(world: World) -> None:
    with world.session() as session:
        file = world.file("again", colour="blue")
        document = Document(attachment=file)
        session.add(document)
        session.flush()
        session.rollback()
        file["colour"] = "red"
        session.add(document)
        session.commit()
        assert document.attachment["colour"] == "red"


@with_savepoints
def after_a_savepoint_was_rolled_back(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("again"))
        savepoint = session.begin_nested()
        session.add(document)
        session.flush()
        savepoint.rollback()
        assert not document.attachment.saved
        session.add(document)
        session.commit()
    assert world.labels(Document.attachment) == ["again"]


@with_savepoints
def a_file_stored_outside_is_still_saved_after_the_savepoint(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("outer"))
        session.add(document)
        session.flush()
        savepoint = session.begin_nested()
        session.add(Document(attachment=document.attachment))
        session.flush()
        savepoint.rollback()
        assert document.attachment.saved
        session.commit()
        assert world.opens(document.attachment) == "outer"
    assert world.labels(Document.attachment) == ["outer"]


@scenario
def a_copy_of_a_file_of_the_same_transaction(world: World) -> None:
    """Both rows hold the one file again that had been given to them."""
    file = world.file("again")
    with world.session() as session:
        rows = [Document(attachment=file), Document(attachment=file)]
        session.add_all(rows)
        session.flush()
        session.rollback()
        assert not any(row.attachment.saved for row in rows)
        session.add_all(rows)
        session.commit()
    assert world.labels(Document.attachment) == ["again", "again"]


@scenario
def parameters_of_a_bulk_insert_executed_again(world: World) -> None:
    rows: list[dict[str, Any]] = [{"attachment": world.file(label)} for label in "ab"]
    for end in ("rollback", "commit"):
        with world.engine.connect() as connection:
            connection.execute(insert(Document), rows)
            getattr(connection, end)()
        world.check()
    assert world.labels(Document.attachment) == ["a", "b"]


@scenario
def once_committed_its_content_is_let_go(world: World) -> None:
    """A committed file is a record; its saved object is what can be given on."""
    with world.session() as session:
        file = world.file("kept")
        session.add(Document(attachment=file))
        session.commit()
        assert file.saved
        session.add(Document(attachment=file))
        session.flush()
        session.rollback()
        assert file.saved
        assert world.opens(file) == "kept"
    assert world.labels(Document.attachment) == ["kept"]
