"""Programs that meet on the same rows and objects, in thousands of random schedules.

A schedule is what a few threads do at once, each pausing at random between its steps.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import CommitRefusedError, ObjectNotFoundError
from sqlalchemy_file.reconcile import ages, drain, sweep
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import add_memory, keys, named

from .models import Base, Page, ledger

SCHEDULES = {"sqlite": 450, "postgresql": 400, "mariadb": 150}
GRACE = 0.2
"""Seconds; the usual hour would take a test an hour."""

Actor = Callable[[Random], object]


@pytest.fixture
def storage() -> MemoryStorage:
    return add_memory()


@pytest.fixture(params=SCHEDULES)
def engine(
    request: pytest.FixtureRequest, storage: MemoryStorage, tmp_path: Path
) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path}/races.db", connect_args={"timeout": 30})
        event.listen(engine, "connect", _go_faster)
    else:
        engine = create_engine(request.getfixturevalue(f"{request.param}_server"), pool_size=12)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    yield engine
    Base.metadata.drop_all(engine)
    engine.dispose()


def _go_faster(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")


def schedules(engine: Engine) -> range:
    return range(SCHEDULES[engine.dialect.name])


def at_once(seed: int, *actors: Actor) -> None:
    """Run actors in threads of their own, each with its own dice; raise the first error."""
    errors: list[BaseException] = []

    def run(number: int, actor: Actor) -> None:
        try:
            actor(Random(seed * 100 + number))
        except BaseException as error:  # noqa: BLE001  raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(actors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def pause(dice: Random, longest: float = 0.004) -> None:
    time.sleep(dice.uniform(0, longest))


def assert_exact(engine: Engine, storage: MemoryStorage) -> None:
    assert sorted(named(engine, "crash_page", "cover", "pictures")) == [
        f"main/{key}" for key in keys(storage)
    ]


def drain_all(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(ledger.releases).values(due_at=0))
    list(drain(engine, Base.metadata))


# --- two writers


@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
def test_two_writers_on_one_row(engine: Engine, storage: MemoryStorage) -> None:
    outcomes: Counter[str] = Counter()

    def write(dice: Random) -> None:
        try:
            with Session(engine) as session:
                page = session.get(Page, 1) or Page(id=1)
                session.add(page)
                pause(dice)
                _change(session, page, dice)
                session.flush()
                pause(dice)
                end = dice.choice(["commit", "commit", "rollback"])
                getattr(session, end)()
            outcomes[end] += 1
        except (DBAPIError, StaleDataError, ObjectDeletedError, ObjectNotFoundError):
            outcomes["refused"] += 1  # as a victim of the other one

    for seed in schedules(engine):
        at_once(seed, write, write)
        assert_exact(engine, storage)
    assert outcomes["commit"] > outcomes["refused"] / 4 > 0


def _change(session: Session, page: Page, dice: Random) -> None:
    what = dice.choice(["replace", "replace", "list", "clear", "delete"])
    if what == "delete" and page.id and page not in session.new:
        session.delete(page)
    elif what == "list":
        page.pictures = [*(page.pictures or []), File(dice.randbytes(20))][-3:]
    else:
        page.cover = None if what == "clear" else File(dice.randbytes(20))


# --- a sweep


@pytest.mark.parametrize("longest", [GRACE / 2, GRACE * 2], ids=["in flight", "beyond the grace"])
def test_a_sweep_beside_transactions(
    engine: Engine, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, longest: float
) -> None:
    monkeypatch.setattr(ages, "SKEW", 0)
    with engine.begin() as connection:
        value = json.dumps({"seconds": GRACE})
        connection.execute(ledger.state.insert().values(name="grace", value=value))
    writers = 2 if engine.dialect.name == "sqlite" else 8
    outcomes: Counter[str] = Counter()
    done = threading.Event()

    def write(dice: Random) -> None:
        for _ in range(len(schedules(engine)) // 2 // writers):
            try:
                with Session(engine) as session:
                    session.add(Page(cover=File(dice.randbytes(20))))
                    session.flush()
                    pause(dice, longest)
                    end = dice.choice(["commit", "commit", "commit", "rollback"])
                    getattr(session, end)()
                outcomes[end] += 1
            except CommitRefusedError:
                outcomes["refused"] += 1

    def keep_sweeping(_dice: Random) -> None:
        while not done.is_set():
            list(sweep(engine, Base.metadata, delete=True, patience=0))
            time.sleep(0.005)

    sweeper = threading.Thread(target=keep_sweeping, args=[Random()])
    sweeper.start()
    try:
        at_once(1, *[write] * writers)
    finally:
        done.set()
        sweeper.join()
    assert outcomes["commit"] > 0
    assert outcomes["refused"] > 0 or longest < GRACE
    assert_exact(engine, storage)


# --- drains


def test_two_drains(engine: Engine, storage: MemoryStorage) -> None:
    for seed in schedules(engine):
        _insert(engine, 3)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM crash_page"))
        deleted: list[str] = []

        def work(dice: Random, deleted: list[str] = deleted) -> None:
            pause(dice)
            deleted.extend(each.path for each in drain(engine, Base.metadata, batch_size=2))

        at_once(seed, work, work)
        assert len(deleted) == len(set(deleted)) == 3
        assert keys(storage) == []


def test_a_drain_beside_a_raw_copy(engine: Engine, storage: MemoryStorage) -> None:
    copying = text(
        "INSERT INTO crash_page (id, cover) SELECT id + 1000000, cover FROM crash_page "
        "WHERE id < 1000000"
    )
    levels = ["SERIALIZABLE"]
    if engine.dialect.name != "sqlite":
        levels = ["READ COMMITTED", "REPEATABLE READ"]

    def execute(statement: Any, level: str) -> Actor:
        def act(dice: Random) -> None:
            try:
                with engine.connect().execution_options(isolation_level=level) as connection:
                    pause(dice)
                    connection.execute(statement)
                    pause(dice)
                    connection.commit()
            except DBAPIError:
                pass  # a deadlock: undone, as if it had never been

        return act

    def work(dice: Random) -> None:
        pause(dice, 0.01)
        list(drain(engine, Base.metadata))

    for seed in schedules(engine):
        _insert(engine, 1)
        level = levels[seed % len(levels)]
        removing = execute(text("DELETE FROM crash_page WHERE id < 1000000"), level)
        at_once(seed, execute(copying, level), removing, work)
        missing = set(named(engine, "crash_page", "cover")) - {f"main/{k}" for k in keys(storage)}
        assert not missing, f"schedule {seed} at {level}"
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM crash_page"))
        drain_all(engine)
        assert keys(storage) == []


def _insert(engine: Engine, count: int) -> None:
    with Session(engine) as session:
        session.add_all([Page(cover=File(b"x")) for _ in range(count)])
        session.commit()
        assert len(session.scalars(select(Page)).all()) >= count
