"""Several at once: processes that make the ledger, and transactions that write into it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.exc import DBAPIError, OperationalError

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger import connections

from .earlier import first_layout
from .helpers import Schema, fill, record, run

WORKERS = 4


def at_once(work: Callable[[int], object]) -> list[object]:
    """Call ``work`` in several threads, which begin together, and return what each returned."""
    together = Barrier(WORKERS)

    def begin(number: int) -> object:
        together.wait(30)
        return work(number)

    with ThreadPoolExecutor(WORKERS) as threads:
        return list(threads.map(begin, range(WORKERS)))


@pytest.fixture(params=["DEFAULT", "REPEATABLE READ"])
def another(request, engine: Engine):
    """Return a function that makes an engine as another process would have."""
    engines = []
    is_usual = request.param == "DEFAULT" or engine.dialect.name == "sqlite"  # which has no others

    def another() -> Engine:
        options = {} if is_usual else {"isolation_level": request.param}
        engines.append(create_engine(engine.url, **options))
        return engines[-1]

    yield another
    for each in engines:
        each.dispose()


def test_processes_mend_the_triggers_at_once(engine: Engine, another) -> None:
    schema = Schema()
    schema.files_below("page", "letter")
    schema.metadata.create_all(engine)

    def start(number: int) -> None:
        own = Schema()
        own.files_below("page", "letter")
        own.metadata.create_all(another())

    for _ in range(2):
        with engine.begin() as connection:
            schema.ledger.uninstall(connection)
        at_once(start)
        with engine.begin() as connection:
            assert schema.problems(connection) == set()


def test_processes_make_everything_at_once_behind_the_lock(engine: Engine, another) -> None:
    def start(number: int) -> None:
        own = Schema()
        with another().begin() as connection, own.ledger.exclusive(connection):
            own.metadata.create_all(connection)

    at_once(start)
    with engine.begin() as connection:
        assert Schema().problems(connection) == set()


def test_a_lock_that_another_process_keeps_is_an_error(
    mariadb: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PATIENCE", 0)
    ledger = Schema().ledger
    with mariadb.connect() as holder, mariadb.connect() as late:
        with (
            ledger.exclusive(holder),
            pytest.raises(LedgerError, match="another process has been changing the ledger"),
            ledger.exclusive(late),
        ):
            raise AssertionError("two hold the lock")
        with ledger.exclusive(late):
            pass


def test_a_lock_of_sqlite_ends_with_its_block_where_statements_commit_at_once(
    sqlite: Engine,
) -> None:
    ledger = Schema().ledger
    with sqlite.connect() as connection, sqlite.connect() as other:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(KeyError), ledger.exclusive(connection):
            connection.exec_driver_sql("CREATE TABLE undone (id INTEGER)")
            raise KeyError
        with ledger.exclusive(connection):
            connection.exec_driver_sql("CREATE TABLE done (id INTEGER)")
        assert inspect(other).get_table_names() == ["done"]


def test_a_ledger_is_upgraded_once(engine: Engine, another) -> None:
    with engine.begin() as connection:
        before = Schema()
        before.letter.create(connection)
        before.ledger.state.create(connection)
        first_layout(connection)
    at_once(lambda number: Schema().metadata.create_all(another()))
    schema = Schema()
    with engine.begin() as connection:
        assert schema.problems(connection) == set()
        paths = connection.exec_driver_sql("SELECT path FROM sqlalchemy_file_release")
        assert sorted(paths.scalars()) == ["s/old", "s/older"]


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("table", ["letter", "page"])
def test_a_transaction_that_waits_for_a_row_keeps_no_other_from_noting(
    mariadb: Engine, objects: int, table: str
) -> None:
    """A counter in the ledger would be locked by the one that waits: a deadlock."""
    schema = Schema()
    schema.files_below("page", "letter")
    fill(mariadb, schema)
    with mariadb.begin() as connection:
        for id_ in (2, 3, 4):
            body = record(*(f"s/{id_}-{number}" for number in range(objects)))
            run(connection, "INSERT INTO letter (id, body) VALUES (:i, :b)", i=id_, b=body)
            run(connection, "INSERT INTO page VALUES (:i, :i, :b)", i=id_, b=body)

    def delete_two(connection) -> None:
        run(connection, f"DELETE FROM {table} WHERE id IN (2, 3)")
        connection.commit()

    with (
        ThreadPoolExecutor(1) as thread,
        mariadb.connect() as first,
        mariadb.connect() as second,
        mariadb.connect() as looking,
    ):
        column = "title = 'x'" if table == "letter" else "parent = parent"
        run(second, f"UPDATE {table} SET {column} WHERE id = 3")
        run(second, f"SELECT id FROM {table} WHERE id = 3 FOR UPDATE")
        waiting = thread.submit(delete_two, first)
        query = "SELECT count(*) FROM information_schema.innodb_lock_waits"
        while not looking.exec_driver_sql(query).scalar():
            assert not waiting.done(), waiting.result()
            time.sleep(0.15)  # asked more often, it answers what it did before
        run(second, f"DELETE FROM {table} WHERE id = 4")
        second.commit()
        waiting.result(20)
        assert len(schema.released(looking)) == 3 * objects


def test_a_deadlock_in_a_trigger_reaches_the_statement(mariadb: Engine) -> None:
    """It has rolled back the transaction, which nothing may go on as if it had not."""
    schema = Schema()
    fill(mariadb, schema, body=record("s/a"))
    with mariadb.begin() as connection:
        for id_ in range(2, 200):
            run(connection, "INSERT INTO letter (id) VALUES (:i)", i=id_)
    with ThreadPoolExecutor(1) as thread, mariadb.connect() as heavy, mariadb.connect() as light:
        run(heavy, "UPDATE letter SET title = 'x' WHERE id > 2")  # so the other one is the victim
        run(heavy, "SELECT id FROM sqlalchemy_file_release FOR UPDATE")
        run(light, "UPDATE letter SET title = 'x' WHERE id = 2")
        waiting = thread.submit(run, heavy, "UPDATE letter SET title = 'y' WHERE id = 2")
        time.sleep(0.3)
        with pytest.raises(OperationalError, match="1213"):
            run(light, "DELETE FROM letter WHERE id = 1")
        light.rollback()
        waiting.result(20)
        heavy.rollback()
        assert schema.released(heavy) == []


def test_transactions_that_release_wait_for_nobody_on_mariadb(mariadb: Engine) -> None:
    schema = Schema()
    schema.files_below("page", "letter")
    fill(mariadb, schema)
    rows, rounds = 6, 10
    insert = "INSERT INTO letter (id, body) VALUES (:i, :b)"

    def work(number: int) -> list[int]:
        failed = []
        ids = range(1000 * (number + 1), 1000 * (number + 1) + rows)
        for _ in range(rounds):
            try:
                with mariadb.begin() as connection:
                    for id_ in ids:
                        body = record(f"s/{id_}", f"s/{id_}-small", f"s/{id_}-large")
                        run(connection, insert, i=id_, b=body)
                        run(connection, "INSERT INTO page VALUES (:i, :i, :b)", i=id_, b=body)
                with mariadb.begin() as connection:
                    for id_ in ids:
                        run(connection, "DELETE FROM letter WHERE id = :i", i=id_)
            except DBAPIError as error:
                failed.append(error.orig.args[0])
                with mariadb.begin() as connection:
                    run(
                        connection,
                        "DELETE FROM letter WHERE id BETWEEN :a AND :b",
                        a=ids[0],
                        b=ids[-1],
                    )
        return failed

    assert at_once(work) == [[]] * WORKERS
    with mariadb.begin() as connection:
        assert len(schema.released(connection)) == WORKERS * rows * 3
