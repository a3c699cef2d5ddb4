"""All the ways in which a transaction can end, wanted or not."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable, DropTable

from .models import Document, Strict, Versioned
from .proxy import Moment, Proxy
from .table import Group
from .world import PATIENCE, World

scenario = Group(name="end_of_transaction")
servers = scenario.where(
    only=("postgresql", "mariadb"),
    without=("async",),
    because="SQLite has no server; the proxy and the killing speak to blocking drivers.",
)
deferring = scenario.where(
    only=("sqlite", "postgresql"), because="MariaDB checks all constraints at once."
)
postgresql = scenario.where(only=("postgresql",), because="Only PostgreSQL behaves like this.")
two_phase = scenario.where(
    only=("postgresql", "mariadb"),
    without=("async",),
    because="SQLite and asyncpg have no two-phase commit.",
)
blocking = scenario.where(
    without=("async",), because="Under asyncio SQLAlchemy itself asks for an explicit close."
)


class Changed(Exception):
    """What a program raises while its session is at work."""


def _started(world: World) -> Any:
    """Commit a row to replace and a row to delete."""
    return world.save(
        Document(title="replaced", attachment=world.file("old")),
        Document(title="deleted", attachment=world.file("gone")),
        Document(title="cleared", attachment=world.file("cleared")),
    )


def _change_everything(world: World, session: Session) -> None:
    """Insert, replace, delete and clear, and flush all of it."""
    by_title = {row.title: row for row in session.scalars(select(Document))}
    session.add(Document(title="inserted", attachment=world.file("inserted")))
    by_title["replaced"].attachment = world.file("new")
    session.delete(by_title["deleted"])
    by_title["cleared"].attachment = None
    session.flush()
    assert len(world.objects()) == 5


UNCHANGED = ["old", "gone", "cleared"]
CHANGED = ["new", None, "inserted"]


def _is_unchanged(world: World) -> bool:
    world.check()
    return world.labels(Document.attachment) == UNCHANGED


@scenario
def committed(world: World) -> None:
    _started(world)
    with world.session() as session:
        _change_everything(world, session)
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


@scenario
def committed_by_a_begin_block(world: World) -> None:
    _started(world)
    with world.session() as session, session.begin():
        _change_everything(world, session)
    assert world.labels(Document.attachment) == CHANGED


@scenario
def rolled_back(world: World) -> None:
    _started(world)
    with world.session() as session:
        _change_everything(world, session)
        session.rollback()
        assert _is_unchanged(world)
        documents = session.scalars(select(Document).order_by(Document.id))
        assert [world.opens(row.attachment) for row in documents] == UNCHANGED


@scenario
def rolled_back_before_the_flush(world: World) -> None:
    _started(world)
    with world.session() as session:
        session.add(Document(attachment=world.file("never stored")))
        session.rollback()
        session.commit()
    assert _is_unchanged(world)


@scenario
def session_left_by_an_exception(world: World) -> None:
    _started(world)
    with pytest.raises(Changed), world.session() as session:
        _change_everything(world, session)
        raise Changed
    assert _is_unchanged(world)


@scenario
def begin_block_left_by_an_exception(world: World) -> None:
    _started(world)
    with pytest.raises(Changed), world.session() as session, session.begin():
        _change_everything(world, session)
        raise Changed
    assert _is_unchanged(world)


def _ways_to_end() -> dict[str, Callable[[Session], object]]:
    return {
        "closed": Session.close,
        "reset": Session.reset,
        "invalidated": Session.invalidate,
        "bare_connection_rolled_back": lambda session: session.connection().rollback(),
        "connection_closed_below_the_session": lambda session: session.connection().close(),
    }


def _add_way(name: str, end: Callable[[Session], object]) -> None:
    def run(world: World) -> None:
        _started(world)
        session = world.session()
        _change_everything(world, session)
        end(session)
        session.close()
        assert _is_unchanged(world)

    def then_reused(world: World) -> None:
        _started(world)
        session = world.session()
        _change_everything(world, session)
        end(session)
        session.close()
        session.add(Document(title="unrelated", attachment=world.file("unrelated")))
        session.commit()
        assert world.labels(Document.attachment) == [*UNCHANGED, "unrelated"]
        session.close()

    group = blocking if name == "invalidated" else scenario
    group.add(f"{name}_without_a_commit", run)
    group.add(f"{name}_without_a_commit_then_reused", then_reused)


for _name, _end in _ways_to_end().items():
    _add_way(_name, _end)


@scenario
def committed_then_rolled_back_then_committed(world: World) -> None:
    """One session, one connection of the pool, three transactions."""
    with world.session() as session:
        document = Document(attachment=world.file("first"))
        session.add(document)
        session.commit()
        document.attachment = world.file("second")
        session.flush()
        session.rollback()
        world.check()
        document.attachment = world.file("third")
        session.commit()
    assert world.label(Document.attachment) == "third"


@scenario
def nothing_to_commit(world: World) -> None:
    _started(world)
    with world.session() as session:
        session.commit()
        session.scalars(select(Document)).all()
        session.commit()
        session.rollback()
    assert _is_unchanged(world)


@scenario
def unique_constraint_fails_in_the_commit(world: World) -> None:
    world.save(Document(title="taken", attachment=world.file("old")))
    with world.session() as session:
        session.add(Document(title="free", attachment=world.file("first")))
        session.add(Document(title="taken", attachment=world.file("second")))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        world.check()
        session.add(Document(title="other", attachment=world.file("third")))
        session.commit()
    assert world.labels(Document.attachment) == ["old", "third"]


@scenario
def unique_constraint_fails_while_replacing(world: World) -> None:
    world.save(Document(title="taken", attachment=world.file("old")))
    key = world.save(Document(title="free", attachment=world.file("kept")))
    with world.session() as session:
        document = session.get_one(Document, key)
        document.title, document.attachment = "taken", world.file("new")
        with pytest.raises(IntegrityError):
            session.commit()
    assert world.labels(Document.attachment) == ["old", "kept"]


@deferring
def deferred_constraint_fails_at_the_commit(world: World) -> None:
    _started(world)
    with world.session() as session:
        _change_everything(world, session)
        session.add(Strict(document_id=4711, proof=world.file("proof")))
        session.flush()
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        assert _is_unchanged(world)
        session.add(Strict(proof=world.file("proof")))
        session.commit()
    assert world.label(Strict.proof) == "proof"


@deferring
def session_closed_after_a_commit_that_failed(world: World) -> None:
    """SQLite's transaction is still open then, and its connection goes back to the pool."""
    _started(world)
    session = world.session()
    _change_everything(world, session)
    session.add(Strict(document_id=4711, proof=world.file("proof")))
    with pytest.raises(IntegrityError):
        session.commit()
    session.close()
    assert _is_unchanged(world)
    world.save(Document(attachment=world.file("after")))
    assert world.labels(Document.attachment) == [*UNCHANGED, "after"]


