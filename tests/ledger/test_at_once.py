"""Several at once: processes that make the ledger, and transactions that write into it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

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
    if request.param != "DEFAULT" and engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one isolation level")
    engines = []

    def another() -> Engine:
        options = {} if request.param == "DEFAULT" else {"isolation_level": request.param}
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


@pytest.mark.parametrize("another", ["DEFAULT"], indirect=True)
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


def test_transactions_that_release_wait_for_nobody_on_mariadb(mariadb: Engine) -> None:
    """Each has rows of its own; with a counter in the ledger a tenth of them failed."""
    schema = Schema()
    schema.files_below("page", "letter")
    fill(mariadb, schema)
    rows, rounds = 6, 25
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
