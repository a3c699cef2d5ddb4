"""Savepoints: each keeps and gives back what it stored and what it released."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SAWarning
from sqlalchemy.orm import Session

from .models import Album, Author, Book, Document, Product
from .table import Group
from .world import World

scenario = Group(
    name="savepoints",
    without=("legacy",),
    because="pysqlite's own transaction mode does not begin before a SAVEPOINT.",
)


observed = scenario.where(
    without=("static",), because="Nobody can look into the one connection's open transaction."
)


class Changed(Exception):
    """What a program raises inside a savepoint."""


def _document(session: Session) -> Document:
    return session.scalars(select(Document).where(Document.title == "it")).one()


def _insert(world: World, session: Session) -> None:
    session.add(Document(title="other", attachment=world.file("other")))


def _replace(world: World, session: Session) -> None:
    _document(session).attachment = world.file("new")


def _clear(_world: World, session: Session) -> None:
    _document(session).attachment = None


def _delete(_world: World, session: Session) -> None:
    session.delete(_document(session))


def _bulk_clear(_world: World, session: Session) -> None:
    session.execute(update(Document).values(attachment=None))


def _bulk_delete(_world: World, session: Session) -> None:
    session.execute(delete(Document))


ACTIONS: dict[str, tuple[Callable[[World, Session], None], list[Any]]] = {
    "insert": (_insert, ["old", "other"]),
    "replace": (_replace, ["new"]),
    "clear": (_clear, [None]),
    "delete": (_delete, []),
    "bulk_update": (_bulk_clear, [None]),
    "bulk_delete": (_bulk_delete, []),
}


def _add_action(name: str, act: Callable[[World, Session], None], changed: list[Any]) -> None:
    def rolled_back_under_a_committed_outer(world: World) -> None:
        world.save(Document(title="it", attachment=world.file("old")))
        with world.session() as session:
            savepoint = session.begin_nested()
            act(world, session)
            session.flush()
            savepoint.rollback()
            world.check()
            session.commit()
        assert world.labels(Document.attachment) == ["old"]

    def released_under_a_rolled_back_outer(world: World) -> None:
        world.save(Document(title="it", attachment=world.file("old")))
        with world.session() as session:
            with session.begin_nested():
                act(world, session)
            session.rollback()
        assert world.labels(Document.attachment) == ["old"]

    def released_under_a_committed_outer(world: World) -> None:
        world.save(Document(title="it", attachment=world.file("old")))
        with world.session() as session:
            with session.begin_nested():
                act(world, session)
            assert world.labels(Document.attachment) == ["old"]
            session.commit()
        assert world.labels(Document.attachment) == changed

    def left_by_an_exception(world: World) -> None:
        world.save(Document(title="it", attachment=world.file("old")))
        with world.session() as session:
            with pytest.raises(Changed), session.begin_nested():
                act(world, session)
                session.flush()
                raise Changed
            session.commit()
        assert world.labels(Document.attachment) == ["old"]

    def after_a_savepoint_that_did_the_same_and_was_rolled_back(world: World) -> None:
        world.save(Document(title="it", attachment=world.file("old")))
        with world.session() as session:
            savepoint = session.begin_nested()
            act(world, session)
            session.flush()
            savepoint.rollback()
            act(world, session)
            session.commit()
        assert world.labels(Document.attachment) == changed

    for run in (rolled_back_under_a_committed_outer, released_under_a_committed_outer):
        observed.add(f"{name}_{run.__name__}", run)
    for run in (
        released_under_a_rolled_back_outer,
        left_by_an_exception,
        after_a_savepoint_that_did_the_same_and_was_rolled_back,
    ):
        scenario.add(f"{name}_{run.__name__}", run)


for _name, (_act, _changed) in ACTIONS.items():
    _add_action(_name, _act, _changed)


DEPTH = 3
Ends = tuple[bool, ...]
"""How the outer transaction and each savepoint in it end, from outside in: True for kept."""


def _nested(world: World, session: Session, ends: Ends, level: int = 0) -> None:
    """Change something on every level, on the way in and on the way out."""
    _change(world, session, f"{level} in")
    if level < DEPTH:
        savepoint = session.begin_nested()
        _nested(world, session, ends, level + 1)
        if ends[level + 1]:
            savepoint.commit()
        else:
            savepoint.rollback()
        _change(world, session, f"{level} out")


def _change(world: World, session: Session, label: str) -> None:
    """Replace the file of one row, and insert another."""
    _document(session).attachment = world.file(f"replaced {label}")
    session.add(Document(attachment=world.file(f"inserted {label}")))
    session.flush()


def _expected(ends: Ends) -> list[str]:
    """Play the same on plain lists."""

    def play(rows: list[str], level: int) -> list[str]:
        rows = _changed(rows, f"{level} in")
        if level < DEPTH:
            inner = play(rows, level + 1)
            rows = _changed(inner if ends[level + 1] else rows, f"{level} out")
        return rows

    return play(["old"], 0) if ends[0] else ["old"]


def _changed(rows: list[str], label: str) -> list[str]:
    return [f"replaced {label}", *rows[1:], f"inserted {label}"]


def _add_depth(ends: Ends) -> None:
    def run(world: World) -> None:
        world.save(Document(title="it", attachment=world.file("old")))
        with world.session() as session:
            _nested(world, session, ends)
            session.commit() if ends[0] else session.rollback()
        assert world.labels(Document.attachment) == _expected(ends)

    words = "_".join("kept" if end else "undone" for end in ends)
    scenario.add(f"three_deep_{words}", run)


for _ends in product((True, False), repeat=DEPTH + 1):
    _add_depth(_ends)


def _add_replaced(ends: Ends) -> None:
    def run(world: World) -> None:
        """Only the replacement of the innermost level that is kept may remain."""
        world.save(Document(title="it", attachment=world.file("old")))
        with world.session() as session:
            savepoints = []
            for level in range(DEPTH + 1):
                if level:
                    savepoints.append(session.begin_nested())
                _document(session).attachment = world.file(f"level {level}")
                session.flush()
            for savepoint, kept in zip(reversed(savepoints), reversed(ends), strict=False):
                savepoint.commit() if kept else savepoint.rollback()
            session.commit()
        first_undone = ends.index(False) if False in ends else DEPTH
        assert world.label(Document.attachment) == f"level {first_undone}"

    words = "_".join("released" if end else "rolled_back" for end in ends)
    scenario.add(f"replaced_in_each_level_{words}", run)


for _ends in product((True, False), repeat=DEPTH):
    _add_replaced(_ends)


@scenario
def outer_rolled_back_from_within(world: World) -> None:
    """`Session.rollback` ends the transaction with all its savepoints."""
    world.save(Document(title="it", attachment=world.file("old")))
    with world.session() as session:
        _change(world, session, "outer")
        session.begin_nested()
        _change(world, session, "inner")
        session.begin_nested()
        _change(world, session, "innermost")
        session.rollback()
        world.check()
        session.commit()
    assert world.labels(Document.attachment) == ["old"]


@scenario
def committed_from_within(world: World) -> None:
    """`Session.commit` releases all savepoints and commits."""
    world.save(Document(title="it", attachment=world.file("old")))
    with world.session() as session:
        _change(world, session, "outer")
        session.begin_nested()
        _change(world, session, "inner")
        session.begin_nested()
        _change(world, session, "innermost")
        session.commit()
    labels = world.labels(Document.attachment)
    assert labels == _changed(_changed(_changed(["old"], "outer"), "inner"), "innermost")


@scenario
def closed_from_within(world: World) -> None:
    world.save(Document(title="it", attachment=world.file("old")))
    with world.session() as session:
        _change(world, session, "outer")
        session.begin_nested()
        _change(world, session, "inner")
    assert world.labels(Document.attachment) == ["old"]


@scenario
def one_after_another(world: World) -> None:
    with world.session() as session:
        for number in range(6):
            savepoint = session.begin_nested()
            session.add(Document(attachment=world.file(f"file-{number}")))
            session.flush()
            savepoint.commit() if number % 2 else savepoint.rollback()
        session.commit()
    assert world.labels(Document.attachment) == ["file-1", "file-3", "file-5"]


@scenario
def nothing_happened_in_it(world: World) -> None:
    world.save(Document(title="it", attachment=world.file("old")))
    with world.session() as session:
        with session.begin_nested():
            pass
        savepoint = session.begin_nested()
        savepoint.rollback()
        _document(session).attachment = world.file("new")
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def pending_before_it_stored_in_it(world: World) -> None:
    """`begin_nested` flushes first: what was added before it belongs to the outer transaction."""
    with world.session() as session:
        session.add(Document(title="before", attachment=world.file("before")))
        savepoint = session.begin_nested()
        assert len(world.objects()) == 1
        savepoint.rollback()
        session.commit()
    assert world.labels(Document.attachment) == ["before"]


@scenario
def a_flush_that_fails_in_it(world: World) -> None:
    """The usual way to insert "if it is not there yet"."""
    world.save(Document(title="taken", attachment=world.file("old")))
    with world.session() as session:
        session.add(Document(title="outer", attachment=world.file("outer")))
        with pytest.raises(IntegrityError), session.begin_nested():
            session.add(Document(title="taken", attachment=world.file("refused")))
        world_labels = {world.opens(row.attachment) for row in session.scalars(select(Document))}
        assert world_labels == {"old", "outer"}
        session.commit()
    assert world.labels(Document.attachment) == ["old", "outer"]


@scenario
def inserted_outside_replaced_inside_rolled_back(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("outer"))
        session.add(document)
        session.flush()
        savepoint = session.begin_nested()
        document.attachment = world.file("inner")
        session.flush()
        savepoint.rollback()
        assert world.opens(document.attachment) == "outer"
        session.commit()
    assert world.label(Document.attachment) == "outer"


@scenario
def inserted_outside_deleted_inside_rolled_back(world: World) -> None:
    with world.session() as session:
        document = Document(attachment=world.file("outer"))
        session.add(document)
        session.flush()
        savepoint = session.begin_nested()
        session.delete(document)
        session.flush()
        savepoint.rollback()
        session.commit()
    assert world.labels(Document.attachment) == ["outer"]


@scenario
def replaced_inside_and_replaced_again_outside(world: World) -> None:
    world.save(Document(title="it", attachment=world.file("old")))
    with world.session() as session:
        with session.begin_nested():
            _document(session).attachment = world.file("inner")
        _document(session).attachment = world.file("outer")
        session.commit()
    assert world.label(Document.attachment) == "outer"


@scenario
def put_back_inside_and_rolled_back(world: World) -> None:
    """The savepoint takes back what the outer transaction released, and is undone."""
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        document = session.get_one(Document, key)
        old = document.attachment
        document.attachment = world.file("new")
        session.flush()
        savepoint = session.begin_nested()
        document.attachment = old
        session.flush()
        savepoint.rollback()
        session.commit()
    assert world.label(Document.attachment) == "new"


@scenario
def put_back_outside_what_was_released_inside(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    path = world.path(Document.attachment)
    with world.session() as session:
        document = session.get_one(Document, key)
        old = document.attachment
        with session.begin_nested():
            document.attachment = world.file("new")
        document.attachment = old
        session.commit()
    assert world.path(Document.attachment) == path


@scenario
def moved_inside_and_rolled_back(world: World) -> None:
    key = world.save(Product(front=world.file("front")))
    with world.session() as session:
        product = session.get_one(Product, key)
        savepoint = session.begin_nested()
        product.front, product.back = None, product.front
        session.flush()
        savepoint.rollback()
        session.commit()
    assert (world.label(Product.front), world.label(Product.back)) == ("front", None)


@scenario
def released_outside_and_acquired_inside(world: World) -> None:
    key = world.save(Product(front=world.file("front")))
    for kept in (False, True):
        with world.session() as session:
            product = session.get_one(Product, key)
            file, product.front = product.front, None
            session.flush()
            savepoint = session.begin_nested()
            product.back = file
            session.flush()
            savepoint.commit() if kept else savepoint.rollback()
            session.commit() if kept else session.rollback()
        world.check()
    assert (world.label(Product.front), world.label(Product.back)) == (None, "front")


@scenario
def released_outside_acquired_inside_and_rolled_back(world: World) -> None:
    key = world.save(Product(front=world.file("front")))
    with world.session() as session:
        product = session.get_one(Product, key)
        file, product.front = product.front, None
        session.flush()
        savepoint = session.begin_nested()
        product.back = file
        session.flush()
        savepoint.rollback()
        session.commit()
    assert (world.label(Product.front), world.label(Product.back)) == (None, None)


@scenario
def list_changed_inside_and_rolled_back(world: World) -> None:
    key = world.save(Album(pictures=[world.file("a"), world.file("b"), world.file("c")]))
    with world.session() as session:
        album = session.get_one(Album, key)
        album.pictures.append(world.file("outer"))
        session.flush()
        savepoint = session.begin_nested()
        album.pictures.pop(0)
        album.pictures.append(world.file("inner"))
        album.pictures.reverse()
        session.flush()
        savepoint.rollback()
        assert [world.opens(file) for file in album.pictures] == ["a", "b", "c", "outer"]
        session.commit()
    assert world.label(Album.pictures) == ["a", "b", "c", "outer"]


@scenario
def cascade_inside_and_rolled_back(world: World) -> None:
    books = [Book(manuscript=world.file("book-0")), Book(manuscript=world.file("book-1"))]
    key = world.save(Author(portrait=world.file("portrait"), books=books))
    with world.session() as session:
        author = session.get_one(Author, key)
        savepoint = session.begin_nested()
        author.books.pop()
        session.flush()
        savepoint.rollback()
        savepoint = session.begin_nested()
        session.delete(author)
        session.flush()
        savepoint.rollback()
        session.commit()
    assert world.labels(Book.manuscript) == ["book-0", "book-1"]


@scenario
def of_a_bare_connection(world: World) -> None:
    with world.engine.begin() as connection:
        for number in range(3):
            savepoint = connection.begin_nested()
            connection.execute(insert(Document).values(attachment=world.file(f"file-{number}")))
            savepoint.commit() if number == 1 else savepoint.rollback()
    assert world.labels(Document.attachment) == ["file-1"]


@scenario
def of_a_bare_connection_three_deep(world: World) -> None:
    with world.engine.connect() as connection:
        for level in range(DEPTH):
            if level:
                connection.begin_nested()
            connection.execute(insert(Document).values(attachment=world.file(f"level {level}")))
        innermost = connection.get_nested_transaction()
        assert innermost is not None
        innermost.rollback()
        middle = connection.get_nested_transaction()
        assert middle is not None
        middle.commit()
        connection.commit()
    assert world.labels(Document.attachment) == ["level 0", "level 1"]


@scenario
def an_outer_one_ended_while_an_inner_one_is_open(world: World) -> None:
    for kept in (True, False):
        with world.engine.begin() as connection:
            outer = connection.begin_nested()
            connection.execute(insert(Document).values(attachment=world.file("outer")))
            connection.begin_nested()
            connection.execute(insert(Document).values(attachment=world.file("inner")))
            with pytest.warns(SAWarning, match="already deassociated"):
                outer.commit() if kept else outer.rollback()
        world.check()
    assert world.labels(Document.attachment) == ["outer", "inner"]