@deferring
def connection_closed_after_a_commit_that_failed(world: World) -> None:
    connection = world.engine.connect()
    connection.execute(insert(Strict).values(document_id=4711, proof=world.file("proof")))
    with pytest.raises(IntegrityError):
        connection.commit()
    connection.close()
    world.check()
    world.save(Document(attachment=world.file("after")))
    assert world.labels(Strict.proof) == []


@deferring
def begin_block_whose_commit_fails(world: World) -> None:
    _started(world)
    with pytest.raises(IntegrityError), world.session() as session, session.begin():
        _change_everything(world, session)
        session.add(Strict(document_id=4711, proof=world.file("proof")))
    assert _is_unchanged(world)


@postgresql
def serialization_failure_at_the_commit(world: World) -> None:
    _started(world)
    engine = world.new_engine(isolation_level="SERIALIZABLE")
    with world.session(engine) as first, world.session(engine) as second:
        for number, session in enumerate((first, second)):
            assert len(session.scalars(select(Document)).all()) == 3
            session.add(Document(title=f"writer {number}", attachment=world.file(f"w{number}")))
            session.flush()
        first.commit()
        with pytest.raises(DBAPIError, match="serialize"):
            second.commit()
        second.rollback()
        assert world.labels(Document.attachment) == [*UNCHANGED, "w0"]
        world.check()
        second.add(Document(title="again", attachment=world.file("again")))
        second.commit()
    assert world.labels(Document.attachment) == [*UNCHANGED, "w0", "again"]


