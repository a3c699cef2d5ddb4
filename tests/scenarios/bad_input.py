"""Input that cannot be right, and what is said about it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    ObjectNotFoundError,
    StorageError,
    UnknownStorageError,
)
from sqlalchemy_file.storage.common.protocol import Attributes

from .content import FailingStream, content_of
from .models import Album, Document, Shelved
from .table import Group
from .world import World

scenario = Group(name="bad_input")


@scenario
def an_unknown_storage(world: World) -> None:
    """The error comes before anything of the flush is stored, and names those that exist."""
    flaky = world.make_flaky()
    with world.session() as session:
        session.add(Document(attachment=world.file("good")))
        session.add(Shelved(far=world.file("to an archive that nobody added")))
        with pytest.raises(UnknownStorageError, match=r"archive.*main"):
            session.commit()
        assert flaky.calls == []
        session.rollback()
        session.add(Document(attachment=world.file("other")))
        session.commit()
    assert world.labels(Document.attachment) == ["other"]


@scenario
def an_unknown_storage_for_one_file(world: World) -> None:
    with world.session() as session:
        session.add(Document(attachment=world.file("good")))
        session.add(Document(attachment=world.file("bad", storage="nowhere")))
        with pytest.raises(UnknownStorageError, match=r"nowhere.*main"):
            session.flush()
        assert world.objects() == {}


@scenario
def an_unknown_storage_in_a_bulk_statement(world: World) -> None:
    rows = [
        {"attachment": world.file("good")},
        {"attachment": world.file("bad", storage="nowhere")},
    ]
    with world.session() as session, pytest.raises(UnknownStorageError, match="nowhere"):
        session.execute(insert(Document), rows)
    assert world.objects() == {}


@scenario
def no_storage_at_all(world: World) -> None:
    StorageManager.clear()
    with world.session() as session:
        session.add(Document(attachment=world.file("homeless")))
        with pytest.raises(UnknownStorageError, match="add_storage"):
            session.commit()
        session.rollback()
    assert world.labels(Document.attachment) == []


def _wrong_values() -> dict[str, tuple[Any, str, Any]]:
    return {
        "a_dict": (Document, "attachment", {"path": "main/1", "file_id": "1", "saved": True}),
        "an_empty_dict": (Document, "attachment", {}),
        "a_list": (Document, "attachment", [b"content"]),
        "an_empty_list": (Document, "attachment", []),
        "a_number": (Document, "attachment", 42),
        "bytes_to_several": (Album, "pictures", b"content"),
        "text_to_several": (Album, "pictures", "content"),
        "a_dict_to_several": (Album, "pictures", {"path": "main/1"}),
        "a_dict_among_several": (Album, "pictures", [{"path": "main/1"}]),
        "a_number_among_several": (Album, "pictures", [42]),
    }


def _add_wrong(name: str, model: Any, attribute: str, value: Any) -> None:
    def run(world: World) -> None:
        with pytest.raises(TypeError, match="assign"):
            setattr(model(), attribute, value)
        with pytest.raises(TypeError, match="assign"):
            model(**{attribute: value})
        assert world.objects() == {}

    def in_a_bulk_statement(world: World) -> None:
        with world.session() as session, pytest.raises(TypeError, match=r"File|assign"):
            session.execute(insert(model), [{attribute: value}])
        with world.engine.begin() as connection, pytest.raises(TypeError, match=r"File|assign"):
            connection.execute(insert(model.__table__).values({attribute: value}))
        assert world.labels(getattr(model, attribute)) == []

    scenario.add(f"{name}_is_refused", run)
    scenario.add(f"{name}_is_refused_in_a_bulk_statement", in_a_bulk_statement)


for _name, (_model, _attribute, _value) in _wrong_values().items():
    _add_wrong(_name, _model, _attribute, _value)


@scenario
def one_file_to_a_field_of_several(world: World) -> None:
    with pytest.raises(TypeError, match="assign a list"):
        Album(pictures=world.file("single"))


@scenario
def wrong_elements_put_into_a_list(world: World) -> None:
    key = world.save(Album(pictures=[world.file("a")]))
    wrong: tuple[Callable[[Any], object], ...] = (
        lambda pictures: pictures.append({"path": "main/1"}),
        lambda pictures: pictures.extend([b"", 42]),
        lambda pictures: pictures.insert(0, ["nested"]),
        lambda pictures: pictures.__setitem__(0, {}),
        lambda pictures: pictures.__setitem__(slice(None), [42]),
        lambda pictures: pictures.__iadd__([None]),
    )
    with world.session() as session:
        pictures = session.get_one(Album, key).pictures
        for change in wrong:
            with pytest.raises(TypeError):
                change(pictures)
        session.commit()
    assert world.label(Album.pictures) == ["a"]


@scenario
def empty_content(world: World) -> None:
    key = world.save(
        Document(attachment=File(b"", filename="empty.txt")),
        Document(attachment=File(io.BytesIO(), filename="empty handle.txt")),
        Document(attachment=File(iter(()), filename="empty iterator.txt")),
        Document(attachment=File("", filename="empty text.txt")),
    )
    assert list(world.objects().values()) == [b""] * 4
    with world.session() as session:
        file = session.get_one(Document, key).attachment
        assert file.size == 0
        if world.places["main"].keeps_bytes:
            with file.file as stream:
                assert stream.read() == b""
        for row in session.scalars(select(Document)):
            session.delete(row)
        session.commit()
    assert world.objects() == {}


@scenario
def content_that_fails_while_it_is_read(world: World) -> None:
    flaky = world.make_flaky()
    with world.session() as session:
        session.add_all([Document(attachment=world.file(f"good {n}")) for n in range(3)])
        session.add(Document(attachment=world.file_from(FailingStream(b"x" * 100), "bad")))
        with pytest.raises(ConnectionResetError, match="the client went away"):
            session.commit()
        assert world.objects() == {}
        session.rollback()
        flaky.mend()
        session.add(Document(attachment=world.file("after")))
        session.commit()
    assert world.labels(Document.attachment) == ["after"]


class _FailingHandle(io.BytesIO):
    """A file that can seek, on a disk that is failing."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 4096:
            raise OSError(5, "Input/output error")
        return super().read(1024)


