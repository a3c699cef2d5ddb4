"""Writers that meet: threads, replaced rows, bulk statements in between, deadlocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from sqlalchemy_file.exceptions import ObjectNotFoundError

from .models import Album, Document
from .table import Group
from .world import PATIENCE, World

scenario = Group(
    name="concurrency",
    without=("static",),
    because="One shared connection has one transaction.",
)
servers = scenario.where(only=("postgresql", "mariadb"), because="SQLite has one writer at a time.")

rows_read_in_time = scenario.where(
    without=("legacy",), because="pysqlite's own mode reads rows outside a transaction."
)

THREADS = 8


@scenario
def eight_threads_each_with_its_session(world: World) -> None:
    """They insert, replace, delete and undo rows of their own, over one storage."""

    def work(number: int) -> None:
        for round_ in range(3):
            label = f"{number}-{round_}"
            key = world.retrying(lambda name=label: _keep_one(world, name))
            world.retrying(lambda k=key: _undo_one(world, k))

    world.at_once(*[lambda n=number: work(n) for number in range(THREADS)])
    kept = [f"{number}-{round_} kept" for number in range(THREADS) for round_ in range(3)]
    assert sorted(world.labels(Document.attachment)) == kept


def _keep_one(world: World, label: str) -> int:
    with world.session() as session:
        rows = [Document(attachment=world.file(f"{label}-{n}")) for n in range(3)]
        session.add_all(rows)
        session.flush()
        rows[0].attachment = world.file(f"{label} kept")
        session.delete(rows[1])
        rows[2].attachment = None
        session.flush()
        session.delete(rows[2])
        session.commit()
        return rows[0].id


def _undo_one(world: World, key: int) -> None:
    with world.session() as session:
        session.get_one(Document, key).attachment = world.file("undone")
        session.flush()
        session.rollback()


@scenario
def eight_threads_read_what_they_stored(world: World) -> None:
    """Nobody is ever handed another one's bytes."""

    def work(number: int) -> None:
        key = world.retrying(
            lambda: world.save(Album(pictures=[world.file(f"{number}-{n}") for n in range(4)]))
        )
        with world.session() as session:
            pictures = session.get_one(Album, key).pictures
            assert [world.opens(file) for file in pictures] == [f"{number}-{n}" for n in range(4)]

    world.at_once(*[lambda n=number: work(n) for number in range(THREADS)])
    assert len(world.objects()) == 4 * THREADS


@scenario
def eight_threads_replace_the_same_row(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))

    def work(number: int) -> None:
        for round_ in range(2):
            world.retrying(lambda r=round_: _replace(world, key, f"{number}-{r}"))

    world.at_once(*[lambda n=number: work(n) for number in range(THREADS)])
    assert world.label(Document.attachment) != "old"
    assert len(world.objects()) == 1


def _replace(world: World, key: Any, label: str) -> None:
    with world.session() as session:
        session.get_one(Document, key).attachment = world.file(label)
        session.commit()


@scenario
def a_stale_row_is_replaced(world: World) -> None:
    """The object to delete is the one in the database, not the one in memory."""
    key = world.save(Document(attachment=world.file("old")))
    with world.session(expire_on_commit=False) as first:
        stale = first.get_one(Document, key)
        first.commit()
        _replace(world, key, "by the second")
        stale.attachment = world.file("by the first")
        first.commit()
    assert world.label(Document.attachment) == "by the first"


@scenario
def a_stale_row_is_cleared_or_deleted(world: World) -> None:
    for change in (lambda _s, row: setattr(row, "attachment", None), Session.delete):
        key = world.save(Document(attachment=world.file("old")))
        with world.session(expire_on_commit=False) as first:
            stale = first.get_one(Document, key)
            first.commit()
            _replace(world, key, "by the second")
            change(first, stale)
            first.commit()
        world.check()
    assert world.objects() == {}


@scenario
def a_stale_list_is_changed(world: World) -> None:
    """The last writer wins the whole list, whichever files it names that are still there."""
    key = world.save(Album(pictures=[world.file("a"), world.file("b")]))
    with world.session(expire_on_commit=False) as first:
        stale = first.get_one(Album, key)
        first.commit()
        with world.session() as second:
            second.get_one(Album, key).pictures.append(world.file("c"))
            second.commit()
        stale.pictures.append(world.file("d"))
        first.commit()
    assert world.label(Album.pictures) == ["a", "b", "d"]


