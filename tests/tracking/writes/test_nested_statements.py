"""What a program's own listeners and defaults do in between costs no file its row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    Integer,
    delete,
    event,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, OperationalError, ResourceClosedError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import contents, keys, named


class Base(DeclarativeBase):
    pass


def query(context: Any) -> int:
    return int(context.connection.execute(select(literal(7))).scalar())


def fail_and_go_on(context: Any) -> int:
    with pytest.raises(OperationalError):
        context.connection.execute(text("SELECT * FROM no_such_table"))
    return 8


def file_another_paper(context: Any) -> int:
    context.connection.execute(insert(Paper.__table__).values(body=File(b"from a default")))
    return 9


def fail_in_a_savepoint(context: Any) -> int:
    with pytest.raises(OperationalError), context.connection.begin_nested():
        context.connection.execute(text("SELECT * FROM no_such_table"))
    return 10


class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())


class Defaulted(Base):
    __tablename__ = "defaulted"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())
    queried: Mapped[int] = mapped_column(Integer, default=query, onupdate=query)
    failed: Mapped[int] = mapped_column(Integer, default=fail_and_go_on)
    filed: Mapped[int] = mapped_column(Integer, default=file_another_paper)


class Guarded(Base):
    __tablename__ = "guarded"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())
    failed: Mapped[int] = mapped_column(Integer, default=fail_in_a_savepoint)


class Log(Base):
    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str | None]
    scan: Mapped[File | None] = mapped_column(FileField())


def assert_kept(engine: Engine, storage: MemoryStorage) -> None:
    paths = [
        *named(engine, "paper", "body"),
        *named(engine, "defaulted", "body"),
        *named(engine, "log", "scan"),
    ]
    assert sorted(paths) == [f"main/{key}" for key in sorted(keys(storage))]


def test_a_default_that_queries_files_and_fails_in_between_loses_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        session.add(Defaulted(body=File(b"one")))
        session.commit()
        assert contents(storage) == [b"from a default", b"one"]
        session.scalars(select(Defaulted)).one().body = File(b"two")
        session.commit()
    assert contents(storage) == [b"from a default", b"two"]
    assert_kept(engine, storage)


def test_a_default_that_queries_before_a_rollback_leaves_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        session.add(Defaulted(body=File(b"one")))
        session.flush()
    assert keys(storage) == []


def _audit(conn: Any, cursor: Any, sql: str, params: Any, context: Any, many: bool) -> None:
    if "paper" in sql and not sql.startswith("SELECT"):
        conn.execute(insert(Log.__table__).values(line=sql[:20], scan=File(b"audit")))


AUDITED = ["before_cursor_execute", "after_cursor_execute"]


@pytest.mark.parametrize("moment", AUDITED)
def test_an_audit_listener_that_writes_files_of_its_own_loses_nothing(
    engine: Engine, storage: MemoryStorage, moment: str
) -> None:
    event.listen(engine, moment, _audit)
    with Session(engine) as session:
        paper = Paper(body=File(b"one"))
        session.add(paper)
        session.commit()
        paper.body = File(b"two")
        session.commit()
        session.execute(update(Paper).values(body=File(b"three")))
        session.commit()
    assert [one for one in contents(storage) if one != b"audit"] == [b"three"]
    assert_kept(engine, storage)


@pytest.mark.parametrize("moment", AUDITED)
def test_an_audited_deletion_deletes(engine: Engine, storage: MemoryStorage, moment: str) -> None:
    with Session(engine) as session:
        session.add_all([Paper(body=File(b"one")), Paper(body=File(b"two"))])
        session.commit()
        event.listen(engine, moment, _audit)
        session.execute(delete(Paper))
        session.commit()
    assert set(contents(storage)) == {b"audit"}
    assert_kept(engine, storage)


@pytest.mark.parametrize("moment", AUDITED)
def test_an_audited_statement_that_fails_counts_nothing(
    engine: Engine, storage: MemoryStorage, moment: str
) -> None:
    event.listen(engine, moment, _audit)
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"one")))
        session.commit()
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(insert(Paper).values(id=1, body=File(b"twice")))
        session.commit()
    assert [one for one in contents(storage) if one != b"audit"] == [b"one"]
    assert_kept(engine, storage)


def test_a_listener_that_changes_the_statement_loses_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    @event.listens_for(engine, "before_execute", retval=True)
    def comment(conn: Any, element: Any, multi: Any, params: Any, options: Any) -> Any:
        if hasattr(element, "prefix_with"):
            element = element.prefix_with("/* traced */")
        return element, multi, params

    with Session(engine) as session:
        session.add_all([Paper(body=File(b"one")), Paper(body=File(b"two"))])
        session.commit()
        session.execute(delete(Paper).where(Paper.id == 1))
        session.execute(update(Paper).where(Paper.id == 2).values(body=File(b"three")))
        session.commit()
    assert contents(storage) == [b"three"]
    assert_kept(engine, storage)


def test_a_listener_that_stops_the_statement_leaves_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    @event.listens_for(engine, "before_execute")
    def stop(conn: Any, element: Any, multi: Any, params: Any, options: Any) -> None:
        if str(element).startswith("INSERT"):
            raise PermissionError("read only")

    with engine.begin() as connection, pytest.raises(PermissionError):
        connection.execute(insert(Paper).values(body=File(b"one")))
    assert keys(storage) == []
    with Session(engine) as session, pytest.raises(PermissionError):
        session.add(Paper(body=File(b"one")))
        session.commit()
    assert keys(storage) == []


def test_a_statement_stopped_after_its_look_at_old_rows_releases_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        session.add(Paper(body=File(b"one")))
        session.commit()

    @event.listens_for(engine, "before_cursor_execute")
    def stop(conn: Any, cursor: Any, sql: str, params: Any, context: Any, many: bool) -> None:
        if sql.startswith("DELETE"):
            raise PermissionError("read only")

    with engine.begin() as connection, pytest.raises(PermissionError):
        connection.execute(delete(Paper))
    assert contents(storage) == [b"one"]
    assert_kept(engine, storage)


def test_a_listener_that_uses_a_savepoint_of_its_own_loses_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    @event.listens_for(Session, "after_flush")
    def note(session: Session, context: Any) -> None:
        nested = session.connection().begin_nested()
        session.connection().execute(insert(Log.__table__).values(scan=File(b"undone")))
        nested.rollback()

    try:
        with Session(engine) as session:
            session.add(Paper(body=File(b"one")))
            session.commit()
    finally:
        event.remove(Session, "after_flush", note)
    assert contents(storage) == [b"one"]
    assert_kept(engine, storage)


ENDS: dict[str, Callable[[Connection], Callable[[], None]]] = {
    "commit": lambda connection: connection.commit,
    "rollback": lambda connection: connection.rollback,
    "savepoint": lambda connection: connection.begin_nested().rollback,
}


def _end_before_insert(engine: Engine, end: Callable[[], None]) -> None:
    ended: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def listen(conn: Any, cursor: Any, sql: str, params: Any, context: Any, many: bool) -> None:
        if sql.startswith("INSERT") and not ended:
            ended.append(sql)
            end()


@pytest.mark.parametrize("end", ENDS)
def test_a_statement_whose_transaction_a_listener_ends_before_it_is_sent_is_refused(
    engine: Engine, storage: MemoryStorage, end: str
) -> None:
    with engine.connect() as connection:
        connection.execute(update(Log).values(line="begins a transaction on SQLite"))
        _end_before_insert(engine, ENDS[end](connection))
        file = File(b"one")
        with pytest.raises(UnsupportedStatementError, match="paper: a listener has ended"):
            connection.execute(insert(Paper).values(body=file))
        connection.execute(update(Log).values(line="begins another one"))
        connection.commit()
        assert keys(storage) == []
        connection.execute(insert(Paper).values(body=file))
        connection.commit()
    assert contents(storage) == [b"one"]
    assert_kept(engine, storage)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_flush_whose_transaction_a_listener_ends_stores_no_row_without_its_file(
    engine: Engine, storage: MemoryStorage, end: str
) -> None:
    with Session(engine) as session:
        session.add(Paper(body=File(b"one")))
        _end_before_insert(engine, getattr(session, end))
        with pytest.raises(ResourceClosedError):
            session.flush()
    with engine.begin() as connection:
        connection.execute(update(Log).values(line="begins a transaction on SQLite"))
    assert keys(storage) == []
    assert_kept(engine, storage)


def test_a_listener_that_commits_after_a_statement_was_sent_loses_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    @event.listens_for(engine, "after_cursor_execute")
    def commit(conn: Any, cursor: Any, sql: str, params: Any, context: Any, many: bool) -> None:
        if sql.startswith("INSERT"):
            conn.commit()

    with engine.connect() as connection:
        connection.execute(insert(Paper).values(body=File(b"one")))
        connection.execute(insert(Paper).values(body=File(b"two")))
        connection.rollback()
    assert contents(storage) == [b"one", b"two"]
    assert_kept(engine, storage)


@pytest.mark.parametrize("moment", AUDITED)
@pytest.mark.parametrize("scan", [None, b"undone"])
@pytest.mark.parametrize("verb", ["INSERT", "UPDATE", "DELETE"])
def test_a_listener_that_rolls_back_its_own_savepoint_during_a_statement_loses_nothing(
    engine: Engine, storage: MemoryStorage, moment: str, scan: bytes | None, verb: str
) -> None:
    def try_out(conn: Any, cursor: Any, sql: str, params: Any, context: Any, many: bool) -> None:
        if sql.startswith(verb) and "paper" in sql:
            with conn.begin_nested() as nested:
                conn.execute(insert(Log.__table__).values(scan=scan and File(scan)))
                nested.rollback()

    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"one")))
        session.commit()
        session.execute(update(Log).values(line="begins a transaction on SQLite"))
        event.listen(engine, moment, try_out)
        session.add(Paper(id=2, body=File(b"two")))
        session.flush()
        session.get_one(Paper, 1).body = File(b"new")
        session.flush()
        session.execute(delete(Paper).where(Paper.id == 2))
        session.commit()
    assert contents(storage) == [b"new"]
    assert_kept(engine, storage)


def test_a_default_that_rolls_back_a_savepoint_loses_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as connection:
        connection.execute(update(Log).values(line="begins a transaction on SQLite"))
        connection.execute(insert(Guarded).values(body=File(b"one")))
        connection.commit()
    assert contents(storage) == [b"one"]
    assert len(named(engine, "guarded", "body")) == 1
