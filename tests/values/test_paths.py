"""A path means one object, whatever storages the process that reads it happens to know."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import UnknownStorageError
from sqlalchemy_file.storage.common.keys import Location
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.values.records import paths_of
from tests.stores import add_memory, keys, sqlite


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="media/avatars"))


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A row whose object lies in a storage that another process has added."""
    add_memory("media/avatars")
    engine = sqlite(Base)
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"mine")))
        session.commit()
    StorageManager.clear()
    yield engine
    engine.dispose()


@pytest.fixture
def media(engine: Engine) -> MemoryStorage:
    """The only storage here, which has an object under the very path that the row names."""
    storage = add_memory("media")
    with Session(engine) as session:
        path = session.get_one(Paper, 1).body["path"]
    key = path.removeprefix("media/")
    storage.put(key, io.BytesIO(b"somebody else's"), Attributes())
    return storage


def test_a_row_of_another_storage_is_not_read_from_the_one_that_is_known(
    engine: Engine, media: MemoryStorage
) -> None:
    with Session(engine) as session:
        body = session.get_one(Paper, 1).body
        with pytest.raises(UnknownStorageError, match="media/avatars storage has not been added"):
            body.file.read()


def test_a_row_of_another_storage_does_not_delete_from_the_one_that_is_known(
    engine: Engine, media: MemoryStorage
) -> None:
    for statement in (None, delete(Paper)):
        with Session(engine) as session:
            try:
                if statement is None:
                    session.delete(session.get_one(Paper, 1))
                else:
                    session.execute(statement)
                session.commit()
            except UnknownStorageError:
                pass
        assert len(keys(media)) == 1


def test_a_row_of_another_storage_is_not_copied_from_the_one_that_is_known(
    engine: Engine, media: MemoryStorage
) -> None:
    with Session(engine) as session:
        session.add(Paper(id=2, body=session.get_one(Paper, 1).body))
        with pytest.raises(UnknownStorageError):
            session.commit()
    assert len(keys(media)) == 1
    with Session(engine) as session:
        assert session.scalars(select(Paper.id)).all() == [1]


def test_each_object_of_a_record_lies_where_its_own_part_says() -> None:
    record = {
        "path": "a/b/1",
        "upload_storage": "a",
        "files": ["a/b/1", "a/b/2", "c/3", "d/4"],
        "thumbnail": {"path": "a/b/2", "upload_storage": "a/b"},
        "variants": {"small": {"path": "c/3", "upload_storage": "c"}},
    }
    found = {path: path.parts() for path in paths_of(record)[:3]}
    assert found == {"a/b/1": ("a", "b/1"), "a/b/2": ("a/b", "2"), "c/3": ("c", "3")}
    assert not isinstance(paths_of(record)[3], Location), "no part says whose it is"


@pytest.mark.parametrize("storage", [None, "", "b", "a/b", 7, ["a"]])
def test_a_storage_that_a_path_does_not_begin_with_tells_nothing(storage: object) -> None:
    assert type(Location.of("a/c", storage)) is str


def test_a_location_is_the_path_itself() -> None:
    location = Location("a/b", "c/d")
    assert location == "a/b/c/d"
    assert {location} == {"a/b/c/d"}
    for same in (copy.deepcopy(location), pickle.loads(pickle.dumps(location))):
        assert same.parts() == ("a/b", "c/d")
