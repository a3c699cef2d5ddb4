"""Whose objects a drain and a sweep may delete: several ledgers, copies, folders in folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, text, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import LedgerError, StorageError
from sqlalchemy_file.ledger.identity import begin_epoch, identity
from sqlalchemy_file.reconcile import compare, drain, sweep
from sqlalchemy_file.storage import MemoryStorage
from sqlalchemy_file.storage.common.protocol import PendingUpload
from sqlalchemy_file.storage.owners import owners_of
from sqlalchemy_file.values.records import fresh_key
from tests.ledger.helpers import move
from tests.reconcile.helpers import (
    OLD,
    Base,
    Paper,
    add,
    age,
    begin_grace_anew,
    kinds,
    ledger,
    pending,
    raw_delete,
    store,
)
from tests.reconcile.others import Draft, Note, OtherBase, SharingBase, other_ledger
from tests.services import postgresql
from tests.stores import add_memory, contents, keys

PASSES: list[Callable[..., Iterator[Any]]] = [sweep, compare]


@pytest.mark.parametrize("search", PASSES)
def test_a_second_application_s_objects_are_refused_by_both_names(
    engine: Engine, other: Engine, search: Callable[..., Iterator[Any]]
) -> None:
    storage = add_memory()
    add(engine, 1)
    with Session(other) as session:
        session.add(Note(id=1, body=File(b"theirs")))
        session.commit()
    age(storage)
    with engine.connect() as mine, other.connect() as theirs:
        names = identity(mine, ledger), identity(theirs, other_ledger)
    assert names[0]
    assert names[1]
    with pytest.raises(LedgerError, match="also holds the objects of") as refused:
        list(search(engine, Base.metadata, delete=True))
    assert names[0].id in str(refused.value)
    assert names[1].id in str(refused.value)
    assert contents(storage) == [b"body", b"theirs"]


@pytest.mark.parametrize("search", PASSES)
def test_two_applications_are_swept_together_where_both_are_given(
    engine: Engine, other: Engine, search: Callable[..., Iterator[Any]]
) -> None:
    storage = add_memory()
    add(engine, 1)
    with Session(other) as session:
        session.add(Note(id=1, body=File(b"theirs")))
        session.commit()
        epochs = {owner.epoch for owner in owners_of(storage)}
    lost = [store(storage, key=fresh_key(epoch=epoch), age=OLD) for epoch in epochs]
    assert len(lost) == 2
    age(storage)
    both = {"others": [(other, OtherBase.metadata)]}
    assert kinds(search(engine, Base.metadata, delete=True, **both)) == {"deleted": 2}
    assert contents(storage) == [b"body", b"theirs"]
    assert list(search(engine, Base.metadata, delete=True, **both)) == []


def test_a_drain_leaves_what_another_ledger_s_keys_say_is_its_own(
    engine: Engine, other: Engine
) -> None:
    storage = add_memory()
    add(engine, 1)
    with Session(other) as session:
        note = Note(id=1, body=File(b"theirs"))
        session.add(note)
        session.commit()
        path = note.body.path
    with engine.begin() as connection:
        values = {"path": path, "storage": "main", "at": 0, "due_at": 0}
        connection.execute(insert(ledger.releases).values(**values))
    age(storage)
    assert kinds(drain(engine, Base.metadata)) == {"foreign": 1}
    assert contents(storage) == [b"body", b"theirs"]
    raw_delete(engine)
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 1}
    assert contents(storage) == [b"theirs"]


@pytest.mark.parametrize("search", PASSES)
def test_two_metadata_that_share_a_ledger_are_swept_together_only(
    engine: Engine, search: Callable[..., Iterator[Any]]
) -> None:
    SharingBase.metadata.drop_all(engine, tables=[Draft.__table__])
    SharingBase.metadata.create_all(engine)
    try:
        storage = add_memory()
        add(engine, 1)
        with Session(engine) as session:
            session.add(Draft(id=1, body=File(b"draft")))
            session.commit()
        age(storage)
        with pytest.raises(LedgerError, match="sharing_draft"):
            list(search(engine, Base.metadata, delete=True))
        with pytest.raises(LedgerError, match="sharing_draft"):
            list(drain(engine, Base.metadata))
        both = {"others": [(engine, SharingBase.metadata)]}
        assert list(search(engine, Base.metadata, delete=True, **both)) == []
        assert contents(storage) == [b"body", b"draft"]
        assert list(drain(engine, Base.metadata, **both)) == []
    finally:
        SharingBase.metadata.drop_all(engine, tables=[Draft.__table__])


# --- copies


def test_a_copy_leaves_what_was_stored_before_until_it_is_adopted(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 2)
    raw_delete(engine, "id = 1")
    move(engine)
    engine.dispose()
    with Session(engine) as session:
        session.add(Paper(id=3, body=File(b"new")))
        session.commit()
    raw_delete(engine, "id = 3")
    age(storage)
    assert kinds(drain(engine, Base.metadata)) == {"earlier": 1, "deleted": 1}
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"earlier": 1}
    assert len(keys(storage)) == 2
    assert pending(engine) == 1
    assert kinds(sweep(engine, Base.metadata, delete=True, adopt=True)) == {"deleted": 1}
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 1}
    assert contents(storage) == [b"body"]
    assert pending(engine) == 0


def test_an_original_deletes_nothing_that_its_copy_has_stored(tmp_path: Path) -> None:
    storage = add_memory()
    first = create_engine(f"sqlite:///{tmp_path}/first.db")
    Base.metadata.create_all(first)
    add(first, 1)
    first.dispose()
    shutil.copy(tmp_path / "first.db", tmp_path / "copy.db")
    copy = create_engine(f"sqlite:///{tmp_path}/copy.db")
    with Session(copy) as session:
        session.add(Paper(id=2, body=File(b"copy's")))
        session.commit()
    with Session(first) as session:
        session.add(Paper(id=3, body=File(b"first's")))
        session.commit()
    age(storage)
    for engine in (first, copy):
        assert set(kinds(sweep(engine, Base.metadata, delete=True))) <= {"foreign", "earlier"}
        assert set(kinds(compare(engine, Base.metadata, delete=True))) <= {"foreign", "earlier"}
    assert contents(storage) == [b"body", b"copy's", b"first's"]
    copy.dispose()
    first.dispose()


def test_a_database_that_was_restored_deletes_nothing_of_the_future_it_has_lost(
    engine: Engine,
) -> None:
    storage = add_memory()
    add(engine, 1)
    list(sweep(engine, Base.metadata, delete=True))
    with engine.begin() as connection:
        state = connection.execute(ledger.state.select()).all()
    with Session(engine) as session:
        session.add(Paper(id=9, body=File(b"future")))
        session.commit()
    list(sweep(engine, Base.metadata, delete=True))
    raw_delete(engine, "id = 9")
    with engine.begin() as connection:  # as a restore would
        connection.execute(ledger.releases.delete())
        connection.execute(ledger.state.delete())
        connection.execute(insert(ledger.state), [row._asdict() for row in state])
    age(storage)
    assert kinds(compare(engine, Base.metadata, delete=True)) == {"earlier": 1}
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"earlier": 1}
    assert contents(storage) == [b"body", b"future"]
    assert kinds(compare(engine, Base.metadata, delete=True, adopt=True)) == {"deleted": 1}


class Uploading(MemoryStorage):
    """A storage with uploads in parts that were never completed."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[PendingUpload] = []

    def uploads(self) -> Iterator[PendingUpload]:
        return iter(self.pending)

    def abort_upload(self, upload: PendingUpload) -> None:
        self.pending.remove(upload)


