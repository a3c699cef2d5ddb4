"""A flush reads the rows that it is about to change, or says why it cannot."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, func, null
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import contents, keys


class Base(DeclarativeBase):
    pass


class Shelf(enum.Enum):
    UPPER = 1
    LOWER = 2


class Box(Base):
    __tablename__ = "flushed_box"
    shelf: Mapped[Shelf] = mapped_column(primary_key=True)
    body: Mapped[File] = mapped_column(FileField())
    note: Mapped[File | None] = mapped_column(FileField())


class Paper(Base):
    __tablename__ = "flushed_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File] = mapped_column(FileField())


Ledger(Base.metadata)


def test_a_connection_that_is_lost_before_a_file_is_stored_is_the_error_that_is_raised(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    def lose(conn: Any, cursor: Any, sql: str, *_: Any) -> None:
        conn.connection.driver_connection.close()

    def is_disconnect(context: Any) -> None:
        context.is_disconnect = True

    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Paper(body=File(b"new")))
        event.listen(engine, "before_cursor_execute", lose)
        event.listen(engine, "handle_error", is_disconnect)
        with pytest.raises(ProgrammingError, match="closed database"):
            session.flush()
    assert keys(storage) == []
    engine.dispose()


def test_rows_whose_keys_have_no_order_release_their_files(
    storage: MemoryStorage, engine: Engine
) -> None:
    with Session(engine) as session:
        session.add_all([Box(shelf=shelf, body=File(b"old")) for shelf in Shelf])
        session.commit()
        for shelf in Shelf:
            session.get_one(Box, shelf).body = File(b"new")
        session.commit()
        assert contents(storage) == [b"new", b"new"]
        for shelf in Shelf:
            session.delete(session.get_one(Box, shelf))
        session.commit()
    assert keys(storage) == []


def test_an_expression_that_is_assigned_is_judged_when_it_is_sent(
    storage: MemoryStorage, engine: Engine
) -> None:
    with Session(engine) as session:
        session.add(Box(shelf=Shelf.UPPER, body=File(b"old")))
        session.commit()
        box = session.get_one(Box, Shelf.UPPER)
        box.body = func.lower("x")  # type: ignore[assignment]
        with pytest.raises(UnsupportedStatementError, match="SQL expression"):
            session.flush()
        session.rollback()
        assert contents(storage) == [b"old"]
        box.note = null()  # type: ignore[assignment]
        session.commit()
        box.note = File(b"note")
        session.commit()
        box.note = null()  # type: ignore[assignment]
        session.commit()
    assert contents(storage) == [b"old"]


@pytest.mark.filterwarnings("ignore:.*flush:DeprecationWarning")  # SQLAlchemy 2.1
def test_a_flush_of_some_objects_stores_and_releases_theirs(
    storage: MemoryStorage, engine: Engine
) -> None:
    with Session(engine) as session:
        upper, lower = (Box(shelf=shelf, body=File(shelf.name.encode())) for shelf in Shelf)
        session.add_all([upper, lower])
        session.flush([upper])
        assert contents(storage) == [b"UPPER"]
        session.commit()
        assert contents(storage) == [b"LOWER", b"UPPER"]
        lower.body = File(b"new")
        session.delete(upper)
        session.flush([upper])
        assert contents(storage) == [b"LOWER", b"UPPER"]
        session.rollback()
        session.delete(upper)
        session.flush([upper])
        session.commit()
    assert contents(storage) == [b"LOWER"]
