"""A unit is found by its connection, and hears what the database has answered.

What became of a transaction is what the database answered, not what was about to be sent.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    TwoPhaseTransaction,
    create_engine,
    delete,
    event,
    insert,
    make_url,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, registry
from sqlalchemy.pool import StaticPool

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import (
    end_prepared,
    on_servers,
    on_sqlite_and_postgresql,
    postgresql_only,
    sqlite_only,
    tables_on,
    url_of,
)
from tests.stores import contents, keys, named

metadata = MetaData()
sheet = Table(
    "answers_sheet", metadata, Column("id", Integer, primary_key=True), Column("body", FileField())
)
strict = Table(
    "answers_strict",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "sheet_id",
        ForeignKey("answers_sheet.id", deferrable=True, initially="DEFERRED"),
        nullable=True,
    ),
)


class Sheet:
    id: int
    body: File | None

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)
        for name, value in values.items():
            setattr(self, name, value)


registry().map_imperatively(Sheet, sheet)


class Stopped(Exception):
    """What a program raises where the library does not expect it."""


@pytest.fixture
def engine(url: str, storage: MemoryStorage) -> Iterator[Engine]:
    # MariaDB checks all constraints at once.
    tables = [sheet] if url.startswith("mariadb") else [sheet, strict]
    with tables_on(url, metadata, tables=tables, pool_size=1, max_overflow=0) as engine:
        if url.startswith("sqlite"):
            engine.dispose()  # the connection that made the tables
            event.listen(engine, "connect", _enforce_foreign_keys)
        with engine.begin() as connection:
            connection.execute(insert(sheet).values(id=1, body=File(b"old")))
        yield engine


def _enforce_foreign_keys(connection: Any, record: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def change(connection: Connection) -> None:
    """Store a file, and release another one."""
    connection.execute(insert(sheet).values(id=2, body=File(b"new")))
    connection.execute(delete(sheet).where(sheet.c.id == 1))


def ids(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT id FROM answers_sheet ORDER BY id")))


def assert_exact(engine: Engine, storage: MemoryStorage, *expected: int) -> None:
    """The rows are as expected, and the storage holds what they name and nothing else."""
    assert ids(engine) == list(expected)
    assert sorted(named(engine, "answers_sheet", "body")) == [
        f"main/{key}" for key in keys(storage)
    ]


def assert_nothing_is_missing(engine: Engine, storage: MemoryStorage) -> None:
    assert set(named(engine, "answers_sheet", "body")) <= {f"main/{key}" for key in keys(storage)}


def raise_once(target: Engine, name: str, when: Callable[..., bool] = lambda *a: True) -> None:
    """Let a listener of the program's raise, the first time."""
    left = [Stopped]

    def listener(*arguments: Any) -> None:
        if left and when(*arguments):
            raise left.pop()

    event.listen(target, name, listener)


# --- between our listener and the database


def test_a_listener_that_raises_before_the_commit_of_a_session(
    engine: Engine, storage: MemoryStorage
) -> None:
    raise_once(engine, "commit")
    with pytest.raises(Stopped), Session(engine) as session:
        session.add(Sheet(id=2, body=File(b"new")))
        session.execute(delete(sheet).where(sheet.c.id == 1))
        session.commit()
    assert_exact(engine, storage, 1)


