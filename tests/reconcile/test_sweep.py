"""The sweep finds what was stored and never committed, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from uuid_utils import uuid4

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import LedgerError, UnknownStorageError
from sqlalchemy_file.ledger import Ledger, named_paths
from sqlalchemy_file.ledger.identity import database_id
from sqlalchemy_file.ledger.notes import Note
from sqlalchemy_file.ledger.state import checkpoint, set_checkpoint, set_grace
from sqlalchemy_file.reconcile import Finding, ages, compare, deleting, sweep
from sqlalchemy_file.reconcile.sweep import bound
from sqlalchemy_file.storage.common.protocol import ObjectInfo
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.reconcile.accounts import account
from tests.reconcile.helpers import Base, Paper, add, age, kinds, ledger, pending, rows, store
from tests.stores import add_memory, keys

HOUR = 3600_000


def swept_until(connection: Connection, until: int) -> None:
    set_checkpoint(connection, ledger, "main", until, database_id(connection, ledger))


def test_what_was_never_committed_is_reported_and_stays(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 2)
    lost = store(storage, age=timedelta(hours=3))
    (finding,) = sweep(engine, Base.metadata)
    assert (finding.kind, finding.key, finding.size) == ("orphan", lost, 4)
    assert lost in keys(storage)
    assert swept(engine) is None


def test_it_is_deleted_on_demand_and_the_next_sweep_begins_there(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 2)
    lost = [store(storage, age=timedelta(hours=hours)) for hours in (3, 30)]
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"deleted": 2}
    assert not set(lost) & set(keys(storage))
    assert sorted(f"main/{key}" for key in keys(storage)) == sorted(rows(engine))
    assert pending(engine) == 0
    assert now() - 2 * HOUR < swept(engine) < now() - HOUR
    assert list(sweep(engine, Base.metadata, delete=True)) == []


def test_the_entries_of_objects_that_rows_name_are_not_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[set[str]] = []

    def noted(connection: Connection, its: Ledger, paths: Collection[str]) -> dict[Any, Note]:
        read.append({*paths})
        return entries(connection, its, paths)

    entries = deleting._notes
    monkeypatch.setattr(deleting, "_notes", noted)
    storage = add_memory()
    add(engine, 2)
    age(storage)
    assert list(sweep(engine, Base.metadata)) == []
    assert read == []
    lost = store(storage, age=timedelta(hours=3))
    assert kinds(sweep(engine, Base.metadata)) == {"orphan": 1}
    assert read == [{f"main/{lost}"}]


def test_rows_are_searched_once_for_a_batch_of_orphans(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[set[str]] = []

    def named(connection: Connection, metadata: MetaData, paths: Collection[str]) -> set[str]:
        searched.append({*paths})
        return named_paths(connection, metadata, paths)

    monkeypatch.setattr(deleting, "named_paths", named)
    storage = add_memory()
    lost = {f"main/{store(storage, age=timedelta(hours=3))}" for _ in range(2)}
    assert kinds(sweep(engine, Base.metadata)) == {"orphan": 2}
    assert searched == [lost]


def test_what_is_younger_than_the_grace_period_is_left_alone(engine: Engine) -> None:
    storage = add_memory()
    store(storage, age=timedelta(minutes=30))
    assert list(sweep(engine, Base.metadata, delete=True)) == []
    with engine.begin() as connection:
        set_grace(connection, ledger, 3 * 3600)
    store(storage, age=timedelta(hours=2))
    assert list(sweep(engine, Base.metadata, delete=True)) == []


def test_a_storage_is_listed_from_the_checkpoint_to_now(engine: Engine) -> None:
    storage = Listed()
    StorageManager.add_storage("main", storage)
    with engine.begin() as connection:
        swept_until(connection, now() - 48 * HOUR)
    store(storage, age=timedelta(days=9))  # before the checkpoint and its overlap
    store(storage, key=f"f{str(uuid4())[1:]}", age=timedelta(days=1))  # a random id sorts anywhere
    lost = store(storage, age=timedelta(hours=60))  # within the overlap
    found = list(sweep(engine, Base.metadata))
    assert [finding.key for finding in found] == [lost]
    ((prefix, start),) = storage.asked
    assert prefix == ""
    assert start is not None
    assert bound(now() - 73 * HOUR) < start < bound(now() - 71 * HOUR)


def test_a_storage_that_cannot_list_from_a_key_is_asked_by_prefixes_of_the_time(
    engine: Engine,
) -> None:
    storage = Listed()
    storage.lists_from_key = False
    StorageManager.add_storage("main", storage)
    with engine.begin() as connection:
        swept_until(connection, now() - 2 * HOUR)
    lost = [store(storage, age=timedelta(hours=hours)) for hours in (20, 10, 3)]
    found = list(sweep(engine, Base.metadata))
    assert [finding.key for finding in found] == lost
    assert 1 < len(storage.asked) <= 24
    assert all(prefix and start is None for prefix, start in storage.asked)


def test_objects_that_are_not_ours_are_reported_and_never_touched(engine: Engine) -> None:
    storage = add_memory()
    store(storage, key="00-readme.txt", age=timedelta(days=1))
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"foreign": 1}
    assert keys(storage) == ["00-readme.txt"]


def test_files_of_metadata_belong_to_their_objects(engine: Engine) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    beside = f"{path.removeprefix('main/')}.metadata.json"
    store(storage, key=beside, age=timedelta(days=1))
    lost = store(storage, age=timedelta(days=1))
    store(storage, key=f"{lost}.metadata.json", age=timedelta(days=1))
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"deleted": 2}
    assert beside in keys(storage)


def test_uploads_in_flight_are_never_taken(engine: Engine) -> None:
    storage = add_memory()
    stored, swept_ = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def write() -> None:
        try:
            with Session(engine) as session:
                session.add(Paper(id=1, body=File(b"in flight")))
                session.flush()
                stored.set()
                swept_.wait(30)
                session.commit()
        except Exception as error:  # noqa: BLE001  looked at below
            errors.append(error)
            stored.set()

    writer = threading.Thread(target=write)
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    writer.start()
    stored.wait(30)
    found = list(sweep(engine, Base.metadata))
    swept_.set()
    writer.join()
    assert (found, errors) == ([], [])
    assert [f"main/{key}" for key in keys(storage)] == rows(engine)


def test_a_grace_of_zero_with_writers_alive_is_refused(engine: Engine) -> None:
    storage = add_memory()
    lost = store(storage, age=timedelta(0))
    with create_engine(engine.url, poolclass=NullPool).connect() as writer:
        writer.exec_driver_sql("UPDATE reconciled_paper SET id = id")
        with pytest.raises(LedgerError, match="others are connected"):
            list(sweep(engine, Base.metadata, delete=True, grace=0))
    assert keys(storage) == [lost]
    assert kinds(sweep(engine, Base.metadata, delete=True, grace=0)) == {"deleted": 1}


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("sees", [True, False])
def test_an_ordinary_account_does_not_take_the_files_of_writers(engine: Engine, sees: bool) -> None:
    storage = add_memory()
    lost = store(storage, age=timedelta(0))
    if engine.dialect.name == "postgresql":
        grants = ["GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"]
    else:
        grants = ["GRANT ALL ON *.* TO {name}", *["REVOKE PROCESS ON *.* FROM {name}"] * (not sees)]
    with (
        account(engine, *grants) as clerk,
        engine.connect() as writer,
        pytest.raises(LedgerError, match=r"others are connected|cannot see who is"),
    ):
        writer.exec_driver_sql("SELECT 1")
        list(sweep(clerk, Base.metadata, delete=True, grace=0))
    assert keys(storage) == [lost]


def test_the_connections_of_the_own_pool_are_no_writers_and_stay(engine: Engine) -> None:
    storage = add_memory()
    store(storage, age=timedelta(0))
    with engine.connect() as first, engine.connect() as second:
        waiting = {each.connection.dbapi_connection for each in (first, second)}
    assert kinds(sweep(engine, Base.metadata, delete=True, grace=0)) == {"deleted": 1}
    with engine.connect() as first, engine.connect() as second:
        assert {each.connection.dbapi_connection for each in (first, second)} == waiting


def test_a_database_in_memory_survives_a_grace_of_zero() -> None:
    add_memory()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    add(engine, 1)
    assert list(sweep(engine, Base.metadata, delete=True, grace=0)) == []
    assert len(rows(engine)) == 1
    engine.dispose()


def test_a_grace_shorter_than_that_of_the_writers_is_refused(engine: Engine) -> None:
    add_memory()
    with pytest.raises(LedgerError, match="shorter than the 3600 of this database"):
        list(sweep(engine, Base.metadata, grace=60))


def test_the_checkpoint_of_another_database_is_refused_until_it_is_adopted(
    engine: Engine,
) -> None:
    storage = add_memory()
    store(storage, age=timedelta(hours=3))
    with engine.begin() as connection:
        swept_until(connection, now() - 5 * HOUR)
        value = ledger.state.c.value
        other = ledger.state.c.name == "checkpoint:main"
        known = connection.scalar(ledger.state.select().with_only_columns(value).where(other))
        connection.execute(
            ledger.state.update().where(other).values(value=known.replace("@", "@x"))
        )
    with pytest.raises(LedgerError, match="another database"):
        list(sweep(engine, Base.metadata, delete=True))
    assert len(keys(storage)) == 1
    assert kinds(sweep(engine, Base.metadata, delete=True, adopt=True)) == {"deleted": 1}
    assert list(sweep(engine, Base.metadata, delete=True)) == []


def test_storages_that_rows_name_and_nobody_added_are_an_error(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 1)
    StorageManager.clear()
    StorageManager.add_storage("other", storage)
    with pytest.raises(UnknownStorageError, match="'main'"):
        list(sweep(engine, Base.metadata, delete=True))
    assert len(keys(storage)) == 1


def test_a_database_without_the_ledgers_table_is_an_error(engine: Engine) -> None:
    add_memory()
    Base.metadata.drop_all(engine, tables=[ledger.releases])
    with pytest.raises(LedgerError, match="no table 'sqlalchemy_file_release'"):
        list(sweep(engine, Base.metadata))


@pytest.mark.parametrize("search", [sweep, compare])
@pytest.mark.parametrize("delete", [False, True])
def test_a_database_without_a_table_or_column_of_files_is_an_error(
    engine: Engine, search: Callable[..., Iterator[Finding]], delete: bool
) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE reconciled_paper"))
    with pytest.raises(LedgerError, match=r"reconciled_paper.*create_all\(\)"):
        list(search(engine, Base.metadata, delete=delete))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE reconciled_paper (id INT PRIMARY KEY, body TEXT)"))
    with pytest.raises(LedgerError, match=r"column 'pages'.*migration"):
        list(search(engine, Base.metadata, delete=delete))


def test_a_failed_deletion_is_left_to_the_drain(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = add_memory()
    store(storage, age=timedelta(hours=3))

    def refuse(_: object) -> None:
        raise OSError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete", refuse)
        assert kinds(sweep(engine, Base.metadata, delete=True)) == {"failed": 1}
    assert pending(engine) == 1


@pytest.mark.parametrize("hours", [3, -3])
@pytest.mark.parametrize("search", [sweep, compare])
def test_clocks_that_differ_are_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, search: Callable, hours: int
) -> None:
    storage = add_memory()
    lost = store(storage, age=timedelta(hours=2))
    monkeypatch.setattr(ages, "now_here", lambda: now() + hours * HOUR)
    with pytest.raises(LedgerError, match=r"the clock of the database is 10,\d+ seconds"):
        list(search(engine, Base.metadata, delete=True))
    assert keys(storage) == [lost]


def test_a_storage_whose_clock_differs_is_refused(engine: Engine) -> None:
    storage = Late()
    StorageManager.add_storage("main", storage)
    store(storage, age=timedelta(0))  # is in flight, and seems to be three hours old
    with pytest.raises(LedgerError, match=r"clock of the storage 'main' is .* behind"):
        list(sweep(engine, Base.metadata, delete=True))
    assert len(keys(storage)) == 1


class Late(MemoryStorage):
    """Has a clock that is three hours behind."""

    def stat(self, key):
        return late(super().stat(key))

    def list(self, prefix="", start_after=None):
        return map(late, super().list(prefix, start_after))


def late(info: ObjectInfo) -> ObjectInfo:
    return replace(info, last_modified=info.last_modified - timedelta(hours=3))


class Listed(MemoryStorage):
    """Notes what was listed."""

    lists_from_key = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str | None]] = []

    def list(self, prefix="", start_after=None):
        self.asked.append((prefix, start_after))
        return super().list(prefix, start_after)


def now() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def swept(engine: Engine) -> int | None:
    with engine.connect() as connection:
        found = checkpoint(connection, ledger, "main")
    return None if found is None else found.until
