"""Sessions in somebody else's transaction, over several databases, and in a test suite."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Delete,
    Engine,
    Insert,
    Update,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SAWarning
from sqlalchemy.ext.horizontal_shard import ShardedSession
from sqlalchemy.orm import Session, sessionmaker

from .models import Album, Document, Product, Strict
from .table import Group
from .world import World

scenario = Group(
    name="joined_sessions",
    without=("legacy",),
    because="pysqlite's own transaction mode does not begin before a SAVEPOINT.",
)

MODES = ("conditional_savepoint", "rollback_only", "control_fully", "create_savepoint")


def _work(world: World, session: Session) -> None:
    document = session.scalars(select(Document).where(Document.title == "it")).one()
    document.attachment = world.file("new")
    session.add(Document(attachment=world.file("inserted")))
    session.flush()


CHANGED = ["new", "inserted"]
UNCHANGED = ["old"]


def _add_mode(mode: Any, end: str, outer_end: str) -> None:
    def run(world: World) -> None:
        world.save(Document(title="it", attachment=world.file("old")))
        with world.engine.connect() as connection:
            outer = connection.begin()
            session = world.session(connection, join_transaction_mode=mode)
            _work(world, session)
            getattr(session, end)()
            session.close()
            # Where the session ended the whole transaction there is none left to end.
            if outer.is_active:
                getattr(outer, outer_end)()
        assert world.labels(Document.attachment) == _expected(mode, end, outer_end)

    scenario.add(f"{mode}_{end}_in_an_outer_{outer_end}", run)


def _expected(mode: str, end: str, outer_end: str) -> list[str]:
    """Return the rows that the documentation of ``join_transaction_mode`` promises."""
    kept = end == "commit" if mode == "control_fully" else end == "commit" and outer_end == "commit"
    # To close a session neither commits nor rolls back a transaction that is not its own.
    if end == "close" and mode in ("conditional_savepoint", "rollback_only"):
        kept = outer_end == "commit"
    return CHANGED if kept else UNCHANGED


for _mode, _end, _outer_end in product(
    MODES, ("commit", "rollback", "close"), ("commit", "rollback")
):
    _add_mode(_mode, _end, _outer_end)


def _add_outer_savepoint(mode: Any, end: str, savepoint_end: str) -> None:
    def run(world: World) -> None:
        """The session joins while a savepoint of the connection is open."""
        world.save(Document(title="it", attachment=world.file("old")))
        with world.engine.connect() as connection, connection.begin():
            connection.execute(insert(Document).values(attachment=world.file("outer")))
            savepoint = connection.begin_nested()
            session = world.session(connection, join_transaction_mode=mode)
            _work(world, session)
            getattr(session, end)()
            session.close()
            if savepoint.is_active:
                getattr(savepoint, savepoint_end)()
        kept = end == savepoint_end == "commit"
        assert sorted(world.labels(Document.attachment)) == sorted(
            ["outer", *(CHANGED if kept else UNCHANGED)]
        )

    scenario.add(f"{mode}_{end}_in_an_outer_savepoint_{savepoint_end}", run)


for _mode, _end, _savepoint_end in product(
    ("conditional_savepoint", "create_savepoint"), ("commit", "rollback"), ("commit", "rollback")
):
    _add_outer_savepoint(_mode, _end, _savepoint_end)


@scenario
def two_sessions_on_one_connection(world: World) -> None:
    for outer_end in ("rollback", "commit"):
        with world.engine.connect() as connection:
            outer = connection.begin()
            for name in ("first", "second"):
                with world.session(connection) as session:
                    session.add(Document(attachment=world.file(name)))
                    session.commit()
            assert len(world.objects()) == 2
            getattr(outer, outer_end)()
        world.check()
    assert world.labels(Document.attachment) == ["first", "second"]


@scenario
def one_session_moves_what_another_released(world: World) -> None:
    key = world.save(Product(front=world.file("front")))
    for outer_end in ("rollback", "commit"):
        with world.engine.connect() as connection:
            outer = connection.begin()
            with world.session(connection, expire_on_commit=False) as first:
                row = first.get_one(Product, key)
                file, row.front = row.front, None
                first.commit()
            with world.session(connection) as second:
                second.get_one(Product, key).back = file
                second.commit()
            getattr(outer, outer_end)()
        world.check()
    assert (world.label(Product.front), world.label(Product.back)) == (None, "front")


@scenario
def session_and_bare_statements_in_one_transaction(world: World) -> None:
    key = world.save(Document(title="it", attachment=world.file("old")))
    with world.engine.begin() as connection:
        with world.session(connection) as session:
            _work(world, session)
            session.commit()
        connection.execute(
            update(Document).where(Document.id == key[0]).values(attachment=world.file("newest"))
        )
    assert world.labels(Document.attachment) == ["newest", "inserted"]


@scenario
def joined_session_used_for_many_commits(world: World) -> None:
    world.save(Document(title="it", attachment=world.file("old")))
    with world.engine.connect() as connection:
        outer = connection.begin()
        with world.session(connection, join_transaction_mode="create_savepoint") as session:
            document = session.scalars(select(Document)).one()
            for number in range(3):
                document.attachment = world.file(f"version {number}")
                session.commit()
                assert world.opens(document.attachment) == f"version {number}"
        outer.rollback()
    assert world.labels(Document.attachment) == ["old"]


@contextmanager
def _recipe(world: World) -> Any:
    """SQLAlchemy's own recipe for test suites: an outer transaction that is always undone."""
    connection = world.engine.connect()
    transaction = connection.begin()
    session = world.session(connection, join_transaction_mode="create_savepoint")
    try:
        yield session
    finally:
        session.close()
        transaction.rollback()
        connection.close()