@scenario
def a_stale_list_names_a_file_that_is_gone(world: World) -> None:
    """It cannot come back: the flush says so, and no row names what is not there."""
    key = world.save(Album(pictures=[world.file("a"), world.file("b")]))
    with world.session(expire_on_commit=False) as first:
        stale = first.get_one(Album, key)
        first.commit()
        with world.session() as second:
            album = second.get_one(Album, key)
            album.pictures.pop()
            second.commit()
        stale.pictures.append(world.file("c"))
        with pytest.raises(ObjectNotFoundError):
            first.commit()
        first.rollback()
    assert world.label(Album.pictures) == ["a"]


@servers
def one_new_file_in_two_sessions_of_which_one_is_rolled_back(world: World) -> None:
    for undone in (0, 1):
        file = world.file(f"shared {undone}")
        with world.session() as first, world.session() as second:
            for session in (first, second):
                session.add(Document(attachment=file))
                session.flush()
            for number, session in enumerate((first, second)):
                session.rollback() if number == undone else session.commit()
        world.check()
    assert world.labels(Document.attachment) == ["shared 0", "shared 1"]


@servers
def a_file_of_another_transaction_that_is_rolled_back_in_the_meantime(world: World) -> None:
    with world.session() as first, world.session() as second:
        file = world.file("shared")
        first.add(Document(attachment=file))
        first.flush()
        second.add(Document(attachment=file))
        first.rollback()
        second.commit()
    assert world.labels(Document.attachment) == ["shared"]


@servers
def a_replacement_waits_for_another(world: World) -> None:
    """The second writer learns only while it waits which object it is going to release."""
    key = world.save(Document(attachment=world.file("old")))
    first_flushed, second_started = world.new_event(), world.new_event()

    def first() -> None:
        with world.session() as session:
            session.get_one(Document, key).attachment = world.file("first")
            session.flush()
            first_flushed.set()
            assert second_started.wait(PATIENCE)
            session.commit()

    def second() -> None:
        with world.session() as session:
            document = session.get_one(Document, key)
            assert first_flushed.wait(PATIENCE)
            document.attachment = world.file("second")
            second_started.set()
            session.commit()

    world.at_once(first, second)
    assert world.label(Document.attachment) == "second"


