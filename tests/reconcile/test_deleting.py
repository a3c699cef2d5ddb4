"""What is deleted was named by no row at one moment, and by nobody who was under way then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.reconcile import Finding, compare, deleting, drain, status, sweep
from tests.reconcile.accounts import account
from tests.reconcile.helpers import Base, Paper, add, kinds, ledger, raw_delete, rows, store
from tests.services import postgresql
from tests.services.databases import database_on
from tests.stores import add_memory, keys

servers = pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
only_postgresql = pytest.mark.parametrize("url", ["postgresql"], indirect=True)
only_mariadb = pytest.mark.parametrize("url", ["mariadb"], indirect=True)

COPY = text("INSERT INTO reconciled_paper (id, body) VALUES (:id, :value)")
READ = text("SELECT body FROM reconciled_paper WHERE id = :id")


@servers
def test_a_copy_begun_between_the_wait_and_the_look_keeps_its_object(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    with engine.begin() as connection:  # it moves, which leaves a note
        connection.execute(COPY, {"id": 2, "value": body(connection, 1)})
    raw_delete(engine, "id = 1")
    with engine.connect() as copier, monkeypatch.context() as patch:
        read: list[str] = []

        def read_and_delete() -> None:
            read.append(body(copier, 2))
            raw_delete(engine, "id = 2")

        patch.setattr(deleting, "wait", followed_by(deleting.wait, read_and_delete))
        assert kinds(drain(engine, Base.metadata, batch_size=1)) == {"waiting": 1}
        copier.execute(COPY, {"id": 3, "value": read[0]})
        copier.commit()
    make_due(engine)
    assert kinds(drain(engine, Base.metadata)) == {"named": 1}
    assert [f"main/{key}" for key in keys(storage)] == rows(engine) == [path]


@pytest.mark.parametrize("command", ["drain", "sweep"])
def test_a_file_that_moves_while_rows_are_asked_stays(engine: Engine, command: str) -> None:
    storage = add_memory()
    with Session(engine) as session:
        page = File(b"moving")
        session.add_all([Paper(id=1, pages=[page]), Paper(id=2)])
        session.commit()
        path = page["path"]
    if command == "drain":
        note(engine, path)
    else:
        grow_old(storage)
    with moving(engine):
        found = list(COMMANDS[command](engine))
    assert {each.kind for each in found} <= {"named", "waiting"}
    assert [f"main/{key}" for key in keys(storage)] == [path]
    assert named_anywhere(engine) == {path}


@only_mariadb
def test_a_transaction_that_writes_for_the_first_time_meanwhile_is_waited_for(
    engine: Engine,
) -> None:
    storage = add_memory()
    add(engine, 1)
    with engine.connect() as copier:
        read = body(copier, 1)
        raw_delete(engine)
        writing = later(0.3, lambda: copier.execute(COPY, {"id": 2, "value": read}))
        assert kinds(drain(engine, Base.metadata, patience=1)) == {"waiting": 1}
        writing.join()
        copier.commit()
    make_due(engine)
    assert kinds(drain(engine, Base.metadata)) == {"named": 1}
    assert len(keys(storage)) == 1


@only_mariadb
def test_a_list_of_transactions_that_others_keep_from_being_renewed_is_not_believed(
    engine: Engine,
) -> None:
    storage = add_memory()
    add(engine, 1)
    raw_delete(engine)
    stop = threading.Event()

    def keep_reading() -> None:
        with engine.connect() as connection:
            while not stop.is_set():
                connection.execute(text("SELECT count(*) FROM information_schema.innodb_trx"))
                time.sleep(0.01)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    time.sleep(0.3)
    try:
        assert kinds(drain(engine, Base.metadata, patience=0.3)) == {"waiting": 1}
    finally:
        stop.set()
        reader.join()
    assert len(keys(storage)) == 1


@only_mariadb
@pytest.mark.parametrize("rights", ["ALL", "SELECT, INSERT, UPDATE, DELETE, TRIGGER"])
def test_who_sees_no_transactions_locks_the_tables_or_is_refused(
    engine: Engine, rights: str
) -> None:
    storage = add_memory()
    add(engine, 1)
    with account(
        engine, f"GRANT {rights} ON *.* TO {{name}}", "REVOKE PROCESS, SUPER ON *.* FROM {name}"
    ) as clerk:
        with engine.connect() as copier:
            read = body(copier, 1)
            raw_delete(engine)
            if rights != "ALL":
                with pytest.raises(LedgerError, match="grant it PROCESS"):
                    list(drain(clerk, Base.metadata))
                return
            assert kinds(drain(clerk, Base.metadata, patience=0.3)) == {"waiting": 1}
            copier.execute(COPY, {"id": 2, "value": read})
            copier.commit()
        make_due(engine)
        assert kinds(drain(clerk, Base.metadata)) == {"named": 1}
    assert len(keys(storage)) == 1


@only_postgresql
def test_a_transaction_that_is_prepared_meanwhile_is_waited_for(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as copier:
        copier.execute(text("BEGIN"))
        read = body(copier, 1)
        raw_delete(engine)

        def prepare() -> None:
            copier.execute(COPY, {"id": 2, "value": read})
            copier.execute(text("PREPARE TRANSACTION 'copied'"))

        preparing = later(0.2, prepare)
        try:
            assert kinds(drain(engine, Base.metadata, patience=1)) == {"waiting": 1}
        finally:
            preparing.join()
            copier.execute(text("COMMIT PREPARED 'copied'"))
    make_due(engine)
    assert kinds(drain(engine, Base.metadata)) == {"named": 1}
    assert len(keys(storage)) == 1


@only_postgresql
def test_what_is_prepared_in_another_database_is_not_waited_for(engine: Engine, url: str) -> None:
    add_memory()
    add(engine, 1)
    raw_delete(engine)
    with database_on(url, "postgresql+psycopg") as server:
        other = create_engine(server.url, isolation_level="AUTOCOMMIT")
        with other.connect() as connection:
            for statement in ("BEGIN", "CREATE TABLE x ()", "PREPARE TRANSACTION 'other'"):
                connection.execute(text(statement))
            try:
                assert kinds(drain(engine, Base.metadata, patience=0.2)) == {"deleted": 1}
            finally:
                connection.execute(text("ROLLBACK PREPARED 'other'"))
        other.dispose()


@only_postgresql
@pytest.mark.parametrize("is_automatic", [True, False], ids=["autovacuum", "VACUUM"])
def test_a_vacuum_is_not_waited_for(engine: Engine, is_automatic: bool) -> None:
    add_memory()
    add(engine, 1)
    raw_delete(engine)
    with vacuuming(engine, is_automatic=is_automatic):
        assert kinds(drain(engine, Base.metadata, patience=0.2)) == {"deleted": 1}


@contextmanager
def vacuuming(engine: Engine, *, is_automatic: bool) -> Iterator[None]:
    """Have a table vacuumed, slowly, until the block is left."""
    slow = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
    often = "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:

        def run(*statements: str) -> None:
            for statement in statements:
                connection.execute(text(statement))

        def vacuum() -> None:
            options = "-c vacuum_cost_delay=100 -c vacuum_cost_limit=1"
            own = create_engine(
                engine.url, connect_args={"options": options}, isolation_level="AUTOCOMMIT"
            )
            with own.connect() as vacuuming, suppress(DBAPIError):  # it is cancelled
                vacuuming.execute(text("VACUUM vacuumed"))
            own.dispose()

        run(
            f"CREATE TABLE vacuumed WITH ({slow}, {often}, autovacuum_enabled = {is_automatic}) "
            "AS SELECT generate_series(1, 50000) AS x",
            "DELETE FROM vacuumed",
            "ALTER SYSTEM SET autovacuum_naptime = 1",
            "SELECT pg_reload_conf()",
        )
        thread = threading.Thread(target=vacuum)
        try:
            if not is_automatic:
                thread.start()
            running = text(
                "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'vacuumed'::regclass"
            )
            deadline = time.monotonic() + 30
            while not connection.scalar(running):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
            assert connection.scalar(running)
        finally:
            run(
                "ALTER SYSTEM RESET autovacuum_naptime",
                "SELECT pg_reload_conf()",
                "SELECT pg_cancel_backend(pid) FROM pg_stat_progress_vacuum",
                "DROP TABLE vacuumed",
            )
            if not is_automatic:
                thread.join()


@only_postgresql
@pytest.mark.parametrize("command", ["drain", "sweep", "compare"])
def test_who_does_not_see_all_rows_is_refused(engine: Engine, command: str) -> None:
    storage = add_memory()
    add(engine, 2)
    grow_old(storage)
    raw_delete(engine, "id = 1")
    policies = "ALTER TABLE reconciled_paper ENABLE ROW LEVEL SECURITY"
    grants = "GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"
    refusal = pytest.raises(LedgerError, match="security hides rows of reconciled_paper")
    with account(engine, grants, policies) as clerk, refusal:
        list(COMMANDS[command](clerk))
    assert len(keys(storage)) == 2


@only_postgresql
def test_the_status_says_that_rows_cannot_be_read(engine: Engine) -> None:
    add_memory()
    add(engine, 1)
    policies = "ALTER TABLE reconciled_paper ENABLE ROW LEVEL SECURITY"
    with account(engine, "GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}", policies) as clerk:
        found = status(clerk, Base.metadata)
    assert [each.kind for each in found.problems] == ["unreadable"]
    assert "security hides rows of reconciled_paper" in str(found.problems[0])
    assert not found.is_clean
    assert found.columns == []


@only_postgresql
def test_a_standby_can_be_compared_and_nothing_deletes_there(engine: Engine) -> None:
    storage = add_memory()
    (path,) = add(engine, 1)
    storage.delete([path.removeprefix("main/")])
    note(engine, path)
    address = engine.url.render_as_string(hide_password=False)
    with postgresql.standby_of(address) as server:
        standby = create_engine(server.url, poolclass=NullPool)
        assert kinds(compare(standby, Base.metadata)) == {"dangling": 1}
        assert status(standby, Base.metadata).storages[0].pending == 1
        for command in COMMANDS.values():
            with pytest.raises(LedgerError, match="this database is a replica"):
                list(command(standby))


ODD = {
    "a view": [
        "CREATE VIEW reconciled_paper AS SELECT * FROM hidden",
        "CREATE ROLE stranger",
        "GRANT CREATE ON SCHEMA public TO stranger",
        "GRANT ALL ON hidden TO stranger",
        "ALTER VIEW reconciled_paper OWNER TO stranger",
    ],
    "a type": [
        "CREATE DOMAIN body AS text",
        "CREATE TABLE reconciled_paper (id int PRIMARY KEY, body body, pages json)",
    ],
}


@only_postgresql
@pytest.mark.parametrize("odd", ODD)
def test_what_may_run_functions_of_a_tables_owner_is_not_read(engine: Engine, odd: str) -> None:
    add_memory()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE reconciled_paper RENAME TO hidden"))
        for statement in ODD[odd]:
            connection.execute(text(statement))
    try:
        with pytest.raises(LedgerError, match="may run functions of"):
            list(compare(engine, Base.metadata))
    finally:
        with engine.begin() as connection:
            kind = "VIEW" if odd == "a view" else "TABLE"
            connection.execute(text(f"DROP {kind} reconciled_paper"))
            connection.execute(text("DROP DOMAIN IF EXISTS body"))
            if odd == "a view":
                connection.execute(text("DROP OWNED BY stranger"))
                connection.execute(text("DROP ROLE stranger"))
            connection.execute(text("ALTER TABLE hidden RENAME TO reconciled_paper"))


@only_postgresql
def test_a_view_of_ones_own_is_read(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 1)
    grow_old(storage)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE reconciled_paper RENAME TO hidden"))
        connection.execute(text("CREATE VIEW reconciled_paper AS SELECT * FROM hidden"))
    try:
        assert list(compare(engine, Base.metadata)) == []
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP VIEW reconciled_paper"))
            connection.execute(text("ALTER TABLE hidden RENAME TO reconciled_paper"))


Command = Callable[[Engine], Iterator[Finding]]
COMMANDS: dict[str, Command] = {
    "drain": lambda engine: drain(engine, Base.metadata),
    "sweep": lambda engine: sweep(engine, Base.metadata, delete=True),
    "compare": lambda engine: compare(engine, Base.metadata, delete=True),
}


def body(connection: Connection, number: int) -> str:
    value = connection.scalar(READ, {"id": number})
    return value if isinstance(value, str) else json.dumps(value)


def make_due(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(ledger.releases).values(due_at=0))


def note(engine: Engine, path: str) -> None:
    with engine.begin() as connection:
        connection.execute(ledger.releases.insert().values(path=path, at=0, due_at=0))


def grow_old(storage: Any) -> None:
    """Have all objects stored a day ago."""
    for key in keys(storage):
        store(storage, key=key, age=timedelta(days=1))


def named_anywhere(engine: Engine) -> set[str]:
    return set(rows(engine))


def followed_by(function: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        returned = function(*arguments)
        then()
        return returned

    return both


def later(seconds: float, work: Callable[[], Any]) -> threading.Thread:
    timer = threading.Timer(seconds, work)
    timer.start()
    return timer


@contextmanager
def moving(engine: Engine) -> Iterator[None]:
    """Have a file move to a column that was read already, when the last one is about to be."""
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    mover = create_engine(engine.url)
    done: list[bool] = []

    def move(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "reconciled_paper.pages" in statement.partition("WHERE")[2] and not done:
            done.append(True)
            with mover.begin() as connection:
                value = connection.scalar(text("SELECT pages FROM reconciled_paper WHERE id = 1"))
                (record,) = json.loads(value) if isinstance(value, str) else value
                taking = text("UPDATE reconciled_paper SET body = :value WHERE id = 2")
                connection.execute(taking, {"value": json.dumps(record)})
                connection.execute(text("UPDATE reconciled_paper SET pages = NULL WHERE id = 1"))

    event.listen(engine, "before_cursor_execute", move)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", move)
        mover.dispose()
    assert done
