"""A statement may mean another schema than its table names: every look at rows follows it there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage import MemoryStorage


class Base(DeclarativeBase):
    pass


class Letter(Base):
    __tablename__ = "letter"
    __table_args__ = ({"schema": "tenant"},)

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "connect")
    def attach(connection, record) -> None:
        for name in ("one", "two"):
            connection.execute(f"ATTACH DATABASE '{tmp_path / name}.db' AS {name}")

    for name in ("one", "two"):
        with engine.begin() as connection:
            connection.execution_options(schema_translate_map={"tenant": name})
            Base.metadata.create_all(connection)
    yield engine
    engine.dispose()


def _in(name: str) -> dict[str, dict[str, str]]:
    return {"schema_translate_map": {"tenant": name}}


def _bodies(engine: Engine, name: str) -> list[bytes]:
    with Session(engine.execution_options(**_in(name))) as session:
        return [letter.body.file.read() for letter in session.scalars(select(Letter))]


def _fill(engine: Engine) -> None:
    for name in ("one", "two"):
        with Session(engine.execution_options(**_in(name))) as session:
            session.add(Letter(body=File(name)))
            session.commit()


def test_a_session_of_one_tenant_leaves_the_other_alone(
    engine: Engine, storage: MemoryStorage
) -> None:
    _fill(engine)
    with Session(engine.execution_options(**_in("one"))) as session:
        session.scalars(select(Letter)).one().body = File("new")
        session.commit()
    assert (_bodies(engine, "one"), _bodies(engine, "two")) == ([b"new"], [b"two"])
    assert len(list(storage.list())) == 2


def test_a_statement_with_schemas_of_its_own_releases_what_it_changes(
    engine: Engine, storage: MemoryStorage
) -> None:
    _fill(engine)
    with Session(engine.execution_options(**_in("one"))) as session:
        session.connection()
        change = update(Letter).where(Letter.id == 1).values(body=File("new"))
        session.execute(change, execution_options={**_in("two"), "synchronize_session": False})
        session.commit()
    assert (_bodies(engine, "one"), _bodies(engine, "two")) == ([b"one"], [b"new"])
    assert len(list(storage.list())) == 2