@postgresql
def silent_rollback_after_a_swallowed_error(world: World) -> None:
    """The COMMIT of a transaction in which something failed is answered with ROLLBACK."""
    _started(world)
    with world.session() as session:
        _change_everything(world, session)
        connection = session.connection()
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT nonsense")
        session.commit()
        assert _is_unchanged(world)
        session.add(Document(attachment=world.file("after")))
        session.commit()
    assert world.labels(Document.attachment) == [*UNCHANGED, "after"]


@postgresql
def silent_rollback_of_a_bare_connection(world: World) -> None:
    with world.engine.connect() as connection:
        connection.execute(insert(Document).values(attachment=world.file("lost")))
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT nonsense")
        connection.commit()
    world.check()
    assert world.labels(Document.attachment) == []


@postgresql
def swallowed_error_inside_a_savepoint(world: World) -> None:
    """The savepoint takes the failure with it; the transaction around it is sound."""
    _started(world)
    with world.session() as session:
        _change_everything(world, session)
        savepoint = session.begin_nested()
        session.add(Document(title="inner", attachment=world.file("inner")))
        session.flush()
        with pytest.raises(DBAPIError):
            session.connection().exec_driver_sql("SELECT nonsense")
        savepoint.rollback()
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


@scenario
def a_swallowed_error_of_an_unrelated_statement(world: World) -> None:
    _started(world)
    with world.session() as session:
        _change_everything(world, session)
        with pytest.raises(DBAPIError), session.begin_nested():
            session.connection().exec_driver_sql("SELECT nonsense FROM nowhere")
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


def _session_on_a_line_that_can_be_cut(world: World, proxy: Proxy) -> Session:
    url = world.database.url.set(host="127.0.0.1", port=proxy.port)
    return world.session(world.new_engine(url=url))


def _add_cut(moment: Moment, then: str, end: Callable[[Session], object]) -> None:
    def run(world: World) -> None:
        """Nobody knows whether the COMMIT came through, so nothing may be deleted."""
        _started(world)
        url = world.database.url
        with Proxy(url.host, url.port) as proxy:
            session = _session_on_a_line_that_can_be_cut(world, proxy)
            _change_everything(world, session)
            everything = world.objects()
            proxy.cut_commit(moment)
            with pytest.raises(DBAPIError):
                session.commit()
            if moment == "after":
                assert proxy.committed.wait(PATIENCE)
            end(session)
            session.close()
        gc.collect()
        expected = UNCHANGED if moment == "before" else CHANGED
        assert world.labels(Document.attachment) == expected
        assert world.objects() == everything
        world.keep(everything)

    servers.add(f"line_cut_{moment}_the_server_saw_the_commit_then_{then}", run)


for _moment in ("before", "after"):
    for _name, _end in {"closed": Session.close, "rolled_back": Session.rollback}.items():
        _add_cut(_moment, _name, _end)


@servers
def the_session_works_again_after_a_line_cut_in_mid_commit(world: World) -> None:
    url = world.database.url
    with Proxy(url.host, url.port) as proxy:
        session = _session_on_a_line_that_can_be_cut(world, proxy)
        session.add(Document(title="unknown", attachment=world.file("unknown")))
        session.flush()
        world.keep(world.objects())
        proxy.cut_commit("before")
        with pytest.raises(DBAPIError):
            session.commit()
        session.rollback()
        session.add(Document(title="after", attachment=world.file("after")))
        session.commit()
        session.close()
    assert world.labels(Document.attachment) == ["after"]


@servers
def bare_connection_cut_in_mid_commit(world: World) -> None:
    url = world.database.url
    with Proxy(url.host, url.port) as proxy:
        engine = world.new_engine(url=url.set(host="127.0.0.1", port=proxy.port))
        connection = engine.connect()
        connection.execute(insert(Document).values(attachment=world.file("committed")))
        proxy.cut_commit("after")
        with pytest.raises(DBAPIError):
            connection.commit()
        assert proxy.committed.wait(PATIENCE)
        connection.close()
    assert world.labels(Document.attachment) == ["committed"]


def _kill(world: World, session: Session) -> None:
    database: Any = world.database
    number = session.connection().scalar(text(f"SELECT {database.connection_id}"))
    database.kill(number)


