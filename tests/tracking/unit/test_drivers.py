"""Drivers that few programs use show whether a transaction is open, as the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    bindparam,
    create_engine,
    insert,
    make_url,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage import MemoryStorage
from sqlalchemy_file.tracking.unit.standing import Standing, driver_autocommit, standing
from tests.databases import tables_on
from tests.stores import contents, keys, named

metadata = MetaData()
leaf = Table(
    "driven_leaf", metadata, Column("id", Integer, primary_key=True), Column("body", FileField())
)

SYNC = ["mysql+mysqlconnector", "postgresql+psycopg2"]
ASYNC = ["mysql+aiomysql", "mysql+asyncmy"]


@pytest.fixture
def url(request: pytest.FixtureRequest, storage: MemoryStorage) -> Iterator[Any]:
    """Return the URL of a database with a row, for the driver that is the parameter."""
    server = "postgresql" if "postgresql" in request.param else "mariadb"
    found = make_url(request.getfixturevalue(f"{server}_server"))
    with tables_on(found.render_as_string(hide_password=False), metadata) as engine:
        with engine.begin() as connection:
            connection.execute(insert(leaf).values(id=1, body=File(b"old")))
        yield found.set(drivername=request.param)


def assert_shown(connection: Connection) -> None:
    """Begin and end a transaction; between them, some drivers show nothing."""
    assert standing(connection) is not Standing.OPEN
    connection.execute(text("UPDATE driven_leaf SET id = 1"))
    assert standing(connection) is Standing.OPEN
    assert not driver_autocommit(connection)
    connection.rollback()
    assert standing(connection) is not Standing.OPEN


@pytest.mark.parametrize("url", SYNC, indirect=True)
def test_a_driver_shows_its_transaction(url: Any) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        assert_shown(connection)
    engine.dispose()


@pytest.mark.parametrize("url", SYNC, indirect=True)
def test_a_commit_below_sqlalchemy_is_noticed(url: Any, storage: MemoryStorage) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(update(leaf).values(body=File(b"new")))
        connection.connection.driver_connection.commit()
        connection.rollback()
    assert set(named(engine, "driven_leaf", "body")) <= {f"main/{key}" for key in keys(storage)}
    assert b"new" in contents(storage)
    engine.dispose()


@pytest.mark.parametrize("url", ASYNC, indirect=True)
def test_an_asynchronous_driver_shows_its_transaction(url: Any) -> None:
    async def main() -> None:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            await connection.run_sync(assert_shown)
        await engine.dispose()

    asyncio.run(main())


def test_half_a_statement_is_committed_by_a_driver_that_shows_no_state(
    storage: MemoryStorage,
) -> None:
    with tables_on("sqlite://", metadata) as engine:
        engine.dialect.driver = "unknown"
        with engine.begin() as connection:
            assert standing(connection) is Standing.UNKNOWN
            files = [{"id": number, "body": File(b"%d" % number)} for number in (1, 2)]
            connection.execute(insert(leaf), files)
        statement = update(leaf).where(leaf.c.id == bindparam("which"))
        statement = statement.values(id=bindparam("new_id"), body=None)
        with engine.begin() as connection, pytest.raises(IntegrityError):
            sets = [{"which": 1, "new_id": 3}, {"which": 2, "new_id": 3}]
            connection.execute(statement, sets)
        assert contents(storage) == [b"2"]
        assert named(engine, "driven_leaf", "body") == [f"main/{key}" for key in keys(storage)]
