"""Statements that no flush wrote: what is followed, what is refused, and with which advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import IntegrityError, ObjectNotExecutableError
from sqlalchemy.pool import StaticPool

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import tables_on
from tests.stores import keys
from tests.tracking.writes.tables import files, fill, keyless, metadata, paper, plain, run


@pytest.fixture
def engine(storage: MemoryStorage) -> Iterator[Engine]:
    with tables_on("sqlite://", metadata, poolclass=StaticPool) as engine:
        yield engine


# --- what is refused, and what the advice is

select_papers = select(paper.c.title, paper.c.body)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "another column": (
        lambda: update(paper).values(body=paper.c.pages),
        "paper.body: a SQL expression .* give it a File, content, or None",
    ),
    "a function": (lambda: update(paper).values(body=func.coalesce(None)), "SQL expression"),
    "a case": (lambda: update(paper).values(body=case((paper.c.id > 1, None))), "SQL expression"),
    "text": (lambda: update(paper).values(body=text("NULL")), "SQL expression"),
    "a subquery": (
        lambda: insert(paper).values(body=select(keyless.c.body).scalar_subquery()),
        "SQL expression",
    ),
    "an expression in one of several rows": (
        lambda: insert(paper).values([{"body": None}, {"body": func.json("{}")}]),
        "SQL expression",
    ),
    "an expression in ordered values": (
        lambda: update(paper).ordered_values(("body", paper.c.pages)),
        "SQL expression",
    ),
    "insert from select": (
        lambda: insert(paper).from_select(["title", "body"], select_papers),
        "select the rows first",
    ),
    "one content for several rows": (
        lambda: update(paper).values(body=File(b"x")),
        "one content for 2 rows.*its own File",
    ),
    "one list for several rows": (
        lambda: update(paper).values(pages=[File(b"x")]),
        "one content for 2 rows",
    ),
    "insert or ignore": (
        lambda: insert(paper).prefix_with("OR IGNORE").values(id=1, body=File(b"x")),
        "INSERT OR IGNORE",
    ),
    "an upsert with a condition": (
        lambda: (
            sqlite.insert(paper)
            .values(id=1, body=File(b"x"))
            .on_conflict_do_update(index_elements=["id"], set_={"title": "x"}, where=paper.c.id > 5)
        ),
        "where=",
    ),
    "a file in the set_ of an upsert": (
        lambda: (
            sqlite.insert(paper)
            .values(id=1)
            .on_conflict_do_update(index_elements=["id"], set_={"body": File(b"x")})
        ),
        "put it into values",
    ),
    "on duplicate key update": (
        lambda: (
            mysql.insert(paper).values(id=1, body=File(b"x")).on_duplicate_key_update(title="x")
        ),
        "cannot be known",
    ),
    "a join": (
        lambda: delete(paper.join(plain, paper.c.id == plain.c.id)),  # type: ignore[arg-type]
        "address that table alone",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_known_is_refused_with_advice(
    engine: Engine, storage: MemoryStorage, name: str
) -> None:
    make, advice = REFUSED[name]
    fill(engine, paper, [{"title": "a", "body": b"a"}, {"title": "b", "body": b"b"}])
    with pytest.raises(UnsupportedStatementError, match=advice):
        run(engine, make())
    assert files(engine, storage, paper) == [b"a", b"b"]


@pytest.mark.parametrize("wrong", [{"path": "main/1"}, 42, ["x"]], ids=repr)
def test_a_wrong_value_is_refused_as_for_an_attribute(
    engine: Engine, storage: MemoryStorage, wrong: Any
) -> None:
    for statement in (insert(paper).values(body=wrong), update(paper).values(body=wrong)):
        with pytest.raises(TypeError, match=r"paper\.body.*assign"):
            run(engine, statement)
    with pytest.raises(TypeError, match="assign"):
        run(engine, insert(paper), [{"body": b"good"}, {"body": wrong}])
    assert keys(storage) == []


def test_a_compiled_statement_is_no_way_around(engine: Engine, storage: MemoryStorage) -> None:
    fill(engine, paper, [{"body": b"a"}])
    for statement in (insert(paper).values(body=File(b"x")), delete(paper)):
        # SQLAlchemy 2.0 executes compiled statements, 2.1 does not.
        with pytest.raises((ObjectNotExecutableError, UnsupportedStatementError)):
            run(engine, statement.compile(engine))
    assert files(engine, storage, paper) == [b"a"]


# --- what is followed

FOLLOWED: dict[str, tuple[Callable[[], Any], list[bytes]]] = {
    "a condition on no key": (lambda: delete(paper).where(paper.c.title == "a"), [b"b"]),
    "a condition on the key": (lambda: delete(paper).where(paper.c.id == 1), [b"b"]),
    "a condition on both": (
        lambda: delete(paper).where(paper.c.id == 1, paper.c.title == "b"),
        [b"a", b"b"],
    ),
    "either": (
        lambda: delete(paper).where((paper.c.id == 1) | (paper.c.title == "b")),
        [],
    ),
    "a subquery": (
        lambda: delete(paper).where(paper.c.id.in_(select(func.max(paper.c.id)))),
        [b"a"],
    ),
    "no row": (lambda: delete(paper).where(paper.c.id == 99), [b"a", b"b"]),
    "a key as text": (lambda: delete(paper).where(paper.c.id == text("'1'")), [b"b"]),
    "an empty list": (lambda: delete(paper).where(paper.c.id.in_([])), [b"a", b"b"]),
    "every row": (lambda: update(paper).values(body=None), []),
    "null": (lambda: update(paper).values(body=null()).where(paper.c.id == 2), [b"a"]),
    "content for one row": (
        lambda: update(paper).values(body=b"x").where(paper.c.title == "a"),
        [b"b", b"x"],
    ),
    "content for no row": (
        lambda: update(paper).values(body=b"x").where(paper.c.title == "z"),
        [b"a", b"b"],
    ),
    "other columns": (lambda: update(paper).values(title=None), [b"a", b"b"]),
    "returning": (lambda: delete(paper).where(paper.c.id == 1).returning(paper.c.id), [b"b"]),
    "rows at once": (
        lambda: insert(paper).values([{"body": b"x"}, {"body": File(b"y")}, {"body": None}]),
        [b"a", b"b", b"x", b"y"],
    ),
    "a row as a tuple": (
        lambda: insert(paper).values((9, "t", File(b"x"), None)),
        [b"a", b"b", b"x"],
    ),
    "ordered values": (
        lambda: update(paper).ordered_values(("body", File(b"x"))).where(paper.c.id == 1),
        [b"b", b"x"],
    ),
    "columns as keys": (lambda: insert(paper).values({paper.c.body: b"x"}), [b"a", b"b", b"x"]),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_statement_is_followed(engine: Engine, storage: MemoryStorage, name: str) -> None:
    make, expected = FOLLOWED[name]
    fill(engine, paper, [{"title": "a", "body": b"a"}, {"title": "b", "body": b"b"}])
    run(engine, make())
    assert files(engine, storage, paper) == expected


def test_one_statement_with_many_parameters_is_followed(
    engine: Engine, storage: MemoryStorage
) -> None:
    fill(engine, paper, [{"title": label, "body": label.encode()} for label in "abc"])
    by_title = paper.c.title == bindparam("which")
    run(
        engine,
        update(paper).where(by_title).values(body=bindparam("new")),
        [{"which": "a", "new": File(b"x")}, {"which": "z", "new": File(b"lost")}],
    )
    assert files(engine, storage, paper) == [b"b", b"c", b"x"]
    run(engine, delete(paper).where(by_title), [{"which": "b"}, {"which": "a"}])
    assert files(engine, storage, paper) == [b"c"]


def test_many_parameters_of_which_one_is_refused_by_the_database_leave_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    fill(engine, paper, [{"title": "a", "body": b"a"}])
    rows = [{"title": label, "body": File(label.encode())} for label in "bcad"]
    with engine.connect() as connection:
        with pytest.raises(IntegrityError):
            connection.execute(insert(paper), rows)
        connection.commit()
    assert b"a" in files(engine, storage, paper)


@pytest.mark.parametrize("same", [File(b"x"), [File(b"x")]], ids=["file", "list"])
def test_one_file_in_several_rows_becomes_an_object_each(
    engine: Engine, storage: MemoryStorage, same: Any
) -> None:
    column = "pages" if isinstance(same, list) else "body"
    fill(engine, paper, [{column: same}, {column: same}])
    assert files(engine, storage, paper) == [b"x", b"x"]
    run(engine, delete(paper).where(paper.c.id == 1))
    assert files(engine, storage, paper) == [b"x"]


def test_an_upsert_releases_what_stood_in_its_way(engine: Engine, storage: MemoryStorage) -> None:
    fill(engine, paper, [{"id": 1, "title": "a", "body": b"a"}])
    upsert = sqlite.insert(paper).values(id=1, title="b", body=File(b"b"))
    run(engine, upsert.on_conflict_do_update(index_elements=["id"], set_={"title": "b"}))
    assert files(engine, storage, paper) == [b"a"]
    upsert = sqlite.insert(paper).values(id=1, title="c", body=File(b"c"))
    run(
        engine,
        upsert.on_conflict_do_update(index_elements=["id"], set_={"body": upsert.excluded.body}),
    )
    assert files(engine, storage, paper) == [b"c"]