@servers
def killed_in_mid_transaction_and_rolled_back(world: World) -> None:
    """The server is certain to have rolled back: what was stored goes, what is named stays."""
    _started(world)
    session = world.session()
    _change_everything(world, session)
    _kill(world, session)
    with pytest.raises(DBAPIError):
        session.execute(text("SELECT 1"))
    session.rollback()
    assert _is_unchanged(world)
    session.add(Document(title="after", attachment=world.file("after")))
    session.commit()
    assert world.labels(Document.attachment) == [*UNCHANGED, "after"]


@servers
def killed_in_mid_transaction_and_closed(world: World) -> None:
    _started(world)
    session = world.session()
    _change_everything(world, session)
    _kill(world, session)
    with suppress(DBAPIError):
        session.close()
    assert _is_unchanged(world)


@servers
def killed_while_a_flush_is_at_work(world: World) -> None:
    _started(world)
    session = world.session()
    session.connection()
    _kill(world, session)
    session.add(Document(attachment=world.file("stored before the line is found dead")))
    with pytest.raises(DBAPIError):
        session.flush()
    session.rollback()
    assert _is_unchanged(world)
    session.close()


@servers
def killed_just_before_the_commit(world: World) -> None:
    """A COMMIT that finds the line dead may have happened, so nothing is deleted.

    Where the database is asked what it has done or noted, that finds it out before, for certain.
    """
    _started(world)
    session = world.session()
    _change_everything(world, session)
    everything = world.objects()
    _kill(world, session)
    with pytest.raises(DBAPIError):
        session.commit()
    session.close()
    assert world.labels(Document.attachment) == UNCHANGED
    if world.objects() == everything:
        world.keep(everything)
    else:
        assert _is_unchanged(world)


@servers
def killed_inside_a_savepoint(world: World) -> None:
    _started(world)
    session = world.session()
    _change_everything(world, session)
    session.begin_nested()
    session.add(Document(title="inner", attachment=world.file("inner")))
    session.flush()
    _kill(world, session)
    with pytest.raises(DBAPIError):
        session.execute(text("SELECT 1"))
    session.rollback()
    session.rollback()
    session.close()
    assert _is_unchanged(world)


def _autocommit(world: World) -> Session:
    return world.session(world.engine.execution_options(isolation_level="AUTOCOMMIT"))


@scenario
def autocommit_changes_and_commits(world: World) -> None:
    _started(world)
    with _autocommit(world) as session:
        _change_everything(world, session)
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


@scenario
def autocommit_inserts_and_rolls_back(world: World) -> None:
    """Such a rollback undoes nothing: the row is there, and so is its file."""
    with _autocommit(world) as session:
        session.add(Document(attachment=world.file("committed at once")))
        session.flush()
        session.rollback()
        world.check()
    assert world.labels(Document.attachment) == ["committed at once"]


@scenario
def autocommit_changes_and_rolls_back(world: World) -> None:
    """No row may lose its file; what was released may stay, as nobody ended a transaction."""
    _started(world)
    before = set(world.objects())
    with _autocommit(world) as session:
        _change_everything(world, session)
        session.rollback()
    assert world.labels(Document.attachment) == CHANGED
    world.keep(before & set(world.objects()))


@scenario
def autocommit_by_a_bare_connection(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            update(Document).where(Document.id == key[0]).values(attachment=world.file("new"))
        )
        connection.execute(insert(Document).values(attachment=world.file("other")))
        connection.commit()
    assert world.labels(Document.attachment) == ["new", "other"]


@scenario
def autocommit_before_and_after_real_transactions(world: World) -> None:
    """The pooled connection that was in AUTOCOMMIT is in a transaction the next time."""
    with _autocommit(world) as session:
        session.add(Document(attachment=world.file("first")))
        session.commit()
    with world.session() as session:
        session.add(Document(attachment=world.file("second")))
        session.flush()
        session.rollback()
        world.check()
    with _autocommit(world) as session:
        session.add(Document(attachment=world.file("third")))
        session.commit()
    assert world.labels(Document.attachment) == ["first", "third"]


@scenario
def autocommit_switched_on_between_two_transactions(world: World) -> None:
    with world.engine.connect() as connection:
        connection.execute(insert(Document).values(attachment=world.file("first")))
        connection.commit()
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(insert(Document).values(attachment=world.file("second")))
        connection.rollback()
        world.check()
    assert world.labels(Document.attachment) == ["first", "second"]