def test_an_upload_of_an_earlier_epoch_is_left_until_that_is_adopted(engine: Engine) -> None:
    storage = Uploading()
    StorageManager.add_storage("main", storage)
    add(engine, 1)
    (owner,) = owners_of(storage)
    with engine.begin() as connection:
        begin_epoch(connection, ledger)
    begun = datetime(2020, 1, 1, tzinfo=UTC)
    storage.pending.append(PendingUpload(key=fresh_key(epoch=owner.epoch), id="1", begun_at=begun))
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"upload": 1}
    assert len(storage.pending) == 1
    assert kinds(sweep(engine, Base.metadata, delete=True, adopt=True)) == {"aborted": 1}
    assert storage.pending == []


def test_a_storage_without_a_token_or_a_signature_is_signed_again(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 1)
    list(sweep(engine, Base.metadata, delete=True))
    storage._notes.clear()
    lost = store(storage, age=OLD)
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"deleted": 1}
    assert lost not in keys(storage)
    assert len(owners_of(storage)) == 1


def test_tables_that_were_made_anew_in_the_same_place_are_no_strangers(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 1)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    add(engine, 1)
    age(storage)
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"foreign": 1}
    assert len(owners_of(storage)) == 2


def test_a_sweep_that_only_looks_leaves_nothing_in_a_storage(engine: Engine) -> None:
    storage = add_memory()
    store(storage, age=OLD)
    assert kinds(sweep(engine, Base.metadata)) == {"orphan": 1}
    assert storage.notes() == {}