def _commits(world: World, session: Session) -> None:
    session.add(Document(attachment=world.file("committed in a test")))
    session.commit()
    assert len(session.scalars(select(Document)).all()) == 3


def _rolls_back(world: World, session: Session) -> None:
    session.add(Document(attachment=world.file("kept")))
    session.commit()
    session.add(Document(attachment=world.file("rolled back in a test")))
    session.flush()
    session.rollback()
    labels = [world.opens(row.attachment) for row in session.scalars(select(Document))]
    assert sorted(labels) == ["kept", "old", "other"]


def _replaces_and_deletes(world: World, session: Session) -> None:
    first, second = session.scalars(select(Document).order_by(Document.id))
    first.attachment = world.file("replaced in a test")
    session.delete(second)
    session.commit()
    assert world.opens(session.scalars(select(Document)).one().attachment) == "replaced in a test"


def _fails(world: World, session: Session) -> None:
    session.add(Document(title="taken", attachment=world.file("first")))
    session.commit()
    session.add(Document(title="taken", attachment=world.file("second")))
    with pytest.raises(IntegrityError):
        session.commit()
    session.rollback()
    session.add(Document(title="free", attachment=world.file("third")))
    session.commit()


def _uses_savepoints(world: World, session: Session) -> None:
    with session.begin_nested() as savepoint:
        session.add(Document(attachment=world.file("inner")))
        savepoint.rollback()
    with session.begin_nested():
        session.add(Document(attachment=world.file("other inner")))
    session.commit()


TESTS: tuple[Callable[[World, Session], None], ...] = (
    _commits,
    _rolls_back,
    _replaces_and_deletes,
    _fails,
    _uses_savepoints,
)


def _add_test(test: Callable[[World, Session], None]) -> None:
    def run(world: World) -> None:
        world.save(
            Document(title="it", attachment=world.file("old")),
            Document(attachment=world.file("other")),
        )
        for _ in range(2):
            with _recipe(world) as session:
                test(world, session)
            world.check()
        assert world.labels(Document.attachment) == ["old", "other"]

    scenario.add(f"pytest_recipe_{test.__name__.strip('_')}", run)


for _test in TESTS:
    _add_test(_test)


# --- several databases in one session


def _two_databases(world: World) -> tuple[Any, Any]:
    """Return a session over two databases; documents live in the first, albums in the second."""
    second = world.add_database()
    maker = sessionmaker(binds={Document: world.engine, Strict: world.engine, Album: second})
    return maker, second


several = scenario.where(
    without=("static", "async"), because="There is only one database in memory."
)


def _fill_both(world: World, session: Session) -> None:
    session.add(Document(attachment=world.file("document")))
    session.add(Album(pictures=[world.file("a"), world.file("b")], cover=world.file("cover")))
    session.flush()


@several
def several_binds_committed(world: World) -> None:
    maker, _second = _two_databases(world)
    with maker() as session:
        _fill_both(world, session)
        session.commit()
        world.check()
        session.scalars(select(Document)).one().attachment = world.file("new document")
        album = session.scalars(select(Album)).one()
        album.pictures.pop()
        session.commit()
    assert world.labels(Document.attachment) == ["new document"]
    assert world.labels(Album.pictures) == [["a"]]


@several
def several_binds_rolled_back(world: World) -> None:
    maker, _second = _two_databases(world)
    with maker() as session:
        _fill_both(world, session)
        session.rollback()
        world.check()
        _fill_both(world, session)
        session.commit()
        session.delete(session.scalars(select(Document)).one())
        session.delete(session.scalars(select(Album)).one())
        session.flush()
        session.rollback()
    assert len(world.objects()) == 4


@several
def several_binds_with_savepoints(world: World) -> None:
    maker, _second = _two_databases(world)
    with maker() as session:
        _fill_both(world, session)
        savepoint = session.begin_nested()
        _fill_both(world, session)
        savepoint.rollback()
        with session.begin_nested():
            session.scalars(select(Album)).one().cover = world.file("new cover")
        session.commit()
    assert world.labels(Document.attachment) == ["document"]
    assert world.labels(Album.cover) == ["new cover"]


