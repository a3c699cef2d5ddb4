"""Transactions that a program ends by SQL of its own: what rows name is never deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    bindparam,
    delete,
    event,
    insert,
    text,
    update,
)

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import keys, named

metadata = MetaData()
paper = Table(
    "paper", metadata, Column("id", Integer, primary_key=True), Column("body", FileField())
)

WAYS: dict[str, Callable[[Connection, str], Any]] = {
    "text": lambda connection, sql: connection.execute(text(sql)),
    "the driver": lambda connection, sql: connection.exec_driver_sql(sql),
}


@pytest.fixture
def engine(storage: MemoryStorage, tmp_path: Path) -> Iterator[Engine]:
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(paper).values(id=1, body=File(b"old")))
    yield engine
    engine.dispose()


def assert_nothing_is_missing(engine: Engine, storage: MemoryStorage) -> None:
    assert set(named(engine, "paper", "body")) <= {f"main/{key}" for key in keys(storage)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
@pytest.mark.parametrize("sql", ["COMMIT", " commit ;", "END", "ROLLBACK"])
def test_a_transaction_ended_by_sql(
    engine: Engine, storage: MemoryStorage, way: str, end: str, sql: str
) -> None:
    with engine.connect() as connection:
        connection.execute(insert(paper).values(id=2, body=File(b"new")))
        connection.execute(delete(paper).where(paper.c.id == 1))
        WAYS[way](connection, sql)
        getattr(connection, end)()
    assert_nothing_is_missing(engine, storage)


@pytest.mark.parametrize("way", WAYS)
def test_a_savepoint_rolled_back_by_sql(engine: Engine, storage: MemoryStorage, way: str) -> None:
    with engine.connect() as connection:
        connection.execute(insert(paper).values(id=2, body=File(b"new")))
        WAYS[way](connection, "SAVEPOINT mine")
        connection.execute(insert(paper).values(id=3, body=File(b"undone")))
        connection.execute(delete(paper).where(paper.c.id == 1))
        WAYS[way](connection, "ROLLBACK TO mine")
        connection.commit()
    assert_nothing_is_missing(engine, storage)


@pytest.mark.parametrize("way", WAYS)
def test_what_follows_a_transaction_ended_by_sql_is_followed_again(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    with engine.connect() as connection:
        connection.execute(insert(paper).values(id=2, body=File(b"new")))
        WAYS[way](connection, "COMMIT")
        connection.commit()
        connection.execute(delete(paper))
        connection.commit()
    assert_nothing_is_missing(engine, storage)
    assert keys(storage) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_listener_that_sends_statements_itself_does_not_hide_the_end_of_a_transaction(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    def send(cursor: Any, sql: str, parameters: Any, context: Any) -> bool:
        cursor.execute(sql, parameters)
        return True

    event.listen(engine, "do_execute", send)
    with engine.connect() as connection:
        connection.execute(insert(paper).values(id=2, body=File(b"new")))
        WAYS[way](connection, "COMMIT")
        WAYS[way](connection, "BEGIN")
        connection.rollback()
    assert_nothing_is_missing(engine, storage)
    assert len(keys(storage)) == 2


def test_a_listener_that_sends_what_has_no_parameters_does_not_hide_the_end_of_a_transaction(
    engine: Engine, storage: MemoryStorage
) -> None:
    def send(cursor: Any, sql: str, context: Any) -> bool:
        cursor.execute(sql)
        return True

    event.listen(engine, "do_execute_no_params", send)
    with engine.connect().execution_options(no_parameters=True) as connection:
        connection.execute(insert(paper).values(id=2, body=File(b"new")))
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN")
        connection.rollback()
    assert_nothing_is_missing(engine, storage)
    assert len(keys(storage)) == 2


def test_a_listener_that_sends_several_sets_itself_does_not_hide_a_statement_in_with(
    engine: Engine, storage: MemoryStorage
) -> None:
    def send(cursor: Any, sql: str, parameters: Any, context: Any) -> bool:
        cursor.executemany(sql, parameters)
        return True

    event.listen(engine, "do_executemany", send)
    hidden = delete(paper).where(paper.c.id == 1).cte("hidden")
    statement = update(paper).where(paper.c.id == bindparam("which")).add_cte(hidden)
    with engine.connect() as connection, pytest.raises(UnsupportedStatementError):
        connection.execute(statement.values(id=bindparam("to")), [{"which": 1, "to": 2}] * 2)
