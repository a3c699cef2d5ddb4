"""The drain deletes what rows have released, once, and never what a row names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from io import BytesIO

import pytest
from sqlalchemy import Engine, create_engine, func, insert, select, text, update
from sqlalchemy.orm import Session

from sqlalchemy_file import StorageManager
from sqlalchemy_file.exceptions import InvalidKeyError, LedgerError
from sqlalchemy_file.ledger import notes
from sqlalchemy_file.ledger.notes import LEASE
from sqlalchemy_file.reconcile import drain
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.reconcile.helpers import Base, Paper, add, kinds, ledger, pending, raw_delete, rows
from tests.scenarios.flaky import FlakyStorage
from tests.stores import add_memory, keys

ID = "018f0000-0000-7000-8000-000000000000"


def test_what_other_programs_release_is_deleted(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 3)
    raw_delete(engine, "id < 3")
    assert len(keys(storage)) == 3
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 2}
    assert [f"main/{key}" for key in keys(storage)] == rows(engine)
    assert pending(engine) == 0


def test_a_session_will_do(engine: Engine) -> None:
    add_memory()
    add(engine, 1)
    raw_delete(engine)
    with Session(engine) as session:
        assert kinds(drain(session, Base.metadata)) == {"deleted": 1}


def test_what_a_row_names_again_stays(engine: Engine) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    note(engine, path)
    assert kinds(drain(engine, Base.metadata)) == {"named": 1}
    assert [f"main/{key}" for key in keys(storage)] == [path]
    assert pending(engine) == 0


def test_many_are_deleted_in_batches(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 25)
    raw_delete(engine)
    assert kinds(drain(engine, Base.metadata, batch_size=10)) == {"deleted": 25}
    assert keys(storage) == []


def test_a_failure_is_kept_with_its_cause_and_tried_again_later(engine: Engine) -> None:
    storage = FlakyStorage(MemoryStorage())
    StorageManager.add_storage("main", storage)
    add(engine, 1)
    raw_delete(engine)
    storage.fail("delete")
    (finding,) = drain(engine, Base.metadata)
    assert finding.kind == "failed"
    assert finding.detail
    (row,) = releases(engine)
    assert row.tries == 1
    assert row.last_error == finding.detail
    assert 10_000 < row.due_at - row.at < 600_000
    assert list(drain(engine, Base.metadata)) == []  # not due yet
    make_due(engine)
    list(drain(engine, Base.metadata))
    (again,) = releases(engine)
    assert again.tries == 2
    assert again.due_at - row.due_at > 10_000  # waits longer each time
    storage.mend()
    make_due(engine)
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 1}


def test_a_lease_that_ran_out_is_taken_by_another_worker(engine: Engine) -> None:
    add_memory()
    add(engine, 1)
    raw_delete(engine)
    with engine.begin() as connection:  # what a worker that was killed leaves
        taken = update(ledger.releases).values(due_at=ledger.releases.c.at + LEASE, tries=1)
        connection.execute(taken)
    assert list(drain(engine, Base.metadata)) == []
    make_due(engine)
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 1}


def test_an_interrupted_worker_gives_back_what_it_took(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = add_memory()
    add(engine, 3)
    raw_delete(engine)

    def interrupted(keys: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(drain(engine, Base.metadata))
    assert {row.tries for row in releases(engine)} == {0}
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 3}


def test_two_workers_share_the_work(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 120)
    raw_delete(engine)
    found: list[str] = []

    def work() -> None:
        found.extend(each.path for each in drain(engine, Base.metadata, batch_size=7))

    in_threads(work, work)
    assert len(found) == len(set(found)) == 120
    assert keys(storage) == []
    assert pending(engine) == 0


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_transactions_that_may_copy_a_row_are_waited_for(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 1)
    level = "REPEATABLE READ"
    with engine.connect().execution_options(isolation_level=level) as copier:
        copier.execute(select(func.count()).select_from(Paper)).all()
        raw_delete(engine)
        (finding,) = drain(engine, Base.metadata, patience=0.3)
        assert finding.kind == "waiting"
        assert len(keys(storage)) == 1
    make_due(engine)
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 1}


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
def test_copies_by_insert_select_keep_their_objects(engine: Engine, level: str) -> None:
    if engine.dialect.name == "sqlite":
        level = "SERIALIZABLE"
    storage = add_memory()
    rounds, each = 20, 8
    stop = threading.Event()
    errors: list[Exception] = []

    def copy_and_delete(first: int) -> None:
        copying = (
            "INSERT INTO reconciled_paper (id, body) SELECT id + 1000, body FROM reconciled_paper "
            f"WHERE id BETWEEN {first} AND {first + each - 1}"
        )
        removing = f"DELETE FROM reconciled_paper WHERE id BETWEEN {first} AND {first + each - 1}"
        in_threads(
            lambda: execute(engine, copying, level), lambda: execute(engine, removing, level)
        )

    def keep_draining() -> None:
        try:
            while not stop.is_set():
                list(drain(engine, Base.metadata))
        except Exception as error:  # noqa: BLE001  looked at below
            errors.append(error)

    add(engine, rounds * each)
    worker = threading.Thread(target=keep_draining)
    worker.start()
    try:
        for number in range(rounds):
            copy_and_delete(1 + number * each)
    finally:
        stop.set()
        worker.join()
    assert errors == []
    make_due(engine)
    list(drain(engine, Base.metadata))
    assert sorted(f"main/{key}" for key in keys(storage)) == sorted(rows(engine))


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
def test_a_copy_that_began_before_its_source_was_deleted_is_waited_for(
    engine: Engine, level: str
) -> None:
    storage = add_memory()
    rounds = 6
    add(engine, rounds)
    pause = {"postgresql": "pg_sleep(0.2) IS NOT NULL", "mariadb": "sleep(0.2) = 0"}
    with engine.connect(), engine.connect():
        pass  # so that the pool has connections: a busy server takes longer than the copy for one
    for number in range(1, rounds + 1):
        copying = (
            "INSERT INTO reconciled_paper (id, body) SELECT id + 1000, body "
            f"FROM reconciled_paper WHERE id = {number} AND {pause[engine.dialect.name]}"
        )
        copier = threading.Thread(target=execute, args=(engine, copying, level))
        copier.start()
        wait_for_sleeper(engine, copier)
        raw_delete(engine, f"id = {number}")
        list(drain(engine, Base.metadata))
        copier.join()
    make_due(engine)
    list(drain(engine, Base.metadata))
    assert sorted(f"main/{key}" for key in keys(storage)) == sorted(rows(engine))
    assert len(keys(storage)) > 0


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_a_user_who_may_not_see_transactions_reads_with_locks(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 2)
    raw_delete(engine, "id = 1")
    database = engine.url.database
    grants = f"GRANT ALL ON {database}.* TO 'modest'@'127.0.0.1' IDENTIFIED BY 'modest'"
    execute(engine, grants, "READ COMMITTED")
    modest = create_engine(engine.url.set(username="modest", password="modest"))
    try:
        assert kinds(drain(modest, Base.metadata)) == {"deleted": 1}
    finally:
        modest.dispose()
        execute(engine, "DROP USER 'modest'@'127.0.0.1'", "READ COMMITTED")
    assert [f"main/{key}" for key in keys(storage)] == rows(engine)


def test_a_drain_without_triggers_is_refused(engine: Engine) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    raw_delete(engine)
    drop_a_trigger(engine)
    with pytest.raises(LedgerError, match=r"the ledger is not in order: .*reconciled_paper"):
        list(drain(engine, Base.metadata))
    assert [f"main/{key}" for key in keys(storage)] == [path]
    assert [row.tries for row in releases(engine)] == [0]


@pytest.mark.parametrize(
    "path",
    [
        "main/backup/2026.tar",
        "main/../018f0000-0000-7000-8000-000000000000",
        "main/.sqlalchemy-file-018f0000",
        "main/",
        "elsewhere/018f0000-0000-7000-8000-000000000000",
        "018f0000-0000-7000-8000-000000000000",
        "/",
        "",
        "main/a\x07\U0001f4c4",
    ],
)
def test_a_note_of_what_is_not_ours_is_reported_and_others_go_on(engine: Engine, path: str) -> None:
    storage = add_memory()
    storage.put("backup/2026.tar", BytesIO(b"not ours"), Attributes())
    add(engine, 2)
    raw_delete(engine, "id = 1")
    note(engine, path)
    raw_delete(engine, "id = 2")
    found = list(drain(engine, Base.metadata))
    assert kinds(found) == {"deleted": 2, "foreign": 1}
    (foreign,) = [each for each in found if each.kind == "foreign"]
    assert foreign.path == path or "/" not in path
    assert foreign.detail
    assert keys(storage) == ["backup/2026.tar"]
    (left,) = releases(engine)
    assert (left.path, left.last_error) == (path, foreign.detail)
    assert left.due_at > left.at  # set aside
    assert list(drain(engine, Base.metadata)) == []


def test_keys_derived_from_an_id_are_taken_for_ours(engine: Engine) -> None:
    storage = add_memory()
    for key in (f"{ID}.webp", f"{ID}/small.webp", f"users/{ID}.metadata.json"):
        storage.put(key, BytesIO(b"derived"), Attributes())
        note(engine, f"main/{key}")
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 3}
    assert keys(storage) == []


def test_a_key_that_the_storage_refuses_does_not_stop_the_others(engine: Engine) -> None:
    storage = Particular()
    StorageManager.add_storage("main", storage)
    add(engine, 2)
    raw_delete(engine)
    note(engine, f"main/{ID}.tar")
    note(engine, f"main/{ID}.tar.gz")
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 2, "failed": 2}
    assert keys(storage) == []


def test_what_is_released_meanwhile_is_left_to_the_next_drain(engine: Engine) -> None:
    add_memory()
    add(engine, 3)
    raw_delete(engine, "id = 1")
    draining = drain(engine, Base.metadata, batch_size=1)
    assert next(draining).kind == "deleted"
    time.sleep(0.01)
    raw_delete(engine)
    assert list(draining) == []
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 2}


def test_what_was_leased_too_long_ago_is_not_deleted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = add_memory()
    add(engine, 1)
    raw_delete(engine)
    with monkeypatch.context() as patch:
        patch.setattr(notes, "LEASE", 0)  # as if the process had been suspended
        assert kinds(drain(engine, Base.metadata)) == {"waiting": 1}
    assert len(keys(storage)) == 1
    make_due(engine)
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 1}


def test_a_session_of_a_connection_is_refused(engine: Engine) -> None:
    with engine.connect() as connection, Session(connection) as session:  # noqa: SIM117
        with pytest.raises(LedgerError, match="transactions of its own"):
            list(drain(session, Base.metadata))


class Particular(MemoryStorage):
    """Refuses some keys, and all that is to be deleted with them."""

    def delete(self, keys):
        if refused := [key for key in keys if ".tar" in key]:
            raise InvalidKeyError("no archives", key=refused[0])
        super().delete(keys)


def note(engine: Engine, path: str) -> None:
    with engine.begin() as connection:
        connection.execute(insert(ledger.releases).values(path=path, at=0, due_at=0))


def releases(engine: Engine) -> list:
    with engine.connect() as connection:
        return list(connection.execute(select(ledger.releases)))


def make_due(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(ledger.releases).values(due_at=0))


def execute(engine: Engine, statement: str, level: str) -> None:
    with engine.execution_options(isolation_level=level).begin() as connection:
        connection.execute(text(statement))


def wait_for_sleeper(engine: Engine, copier: threading.Thread) -> None:
    """Wait until a statement that sleeps, and so has its snapshot, is running, or is over."""
    statement = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
        "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'",
    }[engine.dialect.name]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while copier.is_alive() and not connection.scalar(text(statement)):
            pass


def drop_a_trigger(engine: Engine) -> None:
    catalog = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
        "mariadb": "SELECT trigger_name FROM information_schema.triggers "
        "WHERE trigger_schema = database()",
    }
    with engine.begin() as connection:
        name = connection.scalars(text(catalog[engine.dialect.name])).first()
        suffix = " ON reconciled_paper" if engine.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP TRIGGER {name}{suffix}"))


def in_threads(*works: Callable[[], None]) -> None:
    errors: list[Exception] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  looked at below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error for error in errors if "1213" not in str(error)] == []