@several.where(only=("sqlite", "postgresql"), because="MariaDB checks all constraints at once.")
def several_binds_of_which_one_cannot_commit(world: World) -> None:
    """Without two phases the other one may have committed: each is true to itself."""
    maker, _second = _two_databases(world)
    with maker() as session:
        _fill_both(world, session)
        session.add(Strict(document_id=4711, proof=world.file("proof")))
        with pytest.raises(IntegrityError):
            session.commit()
        with warnings.catch_warnings():
            # SQLAlchemy warns about the one that has committed, if that one came first.
            warnings.simplefilter("ignore", SAWarning)
            session.rollback()
    assert world.labels(Document.attachment) == []
    assert world.labels(Album.pictures) in ([], [["a", "b"]])


@several.where(only=("postgresql", "mariadb"), because="SQLite has no two-phase commit.")
def several_binds_in_two_phases(world: World) -> None:
    maker, _second = _two_databases(world)
    for end in ("commit", "rollback"):
        with maker(twophase=True) as session:
            _fill_both(world, session)
            session.prepare()
            getattr(session, end)()
        world.check()
    assert world.labels(Document.attachment) == ["document"]
    assert world.labels(Album.pictures) == [["a", "b"]]


@several
def a_file_moves_from_one_database_to_another(world: World) -> None:
    maker, _second = _two_databases(world)
    with maker() as session:
        session.add(Document(attachment=world.file("wanderer")))
        session.add(Album())
        session.commit()
        document, album = (
            session.scalars(select(Document)).one(),
            session.scalars(select(Album)).one(),
        )
        album.cover, document.attachment = document.attachment, None
        session.commit()
    assert world.labels(Document.attachment) == [None]
    assert world.labels(Album.cover) == ["wanderer"]


class _Routing(Session):
    """SQLAlchemy's own recipe: reads go to a follower, and all that writes to the leader."""

    engines: tuple[Engine, Engine]

    def get_bind(self, *_arguments: Any, clause: Any = None, **_options: Any) -> Engine:
        writes = self._flushing or isinstance(clause, Insert | Update | Delete)
        return self.engines[0 if writes else 1]


@several
def a_session_that_reads_elsewhere_than_it_writes(world: World) -> None:
    world.save(Document(attachment=world.file("old")))
    follower = world.new_engine()
    statements: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(follower, "before_cursor_execute", listen)
    _Routing.engines = (world.engine, follower)
    with _Routing() as session:
        document = session.scalars(select(Document)).one()
        document.attachment = world.file("new")
        session.add(Document(attachment=world.file("other")))
        session.commit()
        session.execute(update(Document).where(Document.id == document.id).values(attachment=None))
        session.commit()
    assert world.labels(Document.attachment) == [None, "other"]
    read = [statement for statement in statements if statement.startswith("SELECT")]
    assert [statement for statement in read if "FOR UPDATE" in statement] == []
    assert not [s for s in statements if s.startswith(("INSERT", "UPDATE document", "DELETE"))]


@several
def a_sharded_session(world: World) -> None:
    """Which database a row is in follows from the row."""
    shards = {"odd": world.engine, "even": world.add_database()}

    def choose(_mapper: Any, instance: Any, clause: Any = None) -> str:
        return "odd" if instance.stars % 2 else "even"

    def open_session() -> ShardedSession:
        return ShardedSession(
            shards=shards,
            shard_chooser=choose,
            identity_chooser=lambda *_arguments, **_options: list(shards),
            execute_chooser=lambda _context: list(shards),
        )

    with open_session() as session:
        session.add_all([Document(stars=n, attachment=world.file(f"old {n}")) for n in range(4)])
        session.commit()
        world.check()
    with open_session() as session:
        rows = sorted(session.scalars(select(Document)), key=lambda row: row.stars)
        for row in rows[:2]:
            row.attachment = world.file(f"new {row.stars}")
        for row in rows[2:]:
            session.delete(row)
        session.flush()
        session.rollback()
        world.check()
        for row in rows[:2]:
            row.attachment = world.file(f"new {row.stars}")
        for row in rows[2:]:
            session.delete(row)
        session.commit()
    assert world.labels(Document.attachment) == ["new 1", "new 0"]


@several
def nested_connections_of_one_engine(world: World) -> None:
    """Two connections at once, each with a transaction of its own."""
    key = world.save(Document(attachment=world.file("old")))
    with world.session() as session:
        assert world.opens(session.get_one(Document, key).attachment) == "old"
        session.commit()
        with world.engine.begin() as connection:
            _insert_one(world, connection, "by the connection")
        session.add(Document(attachment=world.file("by the session")))
        session.flush()
        session.rollback()
    assert world.labels(Document.attachment) == ["old", "by the connection"]


def _insert_one(world: World, connection: Connection, label: str) -> None:
    connection.execute(insert(Document).values(attachment=world.file(label)))