implicit = scenario.where(only=("mariadb",), because="MariaDB's DDL commits by itself.")


@implicit
def ddl_that_commits_what_came_before_it(world: World) -> None:
    _started(world)
    for name, ddl in {
        "element": CreateTable(Table("scratch", MetaData(), Column("id", Integer))),
        "element again": DropTable(Table("scratch", MetaData(), Column("id", Integer))),
        "text": text("CREATE TABLE scratch (id INTEGER)"),
        "text again": text("  -- a comment first\n  drop table scratch"),
        "truncate": text("TRUNCATE TABLE item"),
    }.items():
        with world.session() as session:
            session.add(Document(title=name, attachment=world.file(name)))
            session.flush()
            session.execute(ddl)
            session.add(Document(title=f"{name} lost", attachment=world.file("lost")))
            session.flush()
            session.rollback()
        world.check()
    expected = [*UNCHANGED, "element", "element again", "text", "text again", "truncate"]
    assert world.labels(Document.attachment) == expected


@implicit
def driver_sql_that_commits_what_came_before_it(world: World) -> None:
    with world.engine.connect() as connection:
        connection.execute(insert(Document).values(attachment=world.file("committed")))
        connection.exec_driver_sql("CREATE TABLE scratch (id INTEGER)")
        connection.rollback()
        connection.exec_driver_sql("DROP TABLE scratch")
    assert world.labels(Document.attachment) == ["committed"]


@two_phase
def two_phase_committed(world: World) -> None:
    _started(world)
    with world.session(twophase=True) as session:
        _change_everything(world, session)
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


@two_phase
def two_phase_prepared_and_committed(world: World) -> None:
    _started(world)
    with world.session(twophase=True) as session:
        _change_everything(world, session)
        session.prepare()
        assert len(world.objects()) == 5
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


@two_phase
def two_phase_rolled_back(world: World) -> None:
    _started(world)
    with world.session(twophase=True) as session:
        _change_everything(world, session)
        session.rollback()
        assert _is_unchanged(world)


@two_phase
def two_phase_prepared_and_rolled_back(world: World) -> None:
    _started(world)
    with world.session(twophase=True) as session:
        _change_everything(world, session)
        session.prepare()
        session.rollback()
        assert _is_unchanged(world)


@two_phase
def two_phase_closed(world: World) -> None:
    _started(world)
    with world.session(twophase=True) as session:
        _change_everything(world, session)
    assert _is_unchanged(world)


@two_phase
def two_phase_prepared_and_closed(world: World) -> None:
    _started(world)
    with world.session(twophase=True) as session:
        _change_everything(world, session)
        session.prepare()
    assert _is_unchanged(world)


@two_phase
def two_phase_core_connection(world: World) -> None:
    for number, end in enumerate(("commit", "rollback", "close")):
        with world.engine.connect() as connection:
            transaction = connection.begin_twophase()
            connection.execute(
                insert(Document).values(title=str(number), attachment=world.file(end))
            )
            if end != "close":
                transaction.prepare()
            getattr(transaction, end)()
        world.check()
    assert world.labels(Document.attachment) == ["commit"]


@two_phase
def two_phase_with_a_savepoint_rolled_back(world: World) -> None:
    _started(world)
    with world.session(twophase=True) as session:
        _change_everything(world, session)
        with session.begin_nested() as savepoint:
            session.add(Document(title="inner", attachment=world.file("inner")))
            session.flush()
            savepoint.rollback()
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


@blocking
def session_garbage_collected(world: World) -> None:
    _started(world)
    session = world.session()
    _change_everything(world, session)
    del session
    gc.collect()
    world.eventually(lambda: len(world.objects()) == 3)
    assert _is_unchanged(world)


@blocking
def connection_garbage_collected(world: World) -> None:
    connection = world.engine.connect()
    connection.execute(insert(Document).values(attachment=world.file("lost")))
    assert len(world.objects()) == 1
    del connection
    gc.collect()
    world.eventually(lambda: world.objects() == {})


