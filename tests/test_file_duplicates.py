"""Copies and pickles of files, saved and unsaved, and which files are equal."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from sqlalchemy_file import File
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.models import Paper
from tests.stores import contents, keys


class Scan(File):
    """A class of a program's own."""


@pytest.fixture
def saved(session: Session) -> File:
    return save(session, File(b"content", filename="a.txt", pages=3))


def save(session: Session, file: File) -> File:
    session.add(Paper(body=file))
    session.commit()
    return file


DUPLICATES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda file: pickle.loads(pickle.dumps(file)),
    "the oldest pickle": lambda file: pickle.loads(pickle.dumps(file, protocol=0)),
}


@pytest.mark.parametrize("way", DUPLICATES)
def test_a_duplicate_of_a_saved_file_is_the_same_and_closed(saved: File, way: str) -> None:
    twin = DUPLICATES[way](saved)
    assert (type(twin), dict(twin)) == (File, dict(saved))
    assert twin == saved
    with pytest.raises(TypeError, match="immutable"):
        twin.filename = "x"
    with twin.file as stream:
        assert stream.read() == b"content"


@pytest.mark.parametrize("way", DUPLICATES)
def test_a_duplicate_of_an_unsaved_file_can_be_stored(
    session: Session, storage: MemoryStorage, way: str
) -> None:
    twin = DUPLICATES[way](Scan(b"content", filename="a.txt", storage="main"))
    assert type(twin) is Scan
    twin.pages = 4
    save(session, twin)
    assert twin["pages"] == 4
    assert contents(storage) == [b"content"]


@pytest.mark.parametrize("way", DUPLICATES)
def test_a_file_and_its_duplicate_are_stored_both(
    session: Session, storage: MemoryStorage, way: str
) -> None:
    file = File(b"content" * 100_000)
    session.add_all([Paper(body=file), Paper(body=DUPLICATES[way](file))])
    session.commit()
    assert contents(storage) == [b"content" * 100_000] * 2


@pytest.mark.parametrize("way", DUPLICATES)
def test_a_duplicate_given_to_another_row_gets_objects_of_its_own(
    session: Session, storage: MemoryStorage, saved: File, way: str
) -> None:
    twin = save(session, DUPLICATES[way](saved))
    first, second = session.scalars(select(Paper).order_by(Paper.id))
    session.delete(first)
    session.commit()
    assert contents(storage) == [b"content"]
    assert second.body is not None
    assert second.body.file.read() == b"content"
    assert twin.saved


@pytest.mark.parametrize("way", ["copy", "deepcopy"])
def test_a_duplicate_made_within_the_transaction_survives_its_rollback(
    session: Session, storage: MemoryStorage, way: str
) -> None:
    file = File(b"content")
    session.add(Paper(body=file))
    session.flush()
    twin = DUPLICATES[way](file)
    session.rollback()
    assert keys(storage) == []
    save(session, file)
    assert contents(storage) == [b"content"]
    assert twin["path"] != file["path"]


def test_a_deep_copy_shares_no_list_with_the_file() -> None:
    file = File(b"content", tags=["a"])
    twin = copy.deepcopy(file)
    twin["tags"].append("b")
    assert file["tags"] == ["a"]


# --- equality


def test_saved_files_are_equal_by_their_record(saved: File) -> None:
    twin = File.decode(saved.encode())
    assert saved == twin
    assert not saved != twin  # noqa: SIM202  both operators are meant
    assert saved == saved.encode()
    assert saved != {**saved.encode(), "path": "main/other"}


def test_unsaved_files_are_equal_to_nothing_but_themselves() -> None:
    first, second = File(b"content"), File(b"content")
    assert first == first  # noqa: PLR0124
    assert first != second
    assert first != dict(first)


def test_a_file_is_not_hashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(File(b"content"))
