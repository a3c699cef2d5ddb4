"""A flush that cannot be prepared says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import keys


class Base(DeclarativeBase):
    pass


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
