"""Files that move while each statement is final: a flush that fails may have done half of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Engine,
    String,
    bindparam,
    create_engine,
    delete,
    event,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import tables_on
from tests.stores import contents, keys, named
from tests.tracking.unit.test_standing import AUTOCOMMIT


class Base(DeclarativeBase):
    pass


class Sheet(Base):
    __tablename__ = "autocommit_sheet"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None] = mapped_column(String(40))
    body: Mapped[File | None] = mapped_column(FileField())
    other: Mapped[File | None] = mapped_column(FileField())


class _FailedError(Exception):
    pass


@pytest.fixture(params=["option", "driver"])
def engine(url: str, storage: MemoryStorage, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine whose statements are final, by SQLAlchemy's option or by the driver's."""
    with tables_on(url, Base.metadata) as plain:
        with Session(plain) as session:
            session.add_all([Sheet(id=1), Sheet(id=2, body=File(b"moving")), Sheet(id=3)])
            session.commit()
        options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
        if request.param == "driver":
            options = {"connect_args": AUTOCOMMIT[plain.dialect.name]}
        engine = create_engine(url, **options)
        yield engine
        engine.dispose()


def _fail_at(engine: Engine, verb: str, number: int, moment: str = "before_cursor_execute") -> None:
    left = [number]

    def fail(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if sql.startswith(verb) and "autocommit_sheet" in sql and "WHERE 0" not in sql:
            left[0] -= 1
            if left[0] == 0:
                raise _FailedError

    event.listen(engine, moment, fail)


def _to_another_row(session: Session) -> None:
    one, two = session.get_one(Sheet, 1), session.get_one(Sheet, 2)
    one.body, two.body = two.body, None
    one.title = "a statement of its own"


def _before_its_row_goes(session: Session) -> None:
    one, two = session.get_one(Sheet, 1), session.get_one(Sheet, 2)
    one.body = two.body
    session.delete(two)


@pytest.mark.parametrize(
    ("move", "verb", "number"),
    [(_to_another_row, "UPDATE", 2), (_before_its_row_goes, "DELETE", 1)],
)
def test_a_move_that_fails_halfway_leaves_each_row_an_object_of_its_own(
    engine: Engine,
    storage: MemoryStorage,
    move: Callable[[Session], None],
    verb: str,
    number: int,
) -> None:
    with Session(engine) as session:
        move(session)
        _fail_at(engine, verb, number)
        with pytest.raises(_FailedError):
            session.commit()
    paths = named(engine, "autocommit_sheet", "body")
    assert len(set(paths)) == len(paths) == 2
    with Session(engine) as session:
        session.execute(delete(Sheet).where(Sheet.id == 2))
        session.commit()
    assert named(engine, "autocommit_sheet", "body") == [f"main/{key}" for key in keys(storage)]


@pytest.mark.parametrize("move", [_to_another_row, _before_its_row_goes])
def test_a_move_that_succeeds_leaves_one_object(
    engine: Engine, storage: MemoryStorage, move: Callable[[Session], None]
) -> None:
    with Session(engine) as session:
        move(session)
        session.commit()
    assert named(engine, "autocommit_sheet", "body") == [f"main/{key}" for key in keys(storage)]
    assert contents(storage) == [b"moving"]


def test_a_file_moves_within_its_row_as_it_is(engine: Engine, storage: MemoryStorage) -> None:
    before = keys(storage)
    with Session(engine) as session:
        two = session.get_one(Sheet, 2)
        two.other, two.body = two.body, None
        session.commit()
    assert keys(storage) == before
    assert named(engine, "autocommit_sheet", "other") == [f"main/{key}" for key in before]


def test_parameter_sets_that_move_a_file_and_fail_halfway_share_no_object(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as connection:
        body = connection.scalars(select(Sheet.__table__.c.body).where(Sheet.id == 2)).one()
        by_id = update(Sheet.__table__).where(Sheet.__table__.c.id == bindparam("which"))
        connection.execute(by_id, [{"which": 1, "body": body}, {"which": 2, "body": None}])
        connection.commit()
    assert named(engine, "autocommit_sheet", "body") == [f"main/{key}" for key in keys(storage)]
    assert contents(storage) == [b"moving"]


@pytest.mark.parametrize("moment", ["before_cursor_execute", "after_cursor_execute"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_rollback_after_a_listener_has_raised_takes_no_file_of_a_row(
    engine: Engine, storage: MemoryStorage, moment: str, is_first: bool
) -> None:
    with Session(engine) as session:
        if not is_first:
            session.execute(update(Sheet).where(Sheet.id == 3).values(body=File(b"final")))
        _fail_at(engine, "INSERT", 1, moment)
        session.add(Sheet(id=4, body=File(b"maybe")))
        with pytest.raises(_FailedError):
            session.flush()
    paths = named(engine, "autocommit_sheet", "body")
    assert sorted(paths) == sorted(f"main/{key}" for key in keys(storage))
    assert len(paths) == 1 + (not is_first) + moment.startswith("after")
