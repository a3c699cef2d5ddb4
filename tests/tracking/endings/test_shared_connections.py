"""Several sessions with one connection of the driver, and so with one transaction."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from sys import getswitchinterval, setswitchinterval
from threading import Thread

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool, SingletonThreadPool, StaticPool

from sqlalchemy_file import File
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.endings.connections import borrowers, unit_of
from tests.models import Base, Paper
from tests.stores import contents, keys, named, sqlite


@pytest.fixture(params=[SingletonThreadPool, StaticPool])
def engine(request: pytest.FixtureRequest, storage: MemoryStorage) -> Iterator[Engine]:
    pool: type[Pool] = request.param
    engine = create_engine("sqlite://", poolclass=pool)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Paper(id=1, body=File(b"a")), Paper(id=2, body=File(b"b"))])
        session.commit()
    yield engine
    gc.collect()
    engine.dispose()


def assert_exact(engine: Engine, storage: MemoryStorage, *expected: bytes) -> None:
    paths = named(engine, "paper", "body")
    assert sorted(paths) == sorted(f"main/{key}" for key in keys(storage))
    assert contents(storage) == sorted(expected)


def assert_nothing_lost(engine: Engine, storage: MemoryStorage) -> None:
    assert {*named(engine, "paper", "body")} <= {f"main/{key}" for key in keys(storage)}


def replace(session: Session, number: int, label: bytes) -> None:
    session.get_one(Paper, number).body = File(label)
    session.flush()


@pytest.mark.parametrize(
    ("first", "expected"), [("commit", (b"one", b"two")), ("rollback", (b"a", b"b"))]
)
@pytest.mark.parametrize("last", ["commit", "rollback"])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_first_session_that_ends_decides_for_the_other_one(
    engine: Engine,
    storage: MemoryStorage,
    first: str,
    expected: tuple[bytes, ...],
    last: str,
    is_reversed: bool,
) -> None:
    with Session(engine) as one, Session(engine) as two:
        replace(one, 1, b"one")
        replace(two, 2, b"two")
        sessions = (two, one) if is_reversed else (one, two)
        for session, end in zip(sessions, (first, last), strict=True):
            getattr(session, end)()
    assert_exact(engine, storage, *expected)


def test_a_connection_is_known_again_after_another_one_was_given_back(
    storage: MemoryStorage,
) -> None:
    engine = sqlite(Base)
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"a")))
        session.commit()
    with engine.connect() as connection:
        connection.execute(update(Paper).values(body=File(b"b")))
        connection.commit()
        engine.connect().close()
        connection.execute(update(Paper).values(body=File(b"undone")))
        engine.connect().close()  # which rolls back
    assert_exact(engine, storage, b"b")
    engine.dispose()


def test_a_borrower_without_a_transaction_ends_that_of_another_one(
    storage: MemoryStorage,
) -> None:
    engine = sqlite(Base)
    idle = engine.connect()
    idle.execute(insert(Paper).values(body=File(b"undone")))
    idle.rollback()
    engine.connect().close()
    with Session(engine) as session:
        session.add(Paper(body=File(b"undone, too")))
        session.flush()
        idle.close()  # which rolls back
    assert_exact(engine, storage)
    engine.dispose()


def test_an_idle_connection_that_rolls_back_during_a_statement_of_another_one_deletes_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as idle, engine.connect() as writer:
        idle.execute(update(Paper).where(Paper.id == 1).values(body=File(b"c")))
        idle.commit()
        for connection in (idle, writer):
            connection.execute(select(1))

        @event.listens_for(engine, "before_cursor_execute")
        def roll_back(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
            if sql.startswith("INSERT"):
                idle.rollback()

        writer.execute(insert(Paper).values(id=3, body=File(b"new")))
        writer.commit()
    assert b"new" in contents(storage)
    assert_nothing_lost(engine, storage)


@pytest.mark.parametrize("end", ["close", "rollback", "commit"])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_connection_without_files_that_ends_during_a_statement_of_another_one_deletes_nothing(
    storage: MemoryStorage, end: str, earlier: bool
) -> None:
    engine = sqlite(Base)
    ended: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def end_another(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        if sql.startswith("INSERT") and len(ended) < earlier + 1:
            ended.append(sql)
            if len(ended) > earlier:
                with engine.connect() as another:
                    another.execute(select(1))
                    getattr(another, end)()

    with Session(engine) as session:
        for number in range(earlier + 1):
            session.add(Paper(id=number + 1, body=File(b"new")))
            session.flush()
        session.commit()
    assert len(ended) == earlier + 1
    assert named(engine, "paper", "body")
    assert_nothing_lost(engine, storage)
    engine.dispose()


def test_a_commit_as_text_by_another_session_deletes_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as one, engine.connect() as two:
        one.execute(update(Paper).where(Paper.id == 1).values(body=File(b"one")))
        two.execute(update(Paper).where(Paper.id == 2).values(body=File(b"two")))
        two.execute(text("COMMIT"))
        two.execute(update(Paper).values(title="undone"))
        two.rollback()
        one.rollback()
    assert {b"one", b"two"} <= set(contents(storage))
    assert_nothing_lost(engine, storage)


async def _engine_in_memory() -> AsyncEngine:
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return engine


async def _ids_at_the_end(engine: AsyncEngine) -> set[str]:
    """Return which files rows refer to, and dispose of the engine."""
    async with AsyncSession(engine) as last:
        found = {file["file_id"] for file in await last.scalars(select(Paper.body))}
    await engine.dispose()
    return found


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_another_task_does_while_the_transaction_ends_is_not_lost(
    storage: MemoryStorage, end: str
) -> None:
    async def named_at_the_end(pauses: int) -> set[str]:
        engine = await _engine_in_memory()
        async with AsyncSession(engine) as one, AsyncSession(engine) as two:

            async def end_it() -> None:
                for _ in range(pauses):
                    await asyncio.sleep(0)
                await getattr(one, end)()

            async def go_on() -> None:
                for number in (2, 3, 4):
                    two.add(Paper(id=number, body=File(b"two")))
                    await two.flush()
                await two.commit()

            one.add(Paper(id=1, body=File(b"one")))
            await one.flush()
            await asyncio.gather(end_it(), go_on())
        return await _ids_at_the_end(engine)

    for pauses in range(0, 60, 3):
        assert asyncio.run(named_at_the_end(pauses)) <= set(keys(storage))


def test_a_rollback_that_is_sent_after_the_commit_of_another_session_undoes_nothing(
    storage: MemoryStorage,
) -> None:
    async def named_at_the_end() -> set[str]:
        engine = await _engine_in_memory()
        async with AsyncSession(engine) as one, AsyncSession(engine) as two:
            rollbacks: list[asyncio.Future[None]] = []

            @event.listens_for(engine.sync_engine, "commit", once=True)
            def begin_rollback(connection: Connection) -> None:
                rollbacks.append(asyncio.ensure_future(one.rollback()))

            for session in one, two:
                session.add(Paper(body=File(b"kept")))
                await session.flush()
            await two.commit()
            await rollbacks[0]
        return await _ids_at_the_end(engine)

    named = asyncio.run(named_at_the_end())
    assert named == set(keys(storage))
    assert len(named) == 2


@pytest.mark.parametrize("end", ["rollback", "close", "commit"])
@pytest.mark.parametrize("stays_open", [False, True])
def test_a_reader_who_ends_while_a_commit_is_under_way_ends_nothing(
    storage: MemoryStorage, end: str, stays_open: bool
) -> None:
    async def named_at_the_end() -> set[str]:
        engine = await _engine_in_memory()
        async with engine.begin() as connection:
            await connection.execute(insert(Paper).values(id=1, body=File(b"old")))
        async with AsyncSession(engine) as reader, engine.connect() as writer:
            ends: list[asyncio.Future[None]] = []

            @event.listens_for(engine.sync_engine, "commit", once=True)
            def begin_end(connection: Connection) -> None:
                ends.append(asyncio.ensure_future(getattr(reader, end)()))

            await reader.execute(select(1))
            await writer.execute(update(Paper).values(body=File(b"new")))
            await writer.commit()
            if not stays_open:
                await writer.close()
            await ends[0]
        return await _ids_at_the_end(engine)

    assert asyncio.run(named_at_the_end()) == set(keys(storage))
    assert contents(storage) == [b"new"]


def test_a_reader_who_closes_while_a_file_is_written_loses_nothing(
    storage: MemoryStorage,
) -> None:
    async def named_at_the_end(pauses: int) -> set[str]:
        engine = await _engine_in_memory()
        async with AsyncSession(engine) as writer:
            reader = await engine.connect()
            await reader.execute(select(1))

            async def close() -> None:
                for _ in range(pauses):
                    await asyncio.sleep(0)
                await reader.close()  # which rolls back

            async def write() -> None:
                for number in (1, 2, 3):
                    writer.add(Paper(id=number, body=File(b"new")))
                    await writer.flush()
                await writer.commit()

            await asyncio.gather(close(), write())
        return await _ids_at_the_end(engine)

    for pauses in range(0, 60, 3):
        assert asyncio.run(named_at_the_end(pauses)) <= set(keys(storage))


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_borrower_who_gives_the_connection_back_as_it_is_ends_nothing(
    storage: MemoryStorage, end: str
) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, pool_reset_on_return=None)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"a")))
        session.commit()
    with engine.connect() as connection:
        connection.execute(update(Paper).values(body=File(b"b")))
        engine.connect().close()
        getattr(connection, end)()
    assert_exact(engine, storage, b"b" if end == "commit" else b"a")
    engine.dispose()


def test_another_thread_may_borrow_the_connection_while_its_borrowers_are_looked_at(
    storage: MemoryStorage,
) -> None:
    arguments = {"check_same_thread": False}
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=arguments)
    borrowed = [engine.connect() for _ in range(400)]
    first = unit_of(borrowed[0])
    thread = Thread(target=lambda: list(map(unit_of, borrowed)))
    interval = getswitchinterval()
    setswitchinterval(1e-9)
    try:
        thread.start()
        while thread.is_alive():
            assert first in borrowers(first)
    finally:
        setswitchinterval(interval)
        thread.join()
    assert len(borrowers(first)) == len(borrowed)
    for connection in borrowed:
        connection.close()
    engine.dispose()


def _read(other: Session) -> None:
    other.scalars(select(Paper)).all()


def _write(other: Session) -> None:
    other.execute(update(Paper).where(Paper.id == 2).values(title="read"))


def _write_files(other: Session) -> None:
    replace(other, 2, b"b")


@pytest.mark.parametrize("work", [_read, _write, _write_files])
def test_what_follows_the_commit_of_another_session_is_followed(
    engine: Engine, storage: MemoryStorage, work: Callable[[Session], None]
) -> None:
    with Session(engine) as session:
        replace(session, 1, b"first")
        with Session(engine) as second:
            work(second)
            second.commit()
        replace(session, 1, b"second")
        session.commit()
    assert_exact(engine, storage, b"second", b"b")


def test_two_asynchronous_sessions_on_a_database_in_memory(storage: MemoryStorage) -> None:
    async def main() -> list[bytes]:
        engine = await _engine_in_memory()
        async with AsyncSession(engine) as one, AsyncSession(engine) as two:
            one.add(Paper(id=1, body=File(b"a")))
            await one.commit()
            (await one.get_one(Paper, 1)).body = File(b"new")
            await one.flush()
            two.add(Paper(id=2, body=File(b"b")))
            await two.commit()
            await one.rollback()
        await engine.dispose()
        return contents(storage)

    assert asyncio.run(main()) == [b"b", b"new"]
