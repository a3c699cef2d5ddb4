"""A session that is bound to a connection: files are deleted when a transaction of either ends."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from sqlalchemy_file import File
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.models import Paper
from tests.stores import contents


def _add(session: Session) -> None:
    session.add(Paper(body=File(b"old")))
    session.commit()


def test_the_end_of_a_savepoint_is_not_the_end_of_the_session(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.connect() as connection, Session(connection) as session:
        _add(session)
        with session.begin_nested():
            session.delete(session.scalars(select(Paper)).one())
        assert contents(storage) == [b"old"]
        session.commit()
        assert contents(storage) == []


def test_a_connection_outlives_its_session(engine: Engine, storage: MemoryStorage) -> None:
    with engine.connect() as connection:
        session = Session(connection)
        _add(session)
        session.close()
        connection.execute(delete(Paper))
        assert contents(storage) == [b"old"]
        connection.commit()
        with connection.begin():  # the next one; the session is still there
            assert contents(storage) == []
        session.close()