@scenario
def a_handle_that_fails_while_it_is_stored(world: World) -> None:
    """It is good enough to be looked at, and breaks off in the middle of the upload."""
    with world.session() as session:
        session.add(Document(attachment=world.file("good")))
        session.add(Document(attachment=world.file_from(_FailingHandle(b"x" * 100_000), "bad")))
        with pytest.raises(OSError, match="Input/output error") as caught:
            session.commit()
        assert not isinstance(caught.value, StorageError)
        assert world.objects() == {}


@scenario
def a_path_that_does_not_exist(world: World) -> None:
    with pytest.raises(FileNotFoundError):
        File(world.folder / "nothing")
    with pytest.raises(FileNotFoundError):
        File(content_path=str(world.folder / "nothing"))


@scenario
def a_folder(world: World) -> None:
    with pytest.raises(IsADirectoryError):
        File(world.folder)
    with pytest.raises(IsADirectoryError):
        File(content_path=str(world.folder))


@scenario
def nothing_to_store(_world: World) -> None:
    with pytest.raises(ValueError, match=r"content.*content_path"):
        File()


@scenario
def a_storage_that_is_down(world: World) -> None:
    flaky = world.make_flaky()
    flaky.fail("put")
    with world.session() as session:
        document = Document(attachment=world.file("later"))
        session.add(document)
        with pytest.raises(StorageError) as caught:
            session.commit()
        assert isinstance(caught.value.__cause__, ConnectionError)
        assert caught.value.storage == "main"
        session.rollback()
        flaky.mend()
        session.add(document)
        session.commit()
    assert world.label(Document.attachment) == "later"


@scenario
def a_storage_that_is_down_for_reading(world: World) -> None:
    key = world.save(Document(attachment=world.file("it")))
    flaky = world.make_flaky()
    flaky.fail("stream")
    flaky.fail("stat")
    with world.session() as session:
        file = session.get_one(Document, key).attachment
        with pytest.raises(StorageError):
            file.file.read()
        flaky.mend()
        assert world.opens(file) == "it"


@scenario
def a_record_whose_object_is_gone(world: World) -> None:
    """The row loads; opening says so, in words of libcloud's and of the file system's."""
    key = world.save(Document(attachment=world.file("lost")))
    world.discard(world.path(Document.attachment))
    with world.session() as session:
        document = session.get_one(Document, key)
        assert document.attachment.filename == "lost.txt"
        with pytest.raises(ObjectNotFoundError):
            document.attachment.file.read()
        with pytest.raises(FileNotFoundError):
            document.attachment.file.read()
        document.stars = 1
        session.commit()
        session.delete(document)
        session.commit()
    assert world.labels(Document.attachment) == []


_NO_ATTRIBUTES = Attributes()
BAD_KEYS = (
    "../outside",
    "a/../../outside",
    "/absolute",
    "a//b",
    "nul\0",
    "line\nbreak",
    "a\\b",
    "",
)


@scenario
def keys_that_leave_the_container(world: World) -> None:
    for key in BAD_KEYS:
        with pytest.raises((InvalidKeyError, ValueError)):
            StorageManager.storage().put(key, io.BytesIO(content_of("bad")), _NO_ATTRIBUTES)
        with pytest.raises((InvalidKeyError, ValueError)):
            StorageManager.save_file(key, io.BytesIO(content_of("bad")))
    assert world.objects() == {}
    assert not (world.folder / "outside").exists()


@scenario
def a_key_callable_that_leaves_the_container(world: World) -> None:
    """The flush is refused before anything of it is stored."""
    flaky = world.make_flaky()
    field = Shelved.__table__.c.keyed.type
    before = field.key
    try:
        for key in ("../outside", "/absolute", "nul\0", "../"):
            field.key = lambda _file, key=key: key
            with world.session() as session:
                session.add(Document(attachment=world.file("good")))
                session.add(Shelved(keyed=world.file("bad")))
                with pytest.raises(InvalidKeyError):
                    session.commit()
    finally:
        field.key = before
    assert flaky.count("put") == 0


@scenario
def a_key_that_is_taken(world: World) -> None:
    """Nothing is overwritten, and what was there before is nobody's to delete."""
    field = Shelved.__table__.c.keyed.type
    before = field.key
    field.key = lambda _file: "papers/chosen"
    try:
        world.save(Shelved(keyed=world.file("first")))
        with world.session() as session:
            session.add(Shelved(keyed=world.file("second")))
            with pytest.raises(FileExistsError):
                session.commit()
            session.rollback()
            world.check()
            session.delete(session.scalars(select(Shelved)).one())
            session.commit()
            session.add(Shelved(keyed=world.file("third")))
            session.commit()
    finally:
        field.key = before
    assert world.labels(Shelved.keyed) == ["third"]
    assert world.paths(Shelved.keyed) == ["main/papers/chosen"]
