"""What a transaction does to a file is kept beside its record, and gone when it has ended."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.values.saving import prepare
from tests.stores import contents


class Base(DeclarativeBase):
    pass


class Replaced:
    """A validator that replaces what it is given."""

    def process(self, file: File, attr_key: str) -> None:
        file.original_content = b"by the validator"


class Paper(Base):
    __tablename__ = "state_paper"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(validators=[Replaced()]))


def attributes(file: File) -> dict[str, Any]:
    return {name: value for name, value in vars(file).items() if value is not None}


def test_after_its_transaction_a_file_is_its_record_and_nothing_else(session: Session) -> None:
    file = File(b"given")
    session.add(Paper(body=file))
    session.flush()
    assert file._state.begun
    session.commit()
    assert attributes(file) == {"_frozen": True}


def test_a_loaded_file_has_no_state(session: Session) -> None:
    session.add(Paper(body=File(b"given")))
    session.commit()
    session.expire_all()
    assert attributes(session.query(Paper).one().body) == {}


def test_after_a_rollback_a_file_has_stored_nothing_and_has_what_it_was_given(
    session: Session,
) -> None:
    file = File(b"given")
    session.add(Paper(body=file))
    session.flush()
    session.rollback()
    assert (file._state.undo, file._state.begun, file.saved) == (None, [], False)
    session.add(Paper(body=file))
    session.commit()
    assert file.file.read() == b"by the validator"


def test_a_copy_of_a_file_that_is_being_stored_answers_for_nothing(session: Session) -> None:
    file = File(b"given")
    session.add(Paper(body=file))
    session.flush()
    assert copy(file)._state.begun == []
    assert not copy(file)._state.is_owned


def test_files_do_not_share_their_state() -> None:
    one, other = File(b"1"), File(b"2")
    one._state.begun.append("main/x")
    assert other._state.begun == []
    assert File.decode({})._state.begun == []


def test_a_frozen_file_is_not_changed_by_a_look_at_its_content() -> None:
    file = File(b"given", content_type="text/plain", filename="a.txt")
    file._freeze()
    before = dict(file)
    with pytest.raises(TypeError):
        prepare(file)
    assert file == before


def test_a_file_that_was_flushed_is_not_stored_a_second_time(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(body=File(b"given"))
    session.add(paper)
    session.flush()
    assert paper.body is not None
    with pytest.raises(TypeError, match="immutable"):
        paper.body.save_to_storage("main")
    assert contents(storage) == [b"by the validator"]
