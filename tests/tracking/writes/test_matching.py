"""A statement touches the rows whose files were read, however many and whatever their keys."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    delete,
    func,
    update,
)
from sqlalchemy.pool import StaticPool

from sqlalchemy_file import File
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import tables_on
from tests.stores import keys
from tests.tracking.writes.tables import (
    binary,
    composite,
    files,
    fill,
    keyless,
    metadata,
    paper,
    run,
    spelled,
)


@pytest.fixture
def engine(storage: MemoryStorage) -> Iterator[Engine]:
    with tables_on("sqlite://", metadata, poolclass=StaticPool) as engine:
        yield engine


def test_a_table_without_a_primary_key_is_followed(engine: Engine, storage: MemoryStorage) -> None:
    fill(engine, keyless, [{"title": label, "body": label.encode()} for label in "abb"])
    run(engine, update(keyless).where(keyless.c.title == "a").values(body=File(b"x")))
    assert files(engine, storage, keyless) == [b"b", b"b", b"x"]
    run(engine, delete(keyless).where(keyless.c.title == "b"))
    assert files(engine, storage, keyless) == [b"x"]


@pytest.mark.parametrize("count", [3, 501])
def test_rows_of_a_composite_key_are_pinned_by_all_of_it(
    engine: Engine, storage: MemoryStorage, count: int
) -> None:
    rows = [
        {"folder": folder, "number": number, "body": f"{folder}{number}"}
        for number in range(count)
        for folder in "ab"
    ]
    fill(engine, composite, rows)
    run(engine, delete(composite).where(composite.c.folder > "a"))
    assert files(engine, storage, composite) == sorted(f"a{n}".encode() for n in range(count))
    one = (composite.c.number == 1, composite.c.folder == "a")
    run(engine, update(composite).where(*one).values(body=File(b"x")))
    assert b"x" in files(engine, storage, composite)


@pytest.mark.parametrize("count", [499, 501])
def test_keys_of_every_spelling_are_pinned(
    engine: Engine, storage: MemoryStorage, count: int
) -> None:
    odd = ["it's", "100%", "%s %(a)s", "a\\b", ":x", '"q"', "ünï ☕"]
    odd += ["", " ", "?", "--", "\n", "\\"]
    names = [*odd, *(f"{odd[number % len(odd)]}{number}" for number in range(count))]
    fill(engine, spelled, [{"id": name, "body": name} for name in names])
    kept = run(engine, delete(spelled).where(func.length(spelled.c.id) < 500))
    assert kept == len(names)
    assert files(engine, storage, spelled) == []


def test_binary_keys_of_many_rows_are_pinned(engine: Engine, storage: MemoryStorage) -> None:
    fill(engine, binary, [{"id": uuid.uuid4().bytes, "body": b"x"} for _ in range(501)])
    run(engine, delete(binary).where(func.length(binary.c.id) == 16))
    assert files(engine, storage, binary) == []


def test_more_rows_than_a_database_takes_parameters_are_released(
    engine: Engine, storage: MemoryStorage
) -> None:
    count = 3_001
    with engine.begin() as connection:  # rows alone: what they name need not exist
        driver: Any = connection.connection.driver_connection
        driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)  # as of old releases
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO paper (id, title, body) SELECT i, i, "
            """'{"path": "main/' || i || '", "files": ["main/' || i || '"]}' FROM n""",
            (count,),
        )
    assert run(engine, update(paper).where(paper.c.title != "x").values(body=None)) == count
    assert run(engine, delete(paper).where(paper.c.title != "x")) == count
    assert keys(storage) == []
