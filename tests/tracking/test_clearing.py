"""What a session does with the ledger: it deletes what it released, and clears those rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import CommitRefusedError, DeletionError
from sqlalchemy_file.ledger import Ledger, notes
from sqlalchemy_file.ledger.state import set_grace
from sqlalchemy_file.ledger.tables import KEPT, NEVER
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking import claims
from tests.databases import on_servers, postgresql_only, sqlite_only, tables_on
from tests.stores import contents, keys


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "ledger_paper"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())


ledger = Ledger(Base.metadata)


@pytest.fixture
def engine(url: str, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(claims, "_MOST_SECONDS_KNOWN", 0)
    with tables_on(url, Base.metadata) as engine:
        with Session(engine) as session:
            session.add_all([Paper(body=File(b"old")) for _ in range(2)])
            session.commit()
        yield engine


@pytest.fixture
def begun(engine: Engine) -> list[Any]:
    """Note every transaction that begins."""
    noted: list[Any] = []
    event.listen(engine, "begin", noted.append)
    return noted


def in_ledger(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(ledger.releases.c.path)))


def test_a_session_leaves_what_a_field_has_kept_that_keeps_no_longer(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        first, second = session.scalars(select(Paper))
        assert first.body
        kept = first.body.path
        note = {"path": kept, "storage": "main", "lease": KEPT, "due_at": NEVER}
        session.execute(insert(ledger.releases).values(**note))
        session.commit()
        first.body = second.body = None
        session.commit()
    assert [f"main/{key}" for key in keys(storage)] == [kept]


def test_what_a_session_releases_is_deleted_and_cleared(
    engine: Engine, storage: MemoryStorage, begun: list[Any]
) -> None:
    with Session(engine) as session:
        for paper in session.scalars(select(Paper)):
            paper.body = File(b"new")
        session.flush()
        session.delete(session.get_one(Paper, 2))
        session.commit()
    assert len(begun) == 2, "one short transaction more"
    assert in_ledger(engine) == []
    assert contents(storage) == [b"new"]


def test_where_no_trigger_notes_anything_the_session_goes_by_what_it_has_counted(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "_SECONDS_KNOWN", -1)
    with engine.begin() as connection:
        ledger.uninstall(connection)
    with Session(engine) as session:
        session.delete(session.get_one(Paper, 2))
        session.commit()
    assert in_ledger(engine) == []
    assert contents(storage) == [b"old"]


def test_a_commit_that_releases_nothing_takes_no_further_transaction(
    engine: Engine, begun: list[Any]
) -> None:
    with Session(engine) as session:
        session.add(Paper(body=File(b"new")))
        session.commit()
    assert len(begun) == 1


def test_a_rollback_leaves_nothing_in_the_ledger(
    engine: Engine, storage: MemoryStorage, begun: list[Any]
) -> None:
    with Session(engine) as session:
        session.get_one(Paper, 1).body = File(b"new")
        session.flush()
        session.rollback()
    assert len(begun) == 1
    assert in_ledger(engine) == []
    assert contents(storage) == [b"old", b"old"]


@sqlite_only
def test_the_next_transaction_expects_nothing_of_a_statement_that_failed(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")  # nothing tells its entries
        with pytest.raises(IntegrityError):
            connection.execute(update(Paper).where(Paper.id == 1).values(id=2, body=None))
        connection.rollback()
        connection.execution_options(isolation_level="SERIALIZABLE")
        connection.execute(delete(Paper).where(Paper.id == 1))
        connection.commit()
    assert contents(storage) == [b"old"]


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
@pytest.mark.parametrize("is_copied", [False, True])
def test_an_object_that_sql_has_copied_to_another_row_stays_after_autocommit(
    engine: Engine, storage: MemoryStorage, end: str, is_copied: bool
) -> None:
    with engine.begin() as connection:
        connection.execute(delete(Paper).where(Paper.id == 2))
        if is_copied:
            copying = "INSERT INTO ledger_paper (id, body) SELECT 9, body FROM ledger_paper"
            connection.execute(text(copying))
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(delete(Paper).where(Paper.id == 1))
        getattr(connection, end)()
    assert contents(storage) == [b"old"] * is_copied


def test_what_could_not_be_deleted_stays_in_the_ledger(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(keys: list[str]) -> None:
        raise DeletionError(dict.fromkeys(keys[:1], OSError("no answer")))

    with Session(engine) as session:
        paths = sorted(paper.body.path for paper in session.scalars(select(Paper)))
        for paper in session.scalars(select(Paper)):
            session.delete(paper)
        monkeypatch.setattr(storage, "delete", fail)
        session.commit()
    assert in_ledger(engine) == paths[:1]


def test_what_a_bare_connection_releases_is_deleted_and_left_to_the_drain(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        connection.execute(Paper.__table__.delete())
    assert len(in_ledger(engine)) == 2
    assert contents(storage) == []


def test_a_ledger_that_is_out_of_order_is_logged_and_the_commit_stands(
    engine: Engine, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    @event.listens_for(engine, "before_execute")
    def refuse(_connection: Any, element: Any, *_rest: Any) -> None:
        if element.is_delete and element.table is ledger.releases:
            _connection.exec_driver_sql("SELECT * FROM nowhere")

    with Session(engine) as session, caplog.at_level(logging.WARNING, "sqlalchemy_file"):
        session.delete(session.get_one(Paper, 1))
        session.commit()
    assert "1 deleted objects stay in sqlalchemy_file_release until the next drain" in caplog.text
    assert contents(storage) == [b"old"]


@postgresql_only
def test_an_async_session_does_the_same(engine: Engine, storage: MemoryStorage) -> None:
    async def program() -> None:
        url = engine.url.set(drivername="postgresql+asyncpg")
        asynchronous = create_async_engine(url)
        async with AsyncSession(asynchronous) as session:
            (await session.get_one(Paper, 1)).body = File(b"new")
            await session.delete(await session.get_one(Paper, 2))
            await session.commit()
        await asynchronous.dispose()

    asyncio.run(program())
    assert in_ledger(engine) == []
    assert contents(storage) == [b"new"]


# --- the commit guard


def grace(engine: Engine, seconds: float) -> None:
    with engine.begin() as connection:
        set_grace(connection, ledger, seconds)


def assert_refused(engine: Engine, storage: MemoryStorage) -> None:
    """Check that nothing was committed, and that what follows is as if nothing had been tried."""
    assert contents(storage) == [b"old", b"old"]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ledger_paper")) == 2


def test_a_session_that_commits_too_late_is_refused(engine: Engine, storage: MemoryStorage) -> None:
    grace(engine, 0)
    with Session(engine) as session:
        session.add(Paper(body=File(b"late")))
        with pytest.raises(CommitRefusedError, match="grace period of 0 seconds"):
            session.commit()
        session.rollback()
        assert_refused(engine, storage)
        grace(engine, 3600)
        session.add(Paper(body=File(b"in time")))
        session.commit()
    assert contents(storage) == [b"in time", b"old", b"old"]


def test_a_commit_of_no_upload_is_never_too_late(engine: Engine, storage: MemoryStorage) -> None:
    grace(engine, 0)
    with Session(engine) as session:
        session.delete(session.get_one(Paper, 1))
        session.commit()
    assert contents(storage) == [b"old"]


def test_a_connection_that_commits_too_late_goes_on_with_a_new_transaction(
    engine: Engine, storage: MemoryStorage
) -> None:
    grace(engine, 0)
    with engine.connect() as connection:
        connection.execute(Paper.__table__.insert().values(body=File(b"late")))
        with pytest.raises(CommitRefusedError):
            connection.commit()
        connection.rollback()
        connection.execute(Paper.__table__.update().values(body=None))
        connection.commit()
    assert keys(storage) == []
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ledger_paper")) == 2


def test_a_session_joined_to_a_transaction_is_guarded_where_that_commits(
    engine: Engine, storage: MemoryStorage
) -> None:
    grace(engine, 0)
    with engine.connect() as connection:
        outer = connection.begin()
        with (
            pytest.raises(CommitRefusedError),
            Session(connection, join_transaction_mode="create_savepoint") as session,
        ):
            session.add(Paper(body=File(b"late")))
            session.commit()  # commits by itself on SQLite, whose driver has begun nothing yet
            outer.commit()
    assert_refused(engine, storage)


@on_servers
def test_a_two_phase_commit_is_guarded_before_it_is_prepared(
    engine: Engine, storage: MemoryStorage
) -> None:
    grace(engine, 0)
    with Session(engine, twophase=True) as session:
        session.add(Paper(body=File(b"late")))
        with pytest.raises(CommitRefusedError):
            session.commit()
    assert_refused(engine, storage)
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(Paper.__table__.insert().values(body=File(b"late")))
        with pytest.raises(CommitRefusedError):
            transaction.commit()
    assert_refused(engine, storage)
