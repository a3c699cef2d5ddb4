"""Statements that concern no files: the library's listeners return at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from tests.calls import calls_noted


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]


class Attached(Base):
    __tablename__ = "attached"

    id: Mapped[int] = mapped_column(primary_key=True)
    file: Mapped[File | None] = mapped_column(FileField)


READ = select(Note.__table__)
ADD = insert(Note).values(words="plain")
CHANGE = update(Note).values(words="other")
REMOVE = delete(Note)


def _warm(connection: Connection) -> None:
    for statement in (READ, ADD, CHANGE, REMOVE):
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "most"),
    [(READ, 3), (ADD, 6), (REMOVE, 8), (CHANGE, 10)],
    ids=["select", "insert", "delete", "update"],
)
def test_few_functions_are_called_for_a_statement_without_files(
    engine: Engine, statement: object, most: int
) -> None:
    with engine.begin() as connection:
        _warm(connection)
        with calls_noted() as places:
            connection.execute(statement)  # type: ignore[call-overload]
    assert len(places) <= most


def test_a_transaction_without_files_calls_one_function_for_each_event(engine: Engine) -> None:
    def transaction() -> None:
        with engine.begin():
            pass

    _called(transaction, most=4)  # begin, commit, reset, checkin


def test_few_functions_are_called_for_a_session_without_files(engine: Engine) -> None:
    def add() -> None:
        with Session(engine) as session:
            session.add(Note(words="plain"))
            session.commit()

    _called(add, most=20)


def _called(work: Callable[[], None], most: int) -> None:
    work()  # caches are filled
    with calls_noted() as places:
        work()
    assert len(places) <= most