@pytest.mark.parametrize("way", ["begin", "close", "go on", "roll back and go on"])
def test_a_listener_that_raises_before_the_commit_of_a_connection(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    raise_once(engine, "commit")
    if way == "begin":
        with pytest.raises(Stopped), engine.begin() as connection:
            change(connection)
    else:
        with engine.connect() as connection:
            change(connection)
            with pytest.raises(Stopped):
                connection.commit()
            if way != "close":
                connection.rollback()
            if way == "roll back and go on":
                connection.execute(update(sheet).values(id=sheet.c.id + 10))
                connection.commit()
    assert_exact(engine, storage, *([11] if way == "roll back and go on" else [1]))


def test_an_interruption_before_the_commit(engine: Engine, storage: MemoryStorage) -> None:
    def interrupt(connection: Connection) -> None:
        raise KeyboardInterrupt

    with engine.connect() as connection:
        change(connection)
        event.listen(connection, "commit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            connection.commit()
    assert_exact(engine, storage, 1)


def test_a_listener_that_raises_before_the_rollback(engine: Engine, storage: MemoryStorage) -> None:
    raise_once(engine, "rollback")
    with pytest.raises(Stopped), engine.connect() as connection:
        change(connection)
        connection.rollback()
    assert_exact(engine, storage, 1)


def test_a_listener_that_raises_before_a_savepoint_is_rolled_back(
    engine: Engine, storage: MemoryStorage
) -> None:
    raise_once(engine, "rollback_savepoint")
    with engine.connect() as connection:
        connection.execute(insert(sheet).values(id=3, body=File(b"before")))
        savepoint = connection.begin_nested()
        change(connection)
        with pytest.raises(Stopped):
            savepoint.rollback()
        connection.commit()  # the savepoint was not rolled back
    assert_exact(engine, storage, 2, 3)


def test_a_listener_that_raises_before_a_savepoint_is_released(
    engine: Engine, storage: MemoryStorage
) -> None:
    raise_once(engine, "release_savepoint")
    with engine.connect() as connection:
        connection.execute(insert(sheet).values(id=3, body=File(b"before")))
        savepoint = connection.begin_nested()
        change(connection)
        with pytest.raises(Stopped):
            savepoint.commit()
        savepoint.rollback()
        connection.commit()
    assert_exact(engine, storage, 2, 3)


@pytest.mark.parametrize("way", ["insert", "delete", "replace"])
def test_a_listener_that_raises_after_a_statement_was_carried_out(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        raise_once(
            engine,
            "after_cursor_execute",
            lambda c, cursor, sql, *_: sql[0] in "IDU" and "WHERE 0" not in sql,
        )
        statement = {
            "insert": insert(sheet).values(id=2, body=File(b"new")),
            "delete": delete(sheet),
            "replace": update(sheet).values(body=File(b"new")),
        }[way]
        with pytest.raises(Stopped):
            connection.execute(statement)
        connection.commit()
    assert_exact(engine, storage, *{"insert": [1, 2], "delete": [], "replace": [1]}[way])


@pytest.mark.parametrize("reset", ["rollback", "commit", None])
def test_an_abandoned_connection(
    request: pytest.FixtureRequest, engine: Engine, storage: MemoryStorage, reset: Any
) -> None:
    own = create_engine(engine.url, pool_size=1, max_overflow=0, pool_reset_on_return=reset)
    connection = own.connect()
    change(connection)
    del connection
    gc.collect()
    with own.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.commit()
    own.dispose()
    assert ids(engine) == ([1] if reset == "rollback" else [2])
    assert_nothing_is_missing(engine, storage)


# --- a COMMIT that fails


@on_sqlite_and_postgresql
@pytest.mark.parametrize("way", ["close", "go on"])
def test_a_commit_that_fails(engine: Engine, storage: MemoryStorage, way: str) -> None:
    with engine.connect() as connection:
        change(connection)
        connection.execute(insert(strict).values(sheet_id=99))
        with pytest.raises(IntegrityError):
            connection.commit()
        if way == "go on":
            connection.rollback()
            connection.execute(text("SELECT 1"))
            connection.commit()
    assert_exact(engine, storage, 1)


@sqlite_only
def test_a_commit_that_fails_is_rolled_back_at_once(engine: Engine, storage: MemoryStorage) -> None:
    with engine.connect() as connection:
        change(connection)
        connection.execute(insert(strict).values(sheet_id=99))
        with pytest.raises(IntegrityError):
            connection.commit()
        driver: Any = connection.connection.driver_connection
        assert not driver.in_transaction
        assert contents(storage) == [b"old"]  # no session follows, and this connection stays open


@sqlite_only
def test_a_busy_commit_is_rolled_back_at_once(engine: Engine, storage: MemoryStorage) -> None:
    own = create_engine(engine.url, connect_args={"timeout": 0})
    reader = sqlite3.connect(str(engine.url.database))
    with closing(reader), own.connect() as connection:
        reader.execute("BEGIN")
        reader.execute("SELECT id FROM answers_sheet").fetchall()
        change(connection)
        with pytest.raises(DBAPIError, match="locked"):
            connection.commit()
        driver: Any = connection.connection.driver_connection
        assert not driver.in_transaction
    own.dispose()
    assert_exact(engine, storage, 1)


@postgresql_only
@pytest.mark.parametrize("state", ["40003", "08006", "58030", "57P01"])
def test_a_commit_whose_error_does_not_tell_deletes_nothing(
    engine: Engine, storage: MemoryStorage, state: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION answers_fail() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'who knows' USING ERRCODE = '{state}'; END $$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER answers_fail AFTER INSERT ON answers_sheet "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION answers_fail()"
        )
    with engine.connect() as connection:
        change(connection)
        with pytest.raises(DBAPIError):
            connection.commit()
    assert len(keys(storage)) == 2
    assert_nothing_is_missing(engine, storage)


# --- savepoints


@sqlite_only
@pytest.mark.parametrize("way", ["store", "replace"])
def test_an_error_after_an_outermost_savepoint_was_released(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    with Session(engine) as session:
        with session.begin_nested():
            if way == "store":
                session.add(Sheet(id=2, body=File(b"new")))
            else:
                session.execute(update(sheet).values(body=File(b"new")))
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT * FROM nothing"))
    assert_exact(engine, storage, *([1, 2] if way == "store" else [1]))


@sqlite_only  # whose outermost RELEASE commits
def test_a_rollback_deletes_what_an_outermost_savepoint_has_released(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as connection:
        with connection.begin_nested():
            change(connection)
        connection.rollback()
        assert contents(storage) == [b"new"]
    assert_exact(engine, storage, 2)


# --- asynchronous drivers


@pytest.mark.parametrize("driver", ["aiosqlite", "asyncpg", "psycopg"])
@pytest.mark.parametrize("name", ["commit", "rollback"])
def test_a_listener_that_raises_under_asyncio(
    request: pytest.FixtureRequest,
    storage: MemoryStorage,
    tmp_path: Path,
    driver: str,
    name: str,
) -> None:
    database = "sqlite" if driver == "aiosqlite" else "postgresql"
    url = make_url(url_of(database, request, tmp_path)).set(drivername=f"{database}+{driver}")

    async def play() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.drop_all)
            await connection.run_sync(metadata.create_all)
            await connection.execute(insert(sheet).values(id=1, body=File(b"old")))
        raise_once(engine.sync_engine, name)
        with pytest.raises(Stopped):
            async with engine.connect() as connection:
                await connection.run_sync(change)
                await getattr(connection, name)()
        async with engine.connect() as connection:
            await connection.run_sync(lambda own: own.execute(text("SELECT 1")))
            await connection.commit()
            found = await connection.scalars(text("SELECT id FROM answers_sheet"))
            assert list(found) == [1]
        assert len(keys(storage)) == 1
        async with engine.begin() as connection:
            await connection.run_sync(metadata.drop_all)
        await engine.dispose()

    asyncio.run(play())


# --- two phases


def fail_once(engine: Engine, begins: str) -> None:
    """Let the next statement that begins so fail before it is sent."""
    raise_once(engine, "before_cursor_execute", lambda c, cursor, sql, *_: sql.startswith(begins))


@contextmanager
def two_phases(engine: Engine) -> Iterator[TwoPhaseTransaction]:
    """Give a transaction of two phases in which files have changed."""
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        change(connection)
        yield transaction


def _doubtful(connection: Connection) -> None:
    """Store files and release one, so that rows have to be looked at before the end."""
    connection.execute(insert(sheet).values(id=2, body=File(b"new")))
    connection.execute(update(sheet).where(sheet.c.id == 1).values(body=File(b"newer")))


FAULTS: dict[str, Callable[[Engine], None]] = {
    "a listener of the program": lambda engine: raise_once(engine, "prepare_twophase"),
    "a query of ours": lambda engine: fail_once(engine, "SELECT"),
}
ENDINGS: dict[str, Callable[[Any], object]] = {
    "commit": lambda transaction: transaction.commit(),
    "roll back": lambda transaction: transaction.rollback(),
    "prepare again": lambda transaction: transaction.prepare(),
    "close": lambda transaction: transaction.close(),
}
two_phase = on_servers


@two_phase
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", ["prepare", "commit"])
def test_a_session_whose_first_phase_fails_is_rolled_back(
    engine: Engine, storage: MemoryStorage, fault: str, step: str
) -> None:
    with Session(engine, twophase=True) as session:
        session.add(Sheet(id=2, body=File(b"new")))
        session.execute(update(sheet).where(sheet.c.id == 1).values(body=File(b"newer")))
        FAULTS[fault](engine)
        with pytest.raises(Stopped):
            getattr(session, step)()
    assert_exact(engine, storage, 1)


@two_phase
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_connection_whose_first_phase_fails_is_rolled_back_whatever_the_program_does_then(
    engine: Engine, storage: MemoryStorage, ending: str
) -> None:
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        _doubtful(connection)
        fail_once(engine, "SELECT")
        with pytest.raises(Stopped):
            transaction.prepare()
        with suppress(InvalidRequestError):  # it is over
            ENDINGS[ending](transaction)
        connection.rollback()
        connection.execute(update(sheet).values(id=sheet.c.id + 10))
        connection.commit()
    assert_exact(engine, storage, 11)


@two_phase
@pytest.mark.parametrize("ending", ["roll back", "close"])
def test_a_program_whose_listener_raises_before_the_first_phase_decides_itself(
    engine: Engine, storage: MemoryStorage, ending: str
) -> None:
    raise_once(engine, "prepare_twophase")
    with two_phases(engine) as transaction:
        with pytest.raises(Stopped):
            transaction.prepare()
        ENDINGS[ending](transaction)
    assert_exact(engine, storage, 1)
    with two_phases(engine) as transaction:
        raise_once(engine, "prepare_twophase")
        with pytest.raises(Stopped):
            transaction.prepare()
        transaction.commit()
    assert_exact(engine, storage, 2)


@two_phase
def test_an_interruption_of_the_first_phase_rolls_back(
    engine: Engine, storage: MemoryStorage
) -> None:
    def interrupt(connection: Connection, xid: str) -> None:
        raise KeyboardInterrupt

    with two_phases(engine) as transaction:
        event.listen(transaction.connection, "prepare_twophase", interrupt)
        with pytest.raises(KeyboardInterrupt):
            transaction.prepare()
    assert_exact(engine, storage, 1)


@two_phase
@pytest.mark.parametrize("way", ["close", "go on"])
def test_a_listener_that_raises_before_both_phases_are_sent_rolls_back(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    raise_once(engine, "commit_twophase")
    with two_phases(engine) as transaction:
        with pytest.raises(Stopped):
            transaction.commit()
        if way == "go on":
            connection = transaction.connection
            connection.rollback()
            connection.execute(insert(sheet).values(id=3, body=File(b"later")))
            connection.commit()
    assert_exact(engine, storage, *([1, 3] if way == "go on" else [1]))


@two_phase
def test_a_listener_that_raises_before_the_second_phase_leaves_it_to_recovery(
    engine: Engine, storage: MemoryStorage
) -> None:
    raise_once(engine, "commit_twophase")
    with two_phases(engine) as transaction:
        transaction.prepare()
        with pytest.raises(Stopped):
            transaction.commit()
    assert len(keys(storage)) == 2
    recovering = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with recovering.connect() as connection:
        name = connection.dialect.name
        if name == "postgresql":
            query, commit = "SELECT gid FROM pg_prepared_xacts", "COMMIT PREPARED"
        else:
            query, commit = "XA RECOVER", "XA COMMIT"
        *_, xid = connection.exec_driver_sql(query).one()
        xid = xid.decode() if isinstance(xid, bytes) else xid
        end_prepared(connection, f"{commit} '{xid}'")
    recovering.dispose()
    assert ids(engine) == [2]
    assert_nothing_is_missing(engine, storage)


def test_sessions_whose_connections_share_one_of_the_pool_are_told_apart(
    storage: MemoryStorage,
) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    sheet.create(engine)
    with engine.begin() as connection:
        rows = [{"id": 1, "body": File(b"a")}, {"id": 2, "body": File(b"b")}]
        connection.execute(insert(sheet), rows)
    with Session(engine) as one, Session(engine) as other:
        one.execute(update(sheet).where(sheet.c.id == 1).values(body=File(b"c")))
        other.execute(update(sheet).where(sheet.c.id == 2).values(body=File(b"d")))
        one.commit()
        assert contents(storage) == [b"b", b"c", b"d"]
    engine.dispose()
