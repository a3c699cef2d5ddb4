"""Transforms under each kind of session and statement."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import create_engine, insert
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.transforms import Convert, Transform
from sqlalchemy_file.validators import Validator
from tests.pictures import encoded, noise


class Awaited(Validator):
    async def process(self, file: File, attr_key: str) -> None:  # type: ignore[override]
        file["awaited"] = True


class Owned(Transform):
    def transform(self, file: File, attr_key: str, row: Any = None) -> bytes:
        file["thread"] = threading.current_thread() is threading.main_thread()
        return f"{attr_key} of {row.id}".encode()


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "transformed_row"
    id: Mapped[int] = mapped_column(primary_key=True)
    one: Mapped[File | None] = mapped_column(
        FileField(transforms=[lambda content: content.read() + b"!"])
    )
    many: Mapped[list[File] | None] = mapped_column(
        FileField(multiple=True, transforms=[lambda content: content.read() + b"?"])
    )
    placed: Mapped[File | None] = mapped_column(
        ImageField(transforms=[Convert("WEBP")], key=lambda file: f"p/{file['filename']}")
    )
    judged: Mapped[File | None] = mapped_column(
        FileField(validators=[Awaited()], transforms=[lambda content: content.read() + b"."])
    )
    owned: Mapped[File | None] = mapped_column(FileField(transforms=[Owned()]))


@pytest.fixture(autouse=True)
def storage() -> None:
    StorageManager.add_storage("main", "memory://")


@pytest.fixture
def engine() -> Any:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def stored(file: File | None) -> bytes:
    assert file is not None
    return StorageManager.get_file(file["path"]).read()


def test_each_file_of_a_list_is_changed(engine):
    with Session(engine) as session:
        row = Row(many=[File(b"a"), File(b"b")])
        session.add(row)
        session.commit()
        assert row.many is not None
        assert [stored(file) for file in row.many] == [b"a?", b"b?"]
        row.many.append(File(b"c"))
        session.commit()
        assert [stored(file) for file in row.many] == [b"a?", b"b?", b"c?"]


def test_one_content_for_two_fields_is_changed_for_each(engine):
    with Session(engine) as session:
        file = File(b"a")
        row = Row(one=file, many=[file])
        session.add(row)
        session.commit()
        assert (stored(row.one), stored((row.many or [])[0])) == (b"a!", b"a?")


def test_statements_change_content_as_well(engine):
    with engine.begin() as connection:
        connection.execute(insert(Row).values(one=File(b"a")))
    with Session(engine) as session:
        row = session.query(Row).one()
        assert stored(row.one) == b"a!"


def test_a_transform_that_is_added_later_takes_part(engine, monkeypatch):
    field = Row.__table__.c.one.type
    later = [*field.transforms, lambda content: content.read() + b"!"]
    monkeypatch.setattr(field, "transforms", later)
    with Session(engine) as session:
        row = Row(one=File(b"a"))
        session.add(row)
        session.commit()
        assert stored(row.one) == b"a!!"
        field.transforms.clear()
        row.one = File(b"b")
        session.commit()
        assert stored(row.one) == b"b"


def test_a_key_is_chosen_for_what_was_made(engine):
    with Session(engine) as session:
        row = Row(placed=File(encoded(noise()), "photo.png"))
        session.add(row)
        session.commit()
        assert row.placed is not None
        assert row.placed["path"] == "main/p/photo.webp"


def test_a_transform_may_take_the_row(engine):
    with Session(engine) as session:
        row = Row(id=7, owned=File(b"x"))
        session.add(row)
        session.commit()
        assert stored(row.owned) == b"owned of 7"


def test_under_an_async_session_transforms_work_in_threads_behind_awaited_validators():
    async def story() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            row = Row(id=3, one=File(b"a"), judged=File(b"b"), owned=File(b"c"))
            session.add(row)
            await session.commit()
            assert (stored(row.one), stored(row.judged)) == (b"a!", b"b.")
            assert row.judged is not None
            assert row.owned is not None
            assert row.judged["awaited"]
            assert not row.owned["thread"]
        await engine.dispose()

    asyncio.run(story())
