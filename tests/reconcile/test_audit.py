"""The full pass without a ledger: it reports, deletes nothing and notes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.reconcile import acompare, compare, drain, status, sweep
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import tables_on
from tests.reconcile import helpers
from tests.reconcile.helpers import kinds, store
from tests.stores import keys

DAY = timedelta(days=1)


class Base(DeclarativeBase):
    pass


class Letter(Base):
    __tablename__ = "audited_letter"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(upload_storage="main", multiple=True)
    )


@pytest.fixture
def engine(url: str, storage: MemoryStorage) -> Iterator[Engine]:
    with tables_on(url, Base.metadata) as engine:
        with Session(engine) as session:
            session.add(Letter(id=1, body=File(b"1"), pages=[File(b"2"), File(b"3")]))
            session.add(Letter(id=2, body=File(b"4")))
            session.commit()
        yield engine


def test_both_directions_are_reported_without_a_ledger(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        path = session.get_one(Letter, 2).body["path"]
    storage.delete([path.removeprefix("main/")])
    lost = store(storage, age=DAY)
    store(storage, key="readme.txt", age=DAY)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO audited_letter (id, body) VALUES (3, '5')"))
    found = {each.kind: each for each in compare(engine, Base.metadata)}
    assert set(found) == {"dangling", "orphan", "foreign", "malformed"}
    assert (found["dangling"].path, found["orphan"].key) == (path, lost)
    assert found["foreign"].key == "readme.txt"
    assert lost in keys(storage)


def test_what_is_young_is_left_out_of_an_audit(engine: Engine, storage: MemoryStorage) -> None:
    store(storage, age=timedelta(minutes=30))
    store(storage, age=timedelta(minutes=90))
    assert kinds(compare(engine, Base.metadata)) == {"orphan": 1}
    assert kinds(compare(engine, Base.metadata, grace=60)) == {"orphan": 2}
    assert list(compare(engine, Base.metadata, grace=DAY.total_seconds())) == []


def test_an_audit_notes_nothing_and_begins_at_the_start_each_time(
    engine: Engine, storage: MemoryStorage
) -> None:
    for _ in range(3):
        store(storage, age=DAY)
    stored = keys(storage)
    first = compare(engine, Base.metadata)
    next(first)
    first.close()
    assert kinds(compare(engine, Base.metadata)) == {"orphan": 3}
    assert keys(storage) == stored
    assert not [name for name in inspect(engine).get_table_names() if "sqlalchemy_file" in name]


@pytest.mark.parametrize(
    "passing",
    [
        lambda *where: list(compare(*where, delete=True)),
        lambda *where: list(compare(*where, adopt=True)),
        lambda *where: list(sweep(*where)),
        lambda *where: list(drain(*where)),
        status,
    ],
)
def test_what_needs_a_ledger_says_why(engine: Engine, storage: MemoryStorage, passing: Any) -> None:
    lost = store(storage, age=DAY)
    with pytest.raises(LedgerError, match=r"no ledger.*open transactions.*Ledger\(metadata\)"):
        passing(engine, Base.metadata)
    assert lost in keys(storage)


def test_what_a_ledger_stored_is_foreign_to_an_audit(
    engine: Engine, storage: MemoryStorage
) -> None:
    helpers.Base.metadata.create_all(engine)
    try:
        helpers.add(engine, 2)
        found = list(compare(engine, Base.metadata, grace=0))
        assert kinds(found) == {"foreign": 2}
        both = [(engine, helpers.Base.metadata)]
        with pytest.raises(LedgerError, match="no ledger"):
            list(compare(engine, Base.metadata, others=both))
    finally:
        helpers.Base.metadata.drop_all(engine)


def test_what_rows_of_another_database_name_is_no_orphan(
    engine: Engine, storage: MemoryStorage, tmp_path: Path
) -> None:
    second = create_engine(f"sqlite:///{tmp_path}/second.db")
    Base.metadata.create_all(second)
    with Session(second) as session:
        session.add(Letter(id=1, body=File(b"5")))
        session.commit()
    assert kinds(compare(engine, Base.metadata, grace=0)) == {"orphan": 1}
    others = [(second, Base.metadata)]
    assert list(compare(engine, Base.metadata, others=others, grace=0)) == []
    second.dispose()


def test_what_a_keeping_field_may_have_released_is_kept(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    class Keeping(DeclarativeBase):
        pass

    class Kept(Keeping):
        __tablename__ = "audited_kept"
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[File | None] = mapped_column(
            FileField(upload_storage="main", on_release="keep")
        )

    engine = create_engine(f"sqlite:///{tmp_path}/kept.db")
    Keeping.metadata.create_all(engine)
    store(storage, age=DAY)
    assert kinds(compare(engine, Keeping.metadata)) == {"kept": 1}
    engine.dispose()


def test_an_audit_works_under_asyncio(storage: MemoryStorage, tmp_path: Path) -> None:
    store(storage, age=DAY)

    async def found() -> list[str]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        try:
            return [each.kind async for each in acompare(engine, Base.metadata)]
        finally:
            await engine.dispose()

    assert asyncio.run(found()) == ["orphan"]
