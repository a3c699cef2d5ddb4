"""Keys that a program chooses, deletes and chooses again, with a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, delete, event, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import QueuePool

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import ObjectExistsError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.uploading import batch
from tests.databases import on_servers, tables_on
from tests.stores import contents, keys


class Base(DeclarativeBase):
    pass


class Logo(Base):
    __tablename__ = "chosen_logo"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(key=lambda file: f"logos/{file.filename}"))


ledger = Ledger(Base.metadata)


@pytest.fixture
def engine(url: str, storage: MemoryStorage) -> Iterator[Engine]:
    with tables_on(url, Base.metadata) as engine:
        yield engine


def logo(content: bytes) -> Logo:
    return Logo(body=File(content, filename="acme"))


def in_ledger(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(connection.scalars(select(ledger.releases.c.path)).all())


def test_a_key_is_free_again_as_soon_as_its_row_is_gone(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        for content in (b"1", b"2", b"3"):
            session.add(logo(content))
            session.commit()
            session.delete(session.scalars(select(Logo)).one())
            session.commit()
        session.add(logo(b"4"))
        session.commit()
    assert contents(storage) == [b"4"]
    assert in_ledger(engine) == 0


@pytest.mark.parametrize("way", ["session", "insert"])
def test_a_key_that_is_noted_is_not_stored_under(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(batch, "PATIENCE", 0.1)
    with Session(engine) as session:
        session.add(logo(b"1"))
        session.commit()
        session.execute(text("DELETE FROM chosen_logo"))  # which only the triggers see
        session.commit()
        storage.delete(keys(storage))  # by a worker, whose note is still there
        with pytest.raises(ObjectExistsError, match="about to be deleted"):
            if way == "session":
                session.add(logo(b"2"))
                session.commit()
            else:
                session.execute(insert(Logo).values(body=File(b"2", filename="acme")))
        session.rollback()
        assert keys(storage) == []
        session.execute(delete(ledger.releases))
        session.commit()
        session.add(logo(b"2"))
        session.commit()
    assert contents(storage) == [b"2"]


@on_servers
def test_a_deletion_under_way_is_waited_for(engine: Engine, storage: MemoryStorage) -> None:
    with Session(engine) as session:
        session.add(logo(b"1"))
        session.commit()
        session.execute(text("DELETE FROM chosen_logo"))
        session.commit()
        storage.delete(keys(storage))
        session.scalar(select(Logo.id))  # from now on MariaDB shows the ledger as it is here
        looks: list[Any] = []

        @event.listens_for(engine, "before_cursor_execute")
        def clear(_conn: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
            if "FROM sqlalchemy_file_release" in sql and sql.startswith("SELECT"):
                looks.append(sql)
                if len(looks) == 2:
                    with engine.begin() as connection:
                        connection.execute(delete(ledger.releases))

        session.add(logo(b"2"))
        session.commit()
    assert contents(storage) == [b"2"]


@on_servers
def test_a_session_joined_to_the_only_connection_clears_later(
    engine: Engine, storage: MemoryStorage
) -> None:
    small = create_engine(
        engine.url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=60
    )
    with Session(small) as session:
        session.add_all([logo(b"1"), Logo(body=File(b"2", filename="other"))])
        session.commit()
    with small.connect() as connection:
        with Session(connection) as session:
            session.delete(session.scalars(select(Logo).order_by(Logo.id)).first())
            session.commit()
        connection.commit()
    assert contents(storage) == [b"2"]
    assert in_ledger(engine) == 1
    with Session(small) as session:
        session.delete(session.scalars(select(Logo)).one())
        session.commit()
    assert contents(storage) == []
    assert in_ledger(engine) == 0
    small.dispose()
