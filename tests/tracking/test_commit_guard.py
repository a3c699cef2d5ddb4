"""The grace period is that of the very ledger, and reading it never harms the transaction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Engine, create_engine, insert, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import CommitRefusedError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.state import set_grace
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking import claims
from sqlalchemy_file.tracking.unit import frames
from tests.databases import on_servers, postgresql_only, sqlite_only, tables_on
from tests.stores import keys, named


class Base(DeclarativeBase):
    pass


class Guarded(Base):
    __tablename__ = "guarded_page"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())


ledger = Ledger(Base.metadata)
sheet: Any = Guarded.__table__


@pytest.fixture
def engine(url: str, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(claims, "_MOST_SECONDS_KNOWN", 0)
    monkeypatch.setattr(claims, "_MOST_SECONDS_WAITED", 1)
    with tables_on(url, Base.metadata, pool_size=1, max_overflow=0) as engine:
        with Session(engine) as session:
            session.add(Guarded(id=1, body=File(b"old")))
            session.commit()
        yield engine


def commit_one(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Guarded(id=2, body=File(b"new")))
        session.commit()


def assert_exact(engine: Engine, storage: MemoryStorage, count: int) -> None:
    paths = named(engine, "guarded_page", "body")
    assert len(paths) == count
    assert sorted(paths) == [f"main/{key}" for key in keys(storage)]


@pytest.mark.parametrize("value", ["damaged", "[]", '{"minutes": 1}', "null"])
def test_a_grace_period_that_is_damaged_is_told(
    engine: Engine, storage: MemoryStorage, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    with engine.begin() as connection:
        state = ledger.state
        connection.execute(state.delete().where(state.c.name == "grace"))
        connection.execute(state.insert().values(name="grace", value=value))
    with caplog.at_level(logging.WARNING, "sqlalchemy_file"):
        commit_one(engine)
    assert "the grace period cannot be read" in caplog.text
    assert_exact(engine, storage, 2)


@on_servers
def test_a_table_of_state_that_is_locked_is_waited_for_a_moment(
    engine: Engine, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    other = create_engine(engine.url, poolclass=NullPool)
    name = ledger.state.name
    with other.connect() as locking:
        if engine.dialect.name == "postgresql":
            locking.execute(text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
        else:
            locking.execute(text(f"LOCK TABLES {name} WRITE"))
        with caplog.at_level(logging.WARNING, "sqlalchemy_file"):
            commit_one(engine)
        if engine.dialect.name != "postgresql":
            locking.execute(text("UNLOCK TABLES"))
    assert "the grace period cannot be read" in caplog.text
    assert_exact(engine, storage, 2)


@postgresql_only
def test_a_role_that_may_not_read_the_table_of_state(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS guarded_clerk")
        connection.exec_driver_sql("CREATE ROLE guarded_clerk")
        connection.exec_driver_sql("GRANT ALL ON guarded_page TO guarded_clerk")
        connection.exec_driver_sql("GRANT USAGE ON SEQUENCE guarded_page_id_seq TO guarded_clerk")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET LOCAL ROLE guarded_clerk")
            connection.execute(insert(sheet).values(id=2, body=File(b"new")))
            connection.commit()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY guarded_clerk")
            connection.exec_driver_sql("DROP ROLE guarded_clerk")
    assert_exact(engine, storage, 2)


def test_a_look_before_the_commit_that_fails_rolls_back(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise LookupError("anything")

    with Session(engine) as session:
        session.add(Guarded(id=2, body=File(b"new")))
        session.execute(sheet.update().where(sheet.c.id == 1).values(id=10))
        session.flush()
        with monkeypatch.context() as patch:
            patch.setattr("sqlalchemy_file.tracking.endings.transactions.refuse_if_late", fail)
            with pytest.raises(LookupError):
                session.commit()
    with engine.connect() as connection:  # the same of the pool, whose commit would carry it out
        connection.execute(text("SELECT 1"))
        connection.commit()
        assert connection.scalars(text("SELECT id FROM guarded_page")).all() == [1]
    assert_exact(engine, storage, 1)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_commit_that_was_refused_is_not_carried_out_by_the_next_one(
    engine: Engine, storage: MemoryStorage, end: str
) -> None:
    with engine.begin() as connection:
        set_grace(connection, ledger, 0)
    with pytest.raises(CommitRefusedError):
        commit_one(engine)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        getattr(connection, end)()
    assert_exact(engine, storage, 1)


# --- whose grace period it is


@postgresql_only
def test_each_schema_has_a_grace_period_of_its_own(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_MOST_SECONDS_KNOWN", 60)
    tenants = {
        name: engine.execution_options(schema_translate_map={None: name})
        for name in ("guarded_one", "guarded_two")
    }
    try:
        for name, tenant in tenants.items():
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA {name}")
            Base.metadata.create_all(tenant)
        with tenants["guarded_two"].begin() as connection:
            set_grace(connection, ledger, 0)
        for _ in range(2):
            with tenants["guarded_one"].begin() as connection:
                connection.execute(insert(sheet).values(body=File(b"in time")))
            with (
                pytest.raises(CommitRefusedError),
                tenants["guarded_two"].begin() as connection,
            ):
                connection.execute(insert(sheet).values(body=File(b"late")))
        assert len(keys(storage)) == 3
    finally:
        with engine.begin() as connection:
            for name in tenants:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {name} CASCADE")


class Other(DeclarativeBase):
    pass


class Elsewhere(Other):
    __tablename__ = "guarded_elsewhere"
    __table_args__ = ({"schema": "guarded_other"},)

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())


elsewhere = Ledger(Other.metadata, schema="guarded_other")


@postgresql_only
def test_each_ledger_has_a_grace_period_of_its_own(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_MOST_SECONDS_KNOWN", 60)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA guarded_other")
    try:
        Other.metadata.create_all(engine)
        with engine.begin() as connection:
            set_grace(connection, elsewhere, 0)
        with pytest.raises(CommitRefusedError), Session(engine) as session:
            session.add(Elsewhere(body=File(b"late")))
            session.commit()
        commit_one(engine)
        with pytest.raises(CommitRefusedError), Session(engine) as session:
            session.add_all([Guarded(id=3, body=File(b"in time")), Elsewhere(body=File(b"late"))])
            session.commit()
        assert len(keys(storage)) == 2
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA guarded_other CASCADE")


# --- by which clock


@pytest.mark.parametrize("name", ["boot", "wall"])
@sqlite_only
def test_time_that_one_clock_alone_has_noticed_counts(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A suspended computer, or a paused virtual machine, of which the other knows nothing."""
    with Session(engine) as session:
        session.add(Guarded(body=File(b"late")))
        session.flush()
        moment = frames.now()
        later = replace(moment, **{name: getattr(moment, name) + 3000})
        monkeypatch.setattr(frames, "now", lambda: later)
        with pytest.raises(CommitRefusedError, match="stored 3000 seconds ago"):
            session.commit()
    assert_exact(engine, storage, 1)


def test_a_clock_that_was_set_back_makes_nothing_younger() -> None:
    began = frames.Moment(boot=1000, wall=50_000)
    assert began.seconds_until(frames.Moment(boot=1100, wall=40_000)) == 100


# --- after the commit


@postgresql_only
def test_a_server_that_is_gone_after_the_commit_fails_nothing(
    engine: Engine, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    url = make_url(engine.url)
    is_gone = False

    async def connect(*_arguments: Any, **_options: Any) -> Any:
        if is_gone:
            raise ConnectionRefusedError(111, "connection refused")
        return await asyncpg.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            database=url.database,
        )

    async def play() -> None:
        nonlocal is_gone
        own = create_async_engine(
            "postgresql+asyncpg://", async_creator=connect, poolclass=NullPool
        )
        async with AsyncSession(own) as session:
            page = await session.get_one(Guarded, 1)
            page.body = File(b"new")
            await session.flush()
            is_gone = True
            await session.commit()

    with caplog.at_level(logging.WARNING, "sqlalchemy_file"):
        asyncio.run(play())
    assert "until the next drain" in caplog.text
    assert_exact(engine, storage, 1)
