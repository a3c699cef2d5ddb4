"""Transactions that end without an event: the driver, or the server, is asked."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    delete,
    insert,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import (
    end_prepared,
    mariadb_only,
    postgresql_only,
    sqlite_only,
    tables_on,
    url_of,
)
from tests.stores import keys, named

metadata = MetaData()
page = Table(
    "standing_page",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", Integer),
    Column("body", FileField()),
)


@pytest.fixture
def engine(url: str, storage: MemoryStorage) -> Iterator[Engine]:
    with tables_on(url, metadata) as engine:
        with engine.begin() as connection:
            connection.execute(insert(page).values(id=1, body=File(b"old")))
        yield engine


ends = pytest.mark.parametrize("end", ["commit", "rollback", "close"])


def change(connection: Connection) -> None:
    """Store a file, and release another one."""
    connection.execute(insert(page).values(id=2, body=File(b"new")))
    connection.execute(delete(page).where(page.c.id == 1))


def ids(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT id FROM standing_page ORDER BY id")))


def assert_nothing_is_missing(engine: Engine, storage: MemoryStorage) -> None:
    assert set(named(engine, "standing_page", "body")) <= {f"main/{key}" for key in keys(storage)}


def assert_exact(engine: Engine, storage: MemoryStorage, *expected: int) -> None:
    """The rows are as expected, and the storage holds what they name and nothing else."""
    assert ids(engine) == list(expected)
    assert sorted(named(engine, "standing_page", "body")) == [
        f"main/{key}" for key in keys(storage)
    ]


def driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection


def in_raw(connection: Connection, *statements: str) -> None:
    """Execute statements on a cursor of the driver, of which SQLAlchemy hears nothing."""
    cursor = driver_of(connection).cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


# --- the driver's own connection


@ends
@pytest.mark.parametrize("way", ["commit", "rollback"])
def test_a_transaction_ended_on_the_drivers_connection(
    engine: Engine, storage: MemoryStorage, way: str, end: str
) -> None:
    with engine.connect() as connection:
        change(connection)
        getattr(driver_of(connection), way)()
        getattr(connection, end)()
    assert ids(engine) == ([2] if way == "commit" else [1])
    assert_nothing_is_missing(engine, storage)


@pytest.mark.parametrize("way", ["commit", "rollback"])
def test_a_transaction_ended_on_the_drivers_connection_before_a_query(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    with engine.connect() as connection:
        change(connection)
        getattr(driver_of(connection), way)()
        connection.execute(text("SELECT count(*) FROM standing_page"))
        connection.rollback()
    assert ids(engine) == ([2] if way == "commit" else [1])
    assert_nothing_is_missing(engine, storage)


def test_what_follows_a_transaction_ended_unseen_is_followed_again(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as connection:
        change(connection)
        driver_of(connection).commit()
        connection.execute(insert(page).values(id=3, body=File(b"undone")))
        connection.rollback()
    assert ids(engine) == [2]
    assert len(keys(storage)) == 2  # the old one is left to the ledger
    with engine.begin() as connection:
        connection.execute(delete(page))
    assert len(keys(storage)) == 1


@postgresql_only
@ends
def test_a_failed_copy_on_the_drivers_cursor(
    engine: Engine, storage: MemoryStorage, end: str
) -> None:
    with engine.connect() as connection:
        change(connection)
        with (
            pytest.raises(Exception, match="invalid input"),
            driver_of(connection).cursor() as cursor,
            cursor.copy("COPY standing_page (id) FROM STDIN") as copy,
        ):
            copy.write("no number\n")
        getattr(connection, end)()
    assert_exact(engine, storage, 1)


@mariadb_only
@pytest.mark.parametrize("is_followed", [False, True])
@ends
def test_a_deadlock_on_the_drivers_cursor(
    engine: Engine, storage: MemoryStorage, end: str, is_followed: bool
) -> None:
    with engine.begin() as connection:
        connection.execute(insert(page), [{"id": n, "number": 0} for n in (10, 11)])
    with engine.connect() as connection:
        change(connection)
        fall_victim(engine, connection, in_raw)
        if is_followed:
            connection.execute(text("SELECT * FROM standing_page"))
        getattr(connection, end)()
    assert ids(engine) == [1, 10, 11]
    assert_nothing_is_missing(engine, storage)


def fall_victim(
    engine: Engine, connection: Connection, execute: Callable[[Connection, str], Any]
) -> None:
    """Run into a deadlock that InnoDB ends by rolling back the transaction of a connection."""
    connection.execute(text("UPDATE standing_page SET number = 1 WHERE id = 10"))
    with engine.connect() as other:
        # The one that has changed less is the victim.
        many = ", ".join(f"({n}, 0)" for n in range(100, 150))
        other.execute(text(f"INSERT INTO standing_page (id, number) VALUES {many}"))
        other.execute(text("UPDATE standing_page SET number = 2 WHERE id = 11"))
        waiting = threading.Thread(
            target=other.execute,
            args=[text("UPDATE standing_page SET number = 2 WHERE id = 10")],
        )
        waiting.start()
        time.sleep(0.1)
        with pytest.raises(Exception, match="1213"):
            execute(connection, "UPDATE standing_page SET number = 1 WHERE id = 11")
        waiting.join()
        other.rollback()


# --- errors of statements


@mariadb_only
@ends
def test_a_deadlock_that_is_swallowed(engine: Engine, storage: MemoryStorage, end: str) -> None:
    with engine.begin() as connection:
        connection.execute(insert(page), [{"id": n, "number": 0} for n in (10, 11)])
    with engine.connect() as connection:
        change(connection)
        fall_victim(engine, connection, lambda own, sql: own.execute(text(sql)))
        getattr(connection, end)()
    assert_exact(engine, storage, 1, 10, 11)


@mariadb_only
@ends
def test_a_snapshot_that_is_too_old(engine: Engine, storage: MemoryStorage, end: str) -> None:
    """MariaDB rolls the whole transaction back (1020), which no list of deadlocks holds."""
    with engine.begin() as connection:
        connection.execute(insert(page), [{"id": 10, "number": 0}])
    with engine.connect() as connection:
        connection.execute(text("SET SESSION innodb_snapshot_isolation = ON"))
        connection.execute(text("SELECT * FROM standing_page"))
        change(connection)
        with engine.begin() as other:
            other.execute(text("UPDATE standing_page SET number = 1 WHERE id = 10"))
        with suppress(DBAPIError):
            connection.execute(text("UPDATE standing_page SET number = 2 WHERE id = 10"))
        getattr(connection, end)()
    expected = [1, 10] if end != "commit" else ids(engine)
    assert ids(engine) == expected
    assert_nothing_is_missing(engine, storage)
    assert len(keys(storage)) == 1


@sqlite_only
@ends
def test_a_trigger_that_rolls_back(engine: Engine, storage: MemoryStorage, end: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER no_tens BEFORE INSERT ON standing_page WHEN NEW.id = 10 "
                "BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
            )
        )
    with engine.connect() as connection:
        change(connection)
        with pytest.raises(DBAPIError):
            connection.execute(text("INSERT INTO standing_page (id) VALUES (10)"))
        getattr(connection, end)()
    assert_exact(engine, storage, 1)


def test_an_error_that_ends_nothing(engine: Engine, storage: MemoryStorage) -> None:
    with engine.connect() as connection:
        change(connection)
        if engine.dialect.name == "postgresql":
            connection.execute(text("SAVEPOINT mine"))
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT * FROM nothing"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("ROLLBACK TO mine"))
            assert len(keys(storage)) == 2
            return
        connection.commit()
    assert_exact(engine, storage, 2)


# --- statements that may end it


OPAQUE = {
    "mariadb": {
        "procedure": "CALL standing_commit()",
        "procedure that goes on": "CALL standing_commit_and_go_on()",
        "immediate": "EXECUTE IMMEDIATE 'COMMIT'",
        "conditional comment": "/*!40101 COMMIT */",
        "comment": "/* a */ -- b\n # c\n COMMIT",
        "autocommit": "SET autocommit=1",
        "chain": "COMMIT AND CHAIN",
        "lock": "LOCK TABLES standing_page WRITE",
    },
    "postgresql": {
        "comment": "/* a /* nested */ */ -- b\n COMMIT",
        "chain": "COMMIT AND CHAIN",
        "several": "COMMIT; BEGIN; INSERT INTO standing_page (id) VALUES (20)",
    },
    "sqlite": {"comment": "/* a */ -- b\n COMMIT"},
}
CASES = [(name, way) for name, ways in OPAQUE.items() for way in ways]


@pytest.mark.parametrize(("url", "way"), CASES, indirect=["url"])
@pytest.mark.parametrize("is_raw", [False, True])
@ends
def test_a_statement_that_commits(
    engine: Engine, storage: MemoryStorage, way: str, end: str, is_raw: bool
) -> None:
    sql = OPAQUE[engine.dialect.name][way]
    if way.startswith("procedure"):
        with engine.begin() as connection:
            for name, body in (
                ("standing_commit", "COMMIT"),
                (
                    "standing_commit_and_go_on",
                    "BEGIN COMMIT; INSERT INTO standing_page (id) VALUES (20); END",
                ),
            ):
                connection.execute(text(f"CREATE OR REPLACE PROCEDURE {name}() {body}"))
    with engine.connect() as connection:
        change(connection)
        if is_raw:
            connection.exec_driver_sql(sql)
        else:
            connection.execute(text(sql))
        if way == "lock":
            connection.execute(text("UNLOCK TABLES"))
        getattr(connection, end)()
        if end != "close":
            connection.invalidate()  # its session is not what it was
    engine.dispose()
    assert 2 in ids(engine)
    assert_nothing_is_missing(engine, storage)


@mariadb_only
def test_a_procedure_that_commits_nothing_is_followed(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE OR REPLACE PROCEDURE standing_look() SELECT 1"))
    with engine.connect() as connection:
        change(connection)
        connection.execute(text("CALL standing_look()")).all()
        connection.commit()
    assert_exact(engine, storage, 2)


@mariadb_only
def test_a_procedure_that_fails_is_followed(engine: Engine, storage: MemoryStorage) -> None:
    with engine.connect() as connection:
        change(connection)
        with pytest.raises(DBAPIError):
            connection.execute(text("CALL standing_that_is_not_there()"))
        connection.rollback()
    assert_exact(engine, storage, 1)


@mariadb_only
@pytest.mark.parametrize("way", ["COMMIT", "ROLLBACK"])
@ends
def test_a_distributed_transaction_as_text(
    engine: Engine, storage: MemoryStorage, way: str, end: str
) -> None:
    xid = uuid4().hex
    with engine.connect() as connection:
        connection.execute(text(f"XA START '{xid}'"))
        change(connection)
        for verb in ("END", "PREPARE"):
            connection.execute(text(f"XA {verb} '{xid}'"))
        with suppress(DBAPIError):  # MariaDB takes no COMMIT of a prepared one
            getattr(connection, end)()
        if not connection.closed:
            connection.invalidate()
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        end_prepared(connection, f"XA {way} '{xid}'")
    assert ids(engine) == ([2] if way == "COMMIT" else [1])
    assert_nothing_is_missing(engine, storage)


# --- autocommit


AUTOCOMMIT: dict[str, dict[str, Any]] = {
    "sqlite": {"isolation_level": None},
    "postgresql": {"autocommit": True},
    "mariadb": {"autocommit": True},
}


@ends
def test_autocommit_of_the_driver(engine: Engine, storage: MemoryStorage, end: str) -> None:
    own = create_engine(engine.url, connect_args=AUTOCOMMIT[engine.dialect.name])
    with own.connect() as connection:
        change(connection)
        getattr(connection, end)()
    own.dispose()
    assert_exact(engine, storage, 2)


def test_a_transaction_within_autocommit_of_the_driver(
    engine: Engine, storage: MemoryStorage
) -> None:
    own = create_engine(engine.url, connect_args=AUTOCOMMIT[engine.dialect.name])
    with own.connect() as connection:
        change(connection)
        in_raw(connection, "BEGIN")
        connection.execute(insert(page).values(id=3, body=File(b"undone")))
        connection.execute(delete(page).where(page.c.id == 2))
        connection.rollback()
    own.dispose()
    assert_exact(engine, storage, 2)


@mariadb_only
@pytest.mark.parametrize("autocommit", [False, True])
def test_a_reply_that_does_not_come_in_time(
    engine: Engine, storage: MemoryStorage, autocommit: bool
) -> None:
    arguments = {"autocommit": autocommit, "read_timeout": 1}
    impatient = create_engine(engine.url, connect_args=arguments)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER standing_slow BEFORE INSERT ON standing_page "
            "FOR EACH ROW SET @slept = SLEEP(1.3)"
        )
    with impatient.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(insert(page).values(id=2, body=File(b"new")))
    impatient.dispose()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER standing_slow")  # waits for the INSERT
    assert_exact(engine, storage, *([1, 2] if autocommit else [1]))


@mariadb_only
def test_autocommit_switched_on_by_a_statement(engine: Engine, storage: MemoryStorage) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET autocommit=1"))
        change(connection)
        connection.rollback()
        connection.invalidate()
    assert_exact(engine, storage, 2)


if sys.version_info >= (3, 12):  # the driver has no such setting before

    @sqlite_only
    @pytest.mark.parametrize("way", ["commit", "rollback"])
    def test_a_transaction_that_the_driver_always_has_open(
        engine: Engine, storage: MemoryStorage, way: str
    ) -> None:
        own = create_engine(engine.url, connect_args={"autocommit": False})
        with own.connect() as connection:
            change(connection)
            getattr(connection, way)()
        own.dispose()
        assert_exact(engine, storage, *([2] if way == "commit" else [1]))


# --- asynchronous drivers


async def _copy_in_vain(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(change)
        driver: Any = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(Exception, match="duplicate key"):
            await driver.copy_records_to_table("standing_page", records=[(2,)], columns=["id"])
        await connection.commit()


async def _commit_below(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(change)
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("COMMIT")
        await connection.rollback()


@pytest.mark.parametrize(
    ("driver", "play", "expected"),
    [
        ("asyncpg", _copy_in_vain, [1]),
        ("asyncpg", _commit_below, [2]),
        ("psycopg", _commit_below, [2]),
        ("aiosqlite", _commit_below, [2]),
    ],
)
def test_an_ending_below_an_asynchronous_connection(
    request: pytest.FixtureRequest,
    storage: MemoryStorage,
    tmp_path: Path,
    driver: str,
    play: Callable[[AsyncEngine], Any],
    expected: list[int],
) -> None:
    name = "sqlite" if driver == "aiosqlite" else "postgresql"
    url = make_url(url_of(name, request, tmp_path))
    engine = create_engine(url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(page).values(id=1, body=File(b"old")))

    async def run() -> None:
        own = create_async_engine(url.set(drivername=f"{name}+{driver}"))
        await play(own)
        await own.dispose()

    asyncio.run(run())
    assert ids(engine) == expected
    assert_nothing_is_missing(engine, storage)
    metadata.drop_all(engine)
    engine.dispose()