@blocking
def detached_connection_garbage_collected(world: World) -> None:
    connection = world.engine.connect()
    connection.detach()
    connection.execute(insert(Document).values(attachment=world.file("lost")))
    assert len(world.objects()) == 1
    of_the_driver: Any = connection.connection.dbapi_connection
    del connection
    gc.collect()
    world.eventually(lambda: world.objects() == {})
    of_the_driver.close()


@scenario
def an_error_in_a_hook_after_the_flush(world: World) -> None:
    _started(world)
    with world.session() as session:

        def fail(*_arguments: Any) -> None:
            raise Changed

        event.listen(session, "after_flush", fail)
        with pytest.raises(Changed):
            _change_everything(world, session)
        session.rollback()
        assert _is_unchanged(world)


@scenario
def an_error_in_a_hook_before_the_commit(world: World) -> None:
    _started(world)
    with pytest.raises(Changed), world.session() as session:

        def fail(*_arguments: Any) -> None:
            raise Changed

        event.listen(session, "before_commit", fail)
        _change_everything(world, session)
        session.commit()
    assert _is_unchanged(world)


@scenario
def an_error_in_a_hook_after_the_commit(world: World) -> None:
    """The database has committed already, whatever the hook says."""
    _started(world)
    with pytest.raises(Changed), world.session() as session:

        def fail(*_arguments: Any) -> None:
            raise Changed

        event.listen(session, "after_commit", fail)
        _change_everything(world, session)
        session.commit()
    assert world.labels(Document.attachment) == CHANGED


@scenario
def a_stale_row_noticed_by_its_version(world: World) -> None:
    key = world.save(Versioned(body=world.file("old")))
    with world.session(expire_on_commit=False) as first:
        stale = first.get_one(Versioned, key)
        first.commit()
        with world.session() as second:
            second.get_one(Versioned, key).body = world.file("newer")
            second.commit()
        stale.body = world.file("too late")
        with pytest.raises(Exception, match="expected to update 1 row"):
            first.commit()
        first.rollback()
    assert world.label(Versioned.body) == "newer"


@blocking.where(without=("static",), because="There is no pool of several connections.")
def a_pool_connection_used_by_one_transaction_after_another(world: World) -> None:
    engine = world.new_engine(pool_size=1, max_overflow=0)
    for number in range(3):
        with world.session(engine) as session:
            session.add(Document(attachment=world.file(f"lost {number}")))
            session.flush()
        with world.session(engine) as session:
            session.add(Document(attachment=world.file(f"kept {number}")))
            session.commit()
        world.check()
    assert world.labels(Document.attachment) == ["kept 0", "kept 1", "kept 2"]


@scenario
def bare_connection_without_a_commit(world: World) -> None:
    with world.engine.connect() as connection:
        connection.execute(insert(Document).values(attachment=world.file("lost")))
        assert len(world.objects()) == 1
    assert world.objects() == {}


@scenario
def bare_connection_that_commits_as_it_goes(world: World) -> None:
    """Each transaction is over before anything of the next one is counted."""
    with world.engine.connect() as connection:
        for number in range(3):
            connection.execute(insert(Document).values(attachment=world.file(f"kept {number}")))
            connection.commit()
            connection.execute(insert(Document).values(attachment=world.file("lost")))
            connection.rollback()
            connection.execute(
                update(Document).where(Document.stars == 0).values(stars=1, attachment=None)
                if number == 0
                else insert(Document).values(attachment=world.file(f"also kept {number}"))
            )
            connection.commit()
    expected = [None, "kept 1", "also kept 1", "kept 2", "also kept 2"]
    assert world.labels(Document.attachment) == expected


@scenario
def bare_connection_invalidated(world: World) -> None:
    with world.engine.connect() as connection:
        connection.execute(insert(Document).values(attachment=world.file("lost")))
        connection.invalidate()
    assert world.objects() == {}


@scenario.where(
    without=("psycopg",), because="SQLAlchemy does not close a detached connection of psycopg's."
)
def bare_connection_detached_from_its_pool(world: World) -> None:
    with world.engine.connect() as connection:
        connection.detach()
        connection.execute(insert(Document).values(attachment=world.file("lost")))
    assert world.objects() == {}
    with world.engine.connect() as connection:
        connection.detach()
        connection.execute(insert(Document).values(attachment=world.file("kept")))
        connection.commit()
    assert world.labels(Document.attachment) == ["kept"]