# --- one schema for each tenant


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_tenants_with_a_schema_each_are_swept_together(url: str) -> None:
    whole = create_engine(url)
    names = ["tenant_a", "tenant_b"]
    tenants = [whole.execution_options(schema_translate_map={None: name}) for name in names]
    with whole.begin() as connection:
        for name in names:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
            connection.execute(text(f"CREATE SCHEMA {name}"))
    try:
        storage = add_memory()
        for tenant in tenants:
            Base.metadata.create_all(tenant)
            add(tenant, 1)
        assert len(owners_of(storage)) == 2
        lost = [
            store(storage, key=fresh_key(epoch=owner.epoch), age=OLD)
            for owner in owners_of(storage)
        ]
        age(storage)
        first, second = tenants
        with pytest.raises(LedgerError, match="tenant_b"):
            list(sweep(first, Base.metadata, delete=True))
        assert len(keys(storage)) == 4
        both = {"others": [(second, Base.metadata)]}
        assert kinds(sweep(first, Base.metadata, delete=True, **both)) == {"deleted": 2}
        assert not set(lost) & set(keys(storage))
        with Session(first) as session:
            session.delete(session.get_one(Paper, 1))
            session.commit()
        assert len(keys(storage)) == 1
    finally:
        with whole.begin() as connection:
            for name in names:
                connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        whole.dispose()


# --- folders


@pytest.mark.parametrize("inner", ["", "inner"])
@pytest.mark.parametrize("search", PASSES)
def test_storages_whose_folders_overlap_are_refused_by_both_names(
    one: Engine, tmp_path: Path, inner: str, search: Callable[..., Iterator[Any]]
) -> None:
    folder = tmp_path / "files"
    (folder / inner).mkdir(parents=True)
    StorageManager.add_storage("main", folder.as_uri())
    StorageManager.add_storage("second", (folder / inner).as_uri())
    with pytest.raises(LedgerError, match="folder of the storage") as refused:
        list(search(one, Base.metadata, delete=True))
    assert "'main'" in str(refused.value)
    assert "'second'" in str(refused.value)


def test_a_folder_inside_another_application_s_is_refused(
    one: Engine, other: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    (folder / "inner").mkdir(parents=True)
    StorageManager.add_storage("main", folder.as_uri())
    with Session(other) as session:
        session.add(Note(id=1, body=File(b"theirs")))
        session.commit()
    StorageManager.clear()
    StorageManager.add_storage("main", (folder / "inner").as_uri())
    with pytest.raises(LedgerError, match="also holds the objects of"):
        list(sweep(one, Base.metadata, delete=True))


def test_objects_of_another_application_s_folder_inside_are_left(
    one: Engine, other: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    (folder / "inner").mkdir(parents=True)
    StorageManager.add_storage("main", (folder / "inner").as_uri())
    with Session(other) as session:
        session.add(Note(id=1, body=File(b"theirs")))
        session.commit()
    StorageManager.clear()
    StorageManager.add_storage("main", folder.as_uri())
    add(one, 1)
    begin_grace_anew(one)
    found = compare(one, Base.metadata, delete=True, grace=0)
    assert kinds(found) == {"foreign": 1}
    assert len(keys(StorageManager.storage())) == 2


def test_a_folder_whose_disk_is_not_mounted_is_not_drained_or_swept(
    one: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    StorageManager.add_storage("main", folder.as_uri())
    add(one, 2)
    raw_delete(one, "id = 1")
    disk = folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    StorageManager.clear()
    StorageManager.add_storage("main", folder.as_uri())
    assert kinds(drain(one, Base.metadata)) == {"failed": 1}
    assert pending(one) == 1
    for search in PASSES:
        with pytest.raises(StorageError, match="is its disk mounted"):
            list(search(one, Base.metadata, delete=True))
    folder.rmdir()
    disk.rename(folder)
    StorageManager.clear()
    StorageManager.add_storage("main", folder.as_uri())
    with one.begin() as connection:
        connection.execute(update(ledger.releases).values(due_at=0))
    assert kinds(drain(one, Base.metadata)) == {"deleted": 1}


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_physical_clone_of_a_cluster_deletes_nothing_of_its_original(
    engine: Engine, url: str
) -> None:
    storage = add_memory()
    add(engine, 1)
    with postgresql.standby_of(url) as server:
        clone = create_engine(server.url, poolclass=NullPool)
        with clone.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("SELECT pg_promote()"))
        with Session(engine) as session:
            session.add(Paper(id=2, body=File(b"original's")))
            session.commit()
        with Session(clone) as session:
            session.delete(session.get_one(Paper, 1))
            session.add(Paper(id=2, body=File(b"clone's")))
            session.commit()
        age(storage)
        kept = {"foreign", "earlier"}
        for each in (clone, engine):
            assert set(kinds(drain(each, Base.metadata))) <= kept
            assert set(kinds(sweep(each, Base.metadata, delete=True))) <= kept
        assert contents(storage) == [b"body", b"clone's", b"original's"]
