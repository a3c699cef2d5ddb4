"""Rows that share an object, as SQL and old releases leave them behind, with a ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, event, text
from sqlalchemy.orm import Session, registry

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import drain
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking import leases
from tests.databases import on_sqlite_and_postgresql, tables_on
from tests.stores import contents


class Paper:
    id: int
    body: File | None


class Copy:
    id: int
    pages: list[File] | None


@pytest.fixture(params=[False, True], ids=["scanned", "indexed"])
def metadata(request: pytest.FixtureRequest) -> Iterator[MetaData]:
    mapped = registry()
    id_ = [Column("id", Integer, primary_key=True) for _ in range(2)]
    paper = Table("shared_paper", mapped.metadata, id_[0], Column("body", FileField()))
    copies = Table(
        "shared_copy", mapped.metadata, id_[1], Column("pages", FileField(multiple=True))
    )
    mapped.map_imperatively(Paper, paper)
    mapped.map_imperatively(Copy, copies)
    Ledger(mapped.metadata, indexed=request.param)
    yield mapped.metadata
    mapped.dispose()


@pytest.fixture
def engine(url: str, storage: MemoryStorage, metadata: MetaData) -> Iterator[Engine]:
    with tables_on(url, metadata) as engine:
        with Session(engine) as session:
            session.add_all([paper(b"a"), paper(b"b")])
            session.commit()
        yield engine


def paper(content: bytes) -> Paper:
    made = Paper()
    made.body = File(content)
    return made


def share(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def delete_first(engine: Engine) -> None:
    with Session(engine) as session:
        session.delete(session.get_one(Paper, 1))
        session.commit()


def drained(engine: Engine, metadata: MetaData) -> list[str]:
    with engine.begin() as connection:
        connection.execute(text("UPDATE sqlalchemy_file_release SET due_at = 0"))
    return [finding.kind for finding in drain(engine, metadata)]


COPIES = {
    "a row of the table": "INSERT INTO shared_paper (id, body) SELECT 9, body FROM shared_paper "
    "WHERE id = 1",
    "a list of another table": "INSERT INTO shared_copy (id, pages) SELECT 9, {list} "
    "FROM shared_paper WHERE id = 1",
}


@pytest.mark.parametrize("where", COPIES)
def test_what_another_row_names_stays_until_that_lets_go(
    engine: Engine, storage: MemoryStorage, metadata: MetaData, where: str
) -> None:
    cast = "CAST({} AS json)" if engine.dialect.name == "postgresql" else "{}"
    as_list = {"mariadb": "concat('[', body, ']')", "mysql": "concat('[', body, ']')"}
    made = as_list.get(engine.dialect.name, cast.format("'[' || body || ']'"))
    share(engine, COPIES[where].format(list=made))
    delete_first(engine)
    assert contents(storage) == [b"a", b"b"]
    assert drained(engine, metadata) == ["named"]
    with Session(engine) as session:
        for kind in (Paper, Copy):
            for row in session.query(kind).where(kind.id == 9):  # type: ignore[attr-defined]
                session.delete(row)
        session.commit()
    assert contents(storage) == [b"b"]


def test_an_object_of_one_row_is_deleted_at_once(engine: Engine, storage: MemoryStorage) -> None:
    delete_first(engine)
    assert contents(storage) == [b"b"]


@on_sqlite_and_postgresql
def test_where_no_index_answers_a_large_table_leaves_it_to_the_drain(
    engine: Engine,
    storage: MemoryStorage,
    metadata: MetaData,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(leases, "MOST_ROWS", 0)
    is_indexed = "indexed" in request.node.callspec.id
    delete_first(engine)
    assert contents(storage) == ([b"b"] if is_indexed else [b"a", b"b"])
    assert drained(engine, metadata) == ([] if is_indexed else ["deleted"])
    assert contents(storage) == [b"b"]


def test_all_tables_are_asked_in_one_query(engine: Engine, storage: MemoryStorage) -> None:
    delete_first(engine)
    with Session(engine) as session:
        row = session.get_one(Paper, 2)
        sent: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *a: sent.append(a[2]))
        session.delete(row)
        session.commit()
    asking = [statement for statement in sent if "UNION ALL" in statement]
    assert len(asking) == 1