@servers
def a_replacement_waits_for_one_that_is_rolled_back(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    first_flushed, second_started = world.new_event(), world.new_event()

    def first() -> None:
        with world.session() as session:
            session.get_one(Document, key).attachment = world.file("first")
            session.flush()
            first_flushed.set()
            assert second_started.wait(PATIENCE)
            session.rollback()

    def second() -> None:
        with world.session() as session:
            assert first_flushed.wait(PATIENCE)
            document = session.get_one(Document, key)
            document.attachment = world.file("second")
            second_started.set()
            session.commit()

    world.at_once(first, second)
    assert world.label(Document.attachment) == "second"


def _bulk_update(world: World, execute: Callable[..., Any], key: int) -> None:
    execute(update(Document).where(Document.id == key).values(attachment=world.file("bulk")))


def _bulk_clear(_world: World, execute: Callable[..., Any], _key: int) -> None:
    execute(update(Document).where(Document.stars == 0).values(attachment=None))


def _bulk_delete(_world: World, execute: Callable[..., Any], _key: int) -> None:
    execute(delete(Document).where(Document.stars == 0))


def _add_beside(act: Callable[..., None]) -> None:
    def run(world: World) -> None:
        """Some threads replace a row over and over, beside others with bulk statements."""
        keys = [world.save(Document(attachment=world.file(label))) for label in "ab"]

        def replace(number: int) -> None:
            for round_ in range(3):
                world.retrying(lambda r=round_: _replace_if_there(world, keys, f"{number}-{r}"))

        def bulk() -> None:
            for _ in range(3):
                world.retrying(lambda: _execute(world, act, keys[0][0]))

        world.at_once(*[lambda n=number: replace(n) for number in range(3)], bulk, bulk)
        assert len(world.objects()) == len(world.paths(Document.attachment))

    group = rows_read_in_time if act is _bulk_delete else scenario
    group.add(f"replace_beside{act.__name__}", run)


def _replace_if_there(world: World, keys: list[Any], label: str) -> None:
    with world.session() as session:
        for number, key in enumerate(keys):
            document = session.get(Document, key, with_for_update=True)
            if document is not None:
                document.attachment = world.file(f"{label}-{number}")
                session.flush()
        session.commit()


def _execute(world: World, act: Callable[..., None], key: int) -> None:
    with world.engine.begin() as connection:
        act(world, connection.execute, key)


for _act in (_bulk_update, _bulk_clear, _bulk_delete):
    _add_beside(_act)


@servers.where(without=("async",), because="A storage's worker thread has no event loop.")
def a_row_deleted_while_its_replacement_is_stored(world: World) -> None:
    """The row is gone when its UPDATE arrives; the new file belongs to nobody."""
    (key,) = world.save(Document(attachment=world.file("old")))
    flaky = world.make_flaky()

    def delete_it() -> None:
        with world.session() as other:
            other.execute(delete(Document).where(Document.id == key))
            other.commit()

    with world.session(expire_on_commit=False) as session:
        document = session.get_one(Document, key)
        session.commit()
        flaky.before("put", delete_it, at=1)
        document.attachment = world.file("new")
        with pytest.raises(Exception, match="0 were matched"):
            session.commit()
        session.rollback()
    assert world.objects() == {}


@scenario.where(
    only=("postgresql",),
    because="SQLite and MariaDB do not let the row in while others are locked.",
)
def a_row_inserted_between_the_look_and_the_statement(world: World) -> None:
    """Rows are pinned: one that nobody looked at is not deleted with the others."""
    world.save(*[Document(attachment=world.file(label)) for label in "ab"])

    def insert_one(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("DELETE FROM document"):
            world.retrying(lambda: world.save(Document(attachment=world.file("in between"))))

    event.listen(world.engine, "before_cursor_execute", insert_one)
    with world.session() as session:
        session.execute(delete(Document).where(Document.stars == 0))
        session.commit()
    assert world.labels(Document.attachment) == ["in between"]


@scenario.where(
    only=("postgresql",),
    because="SQLite and MariaDB do not let the row in while others are locked.",
)
def a_row_that_matches_only_after_the_look(world: World) -> None:
    world.save(*[Document(stars=stars, attachment=world.file(f"s{stars}")) for stars in (0, 1)])

    def change_one(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("UPDATE document SET attachment"):
            world.database.look("UPDATE document SET stars = 0 WHERE stars = 1")

    event.listen(world.engine, "before_cursor_execute", change_one)
    with world.session() as session:
        session.execute(update(Document).where(Document.stars == 0).values(attachment=None))
        session.commit()
    assert world.labels(Document.attachment) == [None, "s1"]


@servers
def deadlock(world: World) -> None:
    """The database chooses a victim, which loses its files and tries again."""
    keys = [world.save(Document(attachment=world.file(label))) for label in "ab"]
    meeting = world.new_barrier(2)
    victims: list[str] = []

    def work(name: str, order: list[Any]) -> None:
        try:
            _replace_in_order(world, name, order, lambda: meeting.wait(PATIENCE))
        except DBAPIError as error:  # as asyncpg's is called
            if "deadlock" not in str(error).lower():
                raise
            victims.append(name)
            world.retrying(lambda: _replace_in_order(world, name, order, lambda: None))

    world.at_once(
        lambda: work("first", keys),
        lambda: work("second", keys[::-1]),
    )
    assert len(victims) == 1
    assert world.labels(Document.attachment) == [f"{victims[0]}-{n}" for n in _numbers(victims[0])]


def _numbers(name: str) -> tuple[int, int]:
    return (0, 1) if name == "first" else (1, 0)


def _replace_in_order(
    world: World, name: str, order: list[Any], meet: Callable[[], object]
) -> None:
    with world.session() as session:
        for number, key in enumerate(order):
            session.get_one(Document, key).attachment = world.file(f"{name}-{number}")
            session.flush()
            if number == 0:
                meet()
        session.commit()


@servers
def deadlock_by_bare_statements_whose_victim_is_left_alone(world: World) -> None:
    keys = [world.save(Document(attachment=world.file(label)))[0] for label in "ab"]
    meeting = world.new_barrier(2)

    def work(name: str, order: list[int]) -> str:
        try:
            with world.engine.begin() as connection:
                for number, key in enumerate(order):
                    file = world.file(f"{name}-{number}")
                    statement = update(Document).where(Document.id == key)
                    connection.execute(statement.values(attachment=file))
                    if number == 0:
                        meeting.wait(PATIENCE)
        except DBAPIError as error:
            if "deadlock" not in str(error).lower():
                raise
            return ""
        return name

    winners = world.at_once(lambda: work("first", keys), lambda: work("second", keys[::-1]))
    (winner,) = filter(None, winners)
    assert world.labels(Document.attachment) == [f"{winner}-{n}" for n in _numbers(winner)]


@scenario.where(only=("mariadb",), because="PostgreSQL refuses all that follows an error.")
def the_victim_of_a_deadlock_goes_on_and_commits(world: World) -> None:
    """MariaDB has undone its whole transaction; only what follows is committed."""
    keys = [world.save(Document(attachment=world.file(label)))[0] for label in "ab"]
    meeting = world.new_barrier(2)

    def work(name: str, order: list[int]) -> bool:
        with world.engine.begin() as connection:
            connection.execute(insert(Document).values(attachment=world.file(f"{name} before")))
            try:
                for number, key in enumerate(order):
                    file = world.file(f"{name}-{number}")
                    statement = update(Document).where(Document.id == key)
                    connection.execute(statement.values(attachment=file))
                    if number == 0:
                        meeting.wait(PATIENCE)
            except OperationalError:
                connection.execute(insert(Document).values(attachment=world.file(f"{name} after")))
                return True
        return False

    was_victim = world.at_once(lambda: work("first", keys), lambda: work("second", keys[::-1]))
    assert sorted(was_victim) == [False, True]
    victim, winner = ("first", "second") if was_victim[0] else ("second", "first")
    labels = set(world.labels(Document.attachment))
    assert labels == {
        f"{winner}-0",
        f"{winner}-1",
        f"{winner} before",
        f"{victim} after",
    }


@servers
def a_lock_timeout_inside_a_transaction_that_goes_on(world: World) -> None:
    """MariaDB undoes only the statement that waited too long; PostgreSQL the transaction."""
    (key,) = world.save(Document(attachment=world.file("old")))
    setting = {
        "postgresql": "SET LOCAL lock_timeout = '50ms'",
        "mariadb": "SET SESSION innodb_lock_wait_timeout = 1",
    }[world.database.name]
    with world.session() as holder, world.engine.connect() as connection:
        holder.get_one(Document, key).attachment = world.file("by the holder")
        holder.flush()
        connection.exec_driver_sql(setting)
        connection.execute(insert(Document).values(attachment=world.file("by the waiter")))
        with pytest.raises(DBAPIError, match=r"(?i)lock.* timeout"):
            connection.execute(
                update(Document).where(Document.id == key).values(attachment=world.file("lost"))
            )
        connection.commit()
        connection.invalidate()
        holder.commit()
    expected = ["by the holder"]
    if world.database.name == "mariadb":
        expected.append("by the waiter")
    assert world.labels(Document.attachment) == expected


@scenario
def one_session_handed_from_thread_to_thread(world: World) -> None:
    """Frames belong to connections, not to threads."""
    session = world.session()

    def start() -> None:
        session.add(Document(attachment=world.file("first")))
        session.flush()

    world.at_once(start)
    session.add(Document(attachment=world.file("second")))
    session.flush()
    world.at_once(session.rollback)
    world.check()
    world.at_once(start)
    session.commit()
    session.close()
    assert world.labels(Document.attachment) == ["first"]


@scenario
def many_transactions_on_two_pooled_connections(world: World) -> None:
    engine = world.new_engine(pool_size=2, max_overflow=0, pool_timeout=PATIENCE * 2)

    def work(number: int) -> None:
        for round_ in range(3):
            world.retrying(lambda r=round_: _insert_or_lose(world, engine, f"{number}-{r}"))

    world.at_once(*[lambda n=number: work(n) for number in range(4)])
    kept = [f"{number}-{round_}" for number in range(4) for round_ in (0, 2)]
    assert sorted(world.labels(Document.attachment)) == kept


def _insert_or_lose(world: World, engine: Any, label: str) -> None:
    with world.session(engine) as session:
        session.add(Document(attachment=world.file(label)))
        session.flush()
        if not label.endswith("1"):
            session.commit()


@scenario
def readers_beside_writers_never_meet_a_missing_object(world: World) -> None:
    """An object goes after the commit, so a reader may be late; it never gets wrong bytes."""
    key = world.save(Document(attachment=world.file("version-0")))
    stop = world.new_event()

    def write() -> None:
        for number in range(1, 6):
            world.retrying(lambda n=number: _replace(world, key, f"version-{n}"))
        stop.set()

    def read() -> int:
        opened = 0
        while not stop.is_set():
            with world.session() as session:
                file = session.scalars(select(Document.attachment)).one()
                session.commit()
            try:
                assert world.opens(file) == file.filename.removesuffix(".txt")
                opened += 1
            except FileNotFoundError:
                continue
        return opened

    world.at_once(write, read)
    assert world.label(Document.attachment) == "version-5"
