"""What a flush has decided about its rows, and what hooks change before its statements run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Engine, event, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.calls import calls_noted
from tests.models import Paper
from tests.stores import contents, keys, named

MOST_CALLS = 202
MOST_MODULES = 26


Hook = Callable[[Any, Connection, Paper], None]


@contextmanager
def hooked(name: str, hook: Hook) -> Iterator[None]:
    event.listen(Paper, name, hook)
    try:
        yield
    finally:
        event.remove(Paper, name, hook)


def assert_exact(session: Session, storage: MemoryStorage, *expected: bytes) -> None:
    """Check that the storage holds these contents, and that rows name each object once."""
    paths = named(session.get_bind(), "paper", "body", "pages")  # type: ignore[arg-type]
    assert sorted(paths) == sorted(f"main/{key}" for key in keys(storage))
    assert contents(storage) == sorted(expected)


def test_a_hook_may_put_another_file_in_the_place_of_the_decided_one(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(body=File(b"old"))
    session.add(paper)
    session.commit()

    def exchange(mapper: Any, connection: Connection, target: Paper) -> None:
        target.body = File(b"by the hook")

    paper.body = File(b"decided")
    with hooked("before_update", exchange):
        session.commit()
    assert_exact(session, storage, b"by the hook")


@pytest.mark.parametrize("name", ["before_insert", "before_update"])
def test_a_hook_may_lengthen_the_list_that_was_decided(
    session: Session, storage: MemoryStorage, name: str
) -> None:
    paper = Paper()
    if name == "before_update":
        session.add(paper)
        session.commit()

    def lengthen(mapper: Any, connection: Connection, target: Paper) -> None:
        assert target.pages is not None
        target.pages.append(File(b"by the hook"))

    paper.pages = [File(b"decided")]
    session.add(paper)
    with hooked(name, lengthen):
        session.commit()
    assert_exact(session, storage, b"decided", b"by the hook")


def test_a_hook_may_empty_the_attribute_that_was_decided(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(body=File(b"old"))
    session.add(paper)
    session.commit()

    def empty(mapper: Any, connection: Connection, target: Paper) -> None:
        target.body = None

    paper.body = File(b"decided")
    with hooked("before_update", empty):
        session.commit()
    assert_exact(session, storage)


def test_hooks_may_swap_the_new_files_of_two_rows(session: Session, storage: MemoryStorage) -> None:
    papers = [Paper(body=File(b"old")), Paper(body=File(b"older"))]
    session.add_all(papers)
    session.commit()
    first, second = papers
    new = [File(b"1"), File(b"2")]
    first.body, second.body = new

    def swap(mapper: Any, connection: Connection, target: Paper) -> None:
        target.body = new[target is first]

    with hooked("before_update", swap):
        session.commit()
    assert_exact(session, storage, b"1", b"2")
    assert first.body.file.read() == b"2"


def test_files_of_two_columns_are_swapped_and_swapped_back(
    session: Session, storage: MemoryStorage
) -> None:
    one, two = Paper(body=File(b"1")), Paper(pages=[File(b"2")])
    session.add_all([one, two])
    session.commit()
    for _ in range(3):
        assert two.pages
        one.body, two.pages = two.pages[0], [one.body]
        session.flush()
    session.commit()
    assert_exact(session, storage, b"1", b"2")
    one.body = None
    session.commit()
    assert_exact(session, storage, b"1")


def test_a_decided_file_that_a_hook_inserts_first_belongs_to_that_row(
    session: Session, storage: MemoryStorage
) -> None:
    def insert_too(mapper: Any, connection: Connection, target: Paper) -> None:
        connection.execute(Paper.__table__.insert(), {"body": target.body})

    session.add(Paper(body=File(b"decided")))
    with hooked("before_insert", insert_too):
        session.commit()
    assert_exact(session, storage, b"decided", b"decided")


def test_a_decided_file_belongs_to_one_row_though_a_hook_changed_what_is_inserted_with_it(
    session: Session, storage: MemoryStorage
) -> None:
    papers = [Paper(id=1, body=File(b"decided")), Paper(id=2, body=File(b"changed"))]

    def exchange(mapper: Any, connection: Connection, target: Paper) -> None:
        if target.id == 2:
            target.body = File(b"by the hook")

    def insert_again(mapper: Any, connection: Connection, target: Paper) -> None:
        if target.id == 1:
            connection.execute(Paper.__table__.insert(), {"id": 3, "body": target.body})

    session.add_all(papers)
    with hooked("before_insert", exchange), hooked("after_insert", insert_again):
        session.commit()
    assert_exact(session, storage, b"decided", b"by the hook", b"decided")


@pytest.mark.parametrize("how", ["by key", "by another column", "upsert"])
def test_a_row_that_a_hook_has_changed_is_read_again(
    session: Session, storage: MemoryStorage, how: str
) -> None:
    paper = Paper(id=1, body=File(b"old"))
    session.add(paper)
    session.commit()
    table = Paper.__table__

    def change_row(mapper: Any, connection: Connection, target: Paper) -> None:
        given = {"body": File(b"by the hook")}
        if how == "upsert":
            new = sqlite_insert(Paper).values(id=1, **given)
            changed = {"body": new.excluded.body}
            connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=changed))
        else:
            where = table.c.id == 1 if how == "by key" else table.c.pages.is_(None)
            connection.execute(update(Paper).where(where).values(given))

    paper.id, paper.body = 2, File(b"decided")
    with hooked("before_update", change_row):
        session.commit()
    assert_exact(session, storage, b"decided")


@pytest.mark.filterwarnings("ignore:DELETE statement on table")
def test_a_row_keeps_its_file_if_a_hook_changes_its_primary_key_before_it_is_deleted(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(id=1, body=File(b"old"))
    session.add(paper)
    session.commit()

    def change_key(mapper: Any, connection: Connection, target: Paper) -> None:
        table = Paper.__table__
        connection.execute(update(table).where(table.c.id == 1).values(id=2))

    session.refresh(paper)
    session.delete(paper)
    with hooked("before_delete", change_key):
        session.commit()
    assert_exact(session, storage, b"old")


def test_a_row_is_deleted_in_the_flush_in_which_a_hook_changes_another(
    session: Session, storage: MemoryStorage
) -> None:
    kept, gone = Paper(body=File(b"old")), Paper(body=File(b"gone"))
    session.add_all([kept, gone])
    session.commit()

    def exchange(mapper: Any, connection: Connection, target: Paper) -> None:
        target.body = File(b"by the hook")

    kept.body = File(b"decided")
    session.delete(gone)
    with hooked("before_update", exchange):
        session.commit()
    assert_exact(session, storage, b"by the hook")


def test_the_moves_of_a_second_session_on_one_connection_are_checked(
    session: Session, storage: MemoryStorage
) -> None:
    session.add_all([Paper(id=1, body=File(b"moved")), Paper(id=2)])
    session.commit()
    with cast("Engine", session.get_bind()).connect() as connection:
        connection.begin()
        with Session(connection) as first, Session(connection) as second:
            first.get_one(Paper, 1)
            owner, other = second.get_one(Paper, 1), second.get_one(Paper, 2)
            moved, other.body, owner.body = owner.body, owner.body, None

            def put_back(mapper: Any, connection: Connection, target: Paper) -> None:
                if target is owner:
                    target.body = moved

            with (
                hooked("before_update", put_back),
                pytest.raises(StorageError, match="two rows would refer to"),
            ):
                second.flush()
    assert_exact(session, storage, b"moved")


def test_a_rolled_back_flush_leaves_no_decision_behind(
    session: Session, storage: MemoryStorage
) -> None:
    def fail(mapper: Any, connection: Connection, target: Paper) -> None:
        raise ValueError("by the hook")

    paper = Paper(body=File(b"decided"))
    session.add(paper)
    with hooked("before_insert", fail), pytest.raises(ValueError, match="by the hook"):
        session.commit()
    session.rollback()
    assert_exact(session, storage)
    session.add(paper)
    session.commit()
    assert_exact(session, storage, b"decided")


def test_few_functions_are_called_to_replace_one_file(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(body=File(b"old"))
    session.add(paper)
    for _ in range(2):  # caches are filled
        session.commit()
        paper.body = File(b"older")
    session.commit()
    paper.body = File(b"new")
    with calls_noted() as places:
        session.flush()
    assert len(places) <= MOST_CALLS
    assert len(set(places)) <= MOST_MODULES
    session.commit()
    assert_exact(session, storage, b"new")
