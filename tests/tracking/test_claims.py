"""Objects belong to the database that stored them: a copy of it deletes none of its original's."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, delete, event, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.identity import identity
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.storage.owners import owners_of
from sqlalchemy_file.tracking.claims import claim_of
from sqlalchemy_file.tracking.reading import Database
from sqlalchemy_file.values.records import epoch_of
from tests.databases import postgresql_only, tables_on
from tests.ledger.helpers import move
from tests.stores import add_memory, contents, keys


class Base(DeclarativeBase):
    pass


class WithSketch:
    """A processor that stores a further object."""

    def process(self, file: File, upload_storage: str | None = None) -> None:
        file.store_content(b"sketch", upload_storage)


class Paper(Base):
    __tablename__ = "owned_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())
    drawn: Mapped[File | None] = mapped_column(FileField(processors=[WithSketch()]))
    named: Mapped[File | None] = mapped_column(FileField(key=lambda file: file.filename))


ledger = Ledger(Base.metadata)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with tables_on(url, Base.metadata) as engine:
        yield engine


def epoch(engine: Engine) -> int:
    with engine.connect() as connection:
        found = identity(connection, ledger)
    assert found is not None
    return found.epoch


def noted(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(ledger.releases.c.path)))


def test_all_that_a_database_stores_carries_its_epoch(engine: Engine) -> None:
    storage = add_memory()
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"1"), drawn=File(b"2")))
        session.commit()
        body = session.get_one(Paper, 1).body
        session.add(Paper(id=2, body=body))  # a copy
        session.commit()
        session.execute(update(Paper).where(Paper.id == 2).values(body=File(b"3")))
        session.commit()
    with engine.begin() as connection:
        connection.execute(Paper.__table__.insert().values(id=3, body=File(b"4")))
    assert contents(storage) == [b"1", b"2", b"3", b"4", b"sketch"]
    assert {epoch_of(key) for key in keys(storage)} == {epoch(engine)}


def test_a_storage_is_signed_once_before_anything_is_stored(engine: Engine) -> None:
    storage = add_memory()
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"1")))
        session.commit()
    (owner,) = owners_of(storage)
    assert owner.epoch == epoch(engine)
    assert owner.name


class Slotted:
    """A storage to which there is no weak reference."""

    __slots__ = ("_inner",)

    def __init__(self) -> None:
        self._inner = MemoryStorage()

    def put(self, *arguments: Any, **options: Any) -> Any:
        return self._inner.put(*arguments, **options)

    def stat(self, key: str) -> Any:
        return self._inner.stat(key)

    def stream(self, *arguments: Any) -> Any:
        return self._inner.stream(*arguments)

    def delete(self, keys: Any) -> None:
        self._inner.delete(keys)

    def copy(self, key: str, new_key: str) -> Any:
        return self._inner.copy(key, new_key)

    def list(self, *arguments: Any) -> Any:
        return self._inner.list(*arguments)


def test_a_storage_of_any_class_is_signed(engine: Engine) -> None:
    storage: Any = Slotted()
    StorageManager.add_storage("main", storage)
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"1")))
        session.commit()
        assert [owner.epoch for owner in owners_of(storage)] == [epoch(engine)]
        session.delete(session.get_one(Paper, 1))
        session.commit()
    assert [info.key for info in storage.list()] == []


def test_a_copy_deletes_nothing_that_was_stored_before(engine: Engine) -> None:
    storage = add_memory()
    with Session(engine) as session:
        session.add_all([Paper(id=1, body=File(b"old")), Paper(id=2, named=File(b"x", "name"))])
        session.commit()
    move(engine)
    engine.dispose()
    with Session(engine) as session:
        session.add_all([Paper(id=3, body=File(b"new"))])
        session.delete(session.get_one(Paper, 1))
        session.execute(delete(Paper).where(Paper.id == 2))
        session.commit()
        assert contents(storage) == [b"new", b"old", b"x"]
        assert len(noted(engine)) == 2, "the drain deletes them, once somebody has said so"
        session.delete(session.get_one(Paper, 3))
        session.commit()
    assert contents(storage) == [b"old", b"x"]
    assert len(owners_of(storage)) == 2


def test_a_rollback_takes_back_what_it_stored_wherever_the_database_is(engine: Engine) -> None:
    storage = add_memory()
    move(engine)
    engine.dispose()
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"new")))
        session.flush()
        session.rollback()
    assert keys(storage) == []


def test_an_sqlite_file_and_its_copy_share_a_storage(tmp_path: Path) -> None:
    storage = add_memory()
    first = create_engine(f"sqlite:///{tmp_path}/first.db")
    Base.metadata.create_all(first)
    with Session(first) as session:
        session.add(Paper(id=1, body=File(b"old")))
        session.commit()
    first.dispose()
    shutil.copy(tmp_path / "first.db", tmp_path / "copy.db")
    copy = create_engine(f"sqlite:///{tmp_path}/copy.db")
    with Session(copy) as session:
        session.get_one(Paper, 1).body = File(b"copy's")
        session.commit()
    assert contents(storage) == [b"copy's", b"old"]
    with Session(first) as session:
        session.get_one(Paper, 1).body = File(b"first's")
        session.commit()
    assert contents(storage) == [b"copy's", b"first's"]
    first.dispose()
    copy.dispose()


def test_nothing_is_asked_again_once_it_is_known(engine: Engine) -> None:
    add_memory()
    asked: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "sqlalchemy_file_state" in statement and "home" in str(_rest[0]):
            asked.append(statement)

    for number in range(1, 4):
        with Session(engine) as session:
            session.add(Paper(id=number, body=File(b"1")))
            session.commit()
    assert len(asked) == 1


def test_tables_made_anew_are_known_anew(engine: Engine) -> None:
    storage = add_memory()
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"1")))
        session.commit()
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"2")))
        session.commit()
    assert epoch(engine) in {epoch_of(key) for key in keys(storage)}


@postgresql_only
def test_an_async_session_stores_in_its_database_s_epoch(engine: Engine, tmp_path: Path) -> None:
    StorageManager.add_storage("main", tmp_path.as_uri())

    async def program() -> None:
        asynchronous = create_async_engine(engine.url.set(drivername="postgresql+asyncpg"))
        async with AsyncSession(asynchronous) as session:
            session.add_all([Paper(body=File(b"1")), Paper(drawn=File(b"2"))])
            await session.commit()
        await asynchronous.dispose()

    asyncio.run(program())
    assert {epoch_of(key) for key in keys(StorageManager.storage())} == {epoch(engine)}
    assert len(owners_of(StorageManager.storage())) == 1


@postgresql_only
@pytest.mark.parametrize("schema", [None, "hidden"])
def test_a_role_that_may_not_read_the_ledger_s_state_stores_all_the_same(
    engine: Engine, schema: str | None
) -> None:
    storage = add_memory()
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS hidden CASCADE"))
        connection.execute(text("CREATE SCHEMA hidden"))
        connection.execute(text("CREATE TABLE hidden.sqlalchemy_file_state (name text)"))
        connection.execute(text("CREATE ROLE shy LOGIN PASSWORD 'shy'"))
        connection.execute(text("GRANT SELECT, INSERT ON owned_paper TO shy"))
        connection.execute(text("GRANT USAGE ON SEQUENCE owned_paper_id_seq TO shy"))
    shy = create_engine(engine.url.set(username="shy", password="shy"))
    translated = {ledger.state.schema: schema} if schema else {}
    try:
        with shy.begin() as connection:
            statement = Paper.__table__.insert().values(id=1, body=File(b"1"))
            target = Database(connection, translated)
            assert claim_of(target, Paper.__table__) is None
            connection.execute(statement)
    finally:
        shy.dispose()
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY shy"))
            connection.execute(text("DROP ROLE shy"))
            connection.execute(text("DROP SCHEMA hidden CASCADE"))
    assert contents(storage) == [b"1"]


# --- folders whose disk is not mounted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def start(folder: Path) -> None:
    """Be a process that has just been started."""
    StorageManager.clear()
    StorageManager.add_storage("main", folder.as_uri())


@pytest.fixture
def unmounted(engine: Engine, folder: Path) -> Path:
    """A mount point without its disk, where a process starts; returns the disk."""
    start(folder)
    with Session(engine) as session:
        session.add_all([Paper(id=1, body=File(b"1")), Paper(id=2, body=File(b"2"))])
        session.commit()
    disk = folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    start(folder)
    return disk


def test_nothing_is_stored_in_a_folder_whose_disk_is_not_mounted(
    engine: Engine, folder: Path, unmounted: Path
) -> None:
    with Session(engine) as session:
        session.add(Paper(id=3, body=File(b"3")))
        with pytest.raises(StorageError, match=r"storage 'main'.*is its disk mounted"):
            session.commit()
    assert list(folder.iterdir()) == []


def test_nothing_is_believed_deleted_there(engine: Engine, folder: Path, unmounted: Path) -> None:
    with Session(engine) as session:
        session.delete(session.get_one(Paper, 1))
        session.commit()
    assert len(noted(engine)) == 1
    assert len(list(unmounted.iterdir())) == 2


def test_a_connection_that_is_lost_while_rows_are_searched_is_no_answer(
    engine: Engine, folder: Path, unmounted: Path
) -> None:
    def close(conn: Any, cursor: Any, statement: str, parameters: Any, *others: Any) -> None:
        if "main/" in str(parameters):
            cursor.connection.close()

    event.listen(engine, "before_cursor_execute", close)
    with Session(engine) as session, pytest.raises(DBAPIError) as caught:
        session.add(Paper(id=3, body=File(b"3")))
        session.commit()
    event.remove(engine, "before_cursor_execute", close)
    assert caught.value.connection_invalidated
    assert list(folder.iterdir()) == []


def test_a_new_folder_is_signed_by_its_first_file(engine: Engine, folder: Path) -> None:
    start(folder)
    with Session(engine) as session:
        session.add(Paper(id=1, body=File(b"1")))
        session.commit()
    assert len(owners_of(StorageManager.storage())) == 1
    assert len(list(folder.iterdir())) == 1, "and nothing else is seen there"
