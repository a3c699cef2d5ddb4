"""Random programs of statements, some of which fail, and of plain SQL that moves references."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress

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
    insert,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import sqlite_only, tables_on
from tests.stores import contents, keys, named

metadata = MetaData()
paper = Table(
    "random_paper",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, unique=True),
    Column("body", FileField()),
)
shelf = Table(
    "random_shelf",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("body", FileField()),
)
Step = Callable[[Connection, random.Random], object]


@pytest.fixture
def engine(url: str, storage: MemoryStorage) -> Iterator[Engine]:
    with tables_on(url, metadata) as engine:
        yield engine


def row(chance: random.Random) -> int:
    return chance.randint(1, 4)


def new(chance: random.Random) -> File | None:
    return chance.choice([None, File(f"{chance.random()}")])


def _body(connection: Connection, chance: random.Random) -> File | None:
    body: File | None = connection.scalar(select(paper.c.body).where(paper.c.id == row(chance)))
    return body


def _insert(connection: Connection, chance: random.Random) -> None:
    ids = {row(chance) for _ in range(3)}
    rows = [{"id": n, "number": n, "body": new(chance)} for n in ids]
    connection.execute(insert(paper), rows)


def _upsert(connection: Connection, chance: random.Random) -> None:
    statement = sqlite.insert(paper)
    if chance.random() < 0.5:
        statement = statement.on_conflict_do_nothing(index_elements=["id"])
    else:
        excluded = {"body": statement.excluded.body}
        statement = statement.on_conflict_do_update(index_elements=["id"], set_=excluded)
    rows = [{"id": n, "number": n, "body": new(chance)} for n in (row(chance), row(chance))]
    connection.execute(statement, rows)


def _update(connection: Connection, chance: random.Random) -> None:
    """Give rows new files, or those of other rows; their numbers may conflict."""
    statement = update(paper).where(paper.c.id == bindparam("which"))
    statement = statement.values(body=bindparam("what"), number=bindparam("label"))
    files = [chance.choice([new(chance), _body(connection, chance)]) for _ in range(3)]
    rows = [{"which": row(chance), "what": file, "label": row(chance)} for file in files]
    connection.execute(statement, rows)


def _delete(connection: Connection, chance: random.Random) -> None:
    connection.execute(delete(paper).where(paper.c.id == row(chance)))


def _nested(connection: Connection, chance: random.Random) -> None:
    with suppress(IntegrityError), connection.begin_nested() as savepoint:
        for _ in range(2):
            chance.choice([_insert, _upsert, _update, _delete])(connection, chance)
        if chance.random() < 0.3:
            savepoint.rollback()


def _move(connection: Connection, chance: random.Random) -> None:
    """Move a reference to another table by SQL as text, or back."""
    here, there = chance.sample(["random_paper", "random_shelf"], 2)
    one = row(chance)
    for statement in (
        f"DELETE FROM {there} WHERE id = {one}",
        f"INSERT INTO {there} (id, body) SELECT id, body FROM {here} WHERE id = {one}",
        chance.choice(["DELETE FROM {} WHERE id = {}", "UPDATE {} SET body = NULL WHERE id = {}"]),
    ):
        connection.exec_driver_sql(statement.format(here, one))


STEPS: list[Step] = [_insert, _upsert, _update, _delete, _nested]


@pytest.mark.parametrize("seed", [3, 5, 18, 30])
@pytest.mark.parametrize("moves", [False, True], ids=["followed", "moved by text"])
@sqlite_only
def test_no_row_loses_its_file(
    engine: Engine, storage: MemoryStorage, seed: int, moves: bool
) -> None:
    chance = random.Random(seed)
    steps = [*STEPS, _move, _move] if moves else STEPS
    for _ in range(12):
        with engine.connect() as connection:
            for _ in range(chance.randint(2, 7)):
                with suppress(IntegrityError):
                    chance.choice(steps)(connection, chance)
            connection.commit() if chance.random() < 0.8 else connection.rollback()
        paths = [path for table in metadata.tables for path in named(engine, table, "body")]
        stored = [f"main/{key}" for key in keys(storage)]
        assert len(paths) == len(set(paths))
        assert set(paths) <= set(stored)
        if not moves:  # else rows that were inserted may be gone unseen
            assert sorted(paths) == sorted(stored), contents(storage)
