"""Keys with folders, fields that keep, uploads in parts, and rows that only move."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from libcloud.storage.drivers.minio import MinIOStorageDriver
from sqlalchemy import Engine, create_engine, insert, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import compare, drain, status, sweep
from sqlalchemy_file.storage.common.keys import TEMPORARY
from sqlalchemy_file.storage.common.protocol import PendingUpload
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.reconcile.helpers import kinds, store
from tests.services.ceph import S3Server
from tests.stores import add_memory, keys


class Base(DeclarativeBase):
    pass


class Kept(Base):
    __tablename__ = "sweeping_kept"
    id: Mapped[int] = mapped_column(primary_key=True)
    old: Mapped[File | None] = mapped_column(FileField(upload_storage="kept", on_release="keep"))
    own: Mapped[File | None] = mapped_column(
        FileField(upload_storage="main", key=lambda file: "users/42/")
    )


ledger = Ledger(Base.metadata)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("search", [sweep, compare])
def test_what_a_field_keeps_is_never_deleted(engine: Engine, search: object) -> None:
    add_memory()
    storage = add_memory("kept")
    key = store(storage, age=timedelta(days=1))
    assert kinds(search(engine, Base.metadata, delete=True)) == {"kept": 1}
    assert keys(storage) == [key]


@pytest.mark.parametrize("search", [sweep, compare])
@pytest.mark.parametrize("way", ["another default", "a storage for one file", "a move"])
def test_what_is_kept_stays_wherever_it_lies(tmp_path: Path, search: Any, way: str) -> None:
    class Local(DeclarativeBase):
        pass

    class Contract(Local):
        __tablename__ = "kept_contract"
        id: Mapped[int] = mapped_column(primary_key=True)
        draft: Mapped[File | None] = mapped_column(FileField(upload_storage="drafts"))
        text: Mapped[File | None] = mapped_column(FileField(on_release="keep"))

    Ledger(Local.metadata)
    storages = {name: add_memory(name) for name in ("first", "second", "cold", "drafts")}
    engine = create_engine(f"sqlite:///{tmp_path}/kept.db")
    Local.metadata.create_all(engine)
    with Session(engine) as session:
        contract = Contract(id=1)
        if way == "a storage for one file":
            contract.text = File(b"kept", storage="cold")
        elif way == "a move":
            contract.draft = File(b"kept")
        else:
            contract.text = File(b"kept")
        session.add(contract)
        session.commit()
        if way == "a move":
            contract.text, contract.draft = contract.draft, None
            session.commit()
            # A sweep in time sees where it lies; the note of the move is still there.
            list(search(engine, Local.metadata, delete=True))
        StorageManager.set_default("second")
        session.delete(contract)
        session.commit()
    (storage,) = [each for each in storages.values() if keys(each)]
    (key,) = keys(storage)
    store(storage, key=key, age=timedelta(days=1))
    assert kinds(search(engine, Local.metadata, delete=True)) == {"kept": 1}
    assert list(drain(engine, Local.metadata)) == []
    assert keys(storage) == [key]
    engine.dispose()


def test_objects_below_folders_are_found(engine: Engine) -> None:
    add_memory("kept")
    storage = add_memory()
    with Session(engine) as session:
        session.add(Kept(own=File(b"mine")))
        session.commit()
    store(storage, key="users/43/018f0000-0000-7000-8000-000000000000", age=timedelta(days=1))
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"deleted": 1}
    assert [key[:9] for key in keys(storage)] == ["users/42/"]


def test_released_paths_are_counted_by_storage(engine: Engine) -> None:
    for name in ("main", "kept", "Main", "mai%"):
        StorageManager.add_storage(name, MemoryStorage())
    with engine.begin() as connection:
        for path in ("main/a", "Main/b", "Main/c", "kept/%", "nowhere/x"):
            connection.execute(insert(ledger.releases).values(path=path))
        for path, storage in (("some/where/x", "some/where"), ("mai%/x", "main")):
            connection.execute(insert(ledger.releases).values(path=path, storage=storage))
    found = {each.name: each.pending for each in status(engine, Base.metadata).storages}
    assert found == {"main": 1, "Main": 2, "mai%": 1, "kept": 1, "nowhere": 1, "some/where": 1}


def test_uploads_in_parts_that_nobody_completed_are_aborted(
    engine: Engine, s3_server: S3Server
) -> None:
    add_memory("kept")
    driver = MinIOStorageDriver(
        s3_server.access_key,
        s3_server.secret_key,
        secure=False,
        host=s3_server.host,
        port=s3_server.port,
    )
    container = driver.create_container(f"sweep-{time.time_ns()}")
    StorageManager.add_storage("main", container)
    storage = StorageManager.storage("main")
    for key in ("018f0000-0000-7000-8000-000000000000", "some/body's + own"):
        path = f"/{container.name}/{quote(key)}"
        driver.connection.request(path, method="POST", params={"uploads": ""})
    assert list(sweep(engine, Base.metadata, delete=True)) == []  # younger than the grace period
    options = {"delete": True, "grace": 0}
    found = {each.key: each.kind for each in sweep(engine, Base.metadata, **options)}
    assert found == {
        "018f0000-0000-7000-8000-000000000000": "aborted",
        "some/body's + own": "upload",
    }
    (left,) = storage.uploads()
    storage.abort_upload(left)
    storage.abort_upload(PendingUpload(key=left.key, id=left.id, begun_at=left.begun_at))
    driver.delete_container(container)


def test_drafts_of_killed_processes_are_removed(engine: Engine, tmp_path: Path) -> None:
    add_memory("kept")
    StorageManager.add_storage("main", (tmp_path / "objects").as_uri(), create=True)
    drafts = [tmp_path / "objects" / f"{TEMPORARY}1", tmp_path / "objects" / "a" / f"{TEMPORARY}2"]
    drafts[1].parent.mkdir()
    for draft in drafts:
        draft.write_bytes(b"half")
    assert list(sweep(engine, Base.metadata, delete=True)) == []  # younger than the grace period
    assert kinds(sweep(engine, Base.metadata, grace=0)) == {"upload": 2}
    assert kinds(sweep(engine, Base.metadata, delete=True, grace=0)) == {"aborted": 2}
    assert not any(draft.exists() for draft in drafts)


def test_rows_that_move_between_partitions_keep_their_objects(postgresql_server: str) -> None:
    class Parted(DeclarativeBase):
        pass

    class Entry(Parted):
        __tablename__ = "sweeping_entry"
        __table_args__ = {"postgresql_partition_by": "LIST (year)"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        year: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[File | None] = mapped_column(FileField())

    moved = Ledger(Parted.metadata)
    storage = add_memory()
    engine = create_engine(postgresql_server)
    Parted.metadata.create_all(engine)
    with engine.begin() as connection:
        for year in (1, 2):
            part = f"CREATE TABLE sweeping_entry_{year} PARTITION OF sweeping_entry"
            connection.execute(text(f"{part} FOR VALUES IN ({year})"))
        moved.ensure(connection)
    with Session(engine) as session:
        session.add(Entry(id=1, year=1, body=File(b"moving")))
        session.commit()
    with engine.begin() as connection:
        connection.execute(text("UPDATE sweeping_entry SET year = 2"))
    assert set(kinds(drain(engine, Parted.metadata))) <= {"named"}
    assert len(keys(storage)) == 1
    Parted.metadata.drop_all(engine)
    engine.dispose()
