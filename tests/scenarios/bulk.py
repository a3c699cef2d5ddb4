"""Statements that no flush wrote: through sessions, through connections, committed and undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sqlalchemy_file.exceptions import UnsupportedStatementError

from .models import (
    Album,
    Author,
    Book,
    Document,
    Product,
    Recording,
    Scan,
    Upload,
    Video,
    plain_table,
)
from .table import Group
from .world import World

scenario = Group(name="bulk")
documents: Any = Document.__table__
albums: Any = Album.__table__

Execute = Callable[..., Any]
Act = Callable[[World, Execute], None]
Play = Callable[[World, Act, str], None]


# --- the ways in: each runs an action, and ends as it is told


def _through_a_session(world: World, act: Act, end: str) -> None:
    with world.session() as session:
        act(world, session.execute)
        getattr(session, end)()


def _through_a_connection(world: World, act: Act, end: str) -> None:
    with world.engine.connect() as connection:
        act(world, connection.execute)
        getattr(connection, end)()


def _through_a_sessions_connection(world: World, act: Act, end: str) -> None:
    with world.session() as session:
        act(world, session.connection().execute)
        getattr(session, end)()


def _in_a_savepoint(world: World, act: Act, end: str) -> None:
    with world.session() as session:
        savepoint = session.begin_nested()
        act(world, session.execute)
        getattr(savepoint, end)()
        session.commit()


WAYS: dict[str, Play] = {
    "session": _through_a_session,
    "connection": _through_a_connection,
    "sessions_connection": _through_a_sessions_connection,
    "savepoint": _in_a_savepoint,
}
ORM_WAYS = {name: WAYS[name] for name in ("session", "savepoint")}
OLD = ["a", "b", "c"]


def _start(world: World) -> None:
    world.save(*[Document(title=label, attachment=world.file(label)) for label in OLD])


def _add(
    act: Act, expected: list[Any], *, ways: dict[str, Play] = WAYS, group: Group = scenario
) -> None:
    for way, play in ways.items():
        for end in ("commit", "rollback"):
            _add_one(act, expected if end == "commit" else OLD, way, play, end, group)


def _add_one(act: Act, expected: list[Any], way: str, play: Play, end: str, group: Group) -> None:
    def run(world: World) -> None:
        _start(world)
        play(world, act, end)
        assert world.labels(Document.attachment) == expected

    if way in ("savepoint", "sessions_connection"):
        group = group.in_memory
    if way == "savepoint":
        group = group.where(without=("legacy",), because="Its savepoints are not real.")
    ended = "committed" if end == "commit" else "rolled_back"
    group.add(f"{act.__name__.strip('_')}_through_{way}_{ended}", run)


# --- INSERT


def _insert_values(world: World, execute: Execute) -> None:
    execute(insert(Document).values(title="x", attachment=world.file("x")))


def _insert_parameters(world: World, execute: Execute) -> None:
    execute(insert(documents), {"title": "x", "attachment": world.file("x")})


def _insert_many(world: World, execute: Execute) -> None:
    rows = [{"title": label, "attachment": world.file(label)} for label in "xyz"]
    execute(insert(Document), rows)


def _insert_many_values(world: World, execute: Execute) -> None:
    rows = [{"title": label, "attachment": world.file(label)} for label in "xyz"]
    execute(insert(documents).values(rows))


def _insert_some_without_files(world: World, execute: Execute) -> None:
    rows = [{"title": "x", "attachment": world.file("x")}, {"title": "y", "attachment": None}]
    execute(insert(Document), rows)
    execute(insert(Document), [{"title": "z"}])


def _insert_the_same_file_twice(world: World, execute: Execute) -> None:
    file = world.file("x")
    execute(insert(Document), [{"attachment": file}, {"attachment": file}])


def _insert_a_saved_file(_world: World, execute: Execute) -> None:
    file = execute(select(Document.attachment).where(Document.title == "a")).scalar_one()
    execute(insert(Document), [{"attachment": file}])


_add(_insert_values, [*OLD, "x"])
_add(_insert_parameters, [*OLD, "x"])
_add(_insert_many, [*OLD, "x", "y", "z"])
_add(_insert_many_values, [*OLD, "x", "y", "z"])
_add(_insert_some_without_files, [*OLD, "x", None, None])
_add(_insert_the_same_file_twice, [*OLD, "x", "x"])
_add(_insert_a_saved_file, [*OLD, "a"])


def _insert_returning(world: World, execute: Execute) -> None:
    rows = [{"title": label, "attachment": world.file(label)} for label in "xyz"]
    statement = insert(Document).returning(Document.attachment, sort_by_parameter_order=True)
    files = execute(statement, rows).scalars().all()
    assert [world.opens(file) for file in files] == ["x", "y", "z"]


def _insert_returning_rows(world: World, execute: Execute) -> None:
    rows = [{"title": label, "attachment": world.file(label)} for label in "xy"]
    inserted = execute(insert(Document).returning(Document), rows).scalars().all()
    assert sorted(world.opens(row.attachment) for row in inserted) == ["x", "y"]


_add(_insert_returning, [*OLD, "x", "y", "z"])
_add(_insert_returning_rows, [*OLD, "x", "y"], ways=ORM_WAYS)


# --- UPDATE


def _update_one(world: World, execute: Execute) -> None:
    execute(update(Document).where(Document.title == "b").values(attachment=world.file("x")))


def _update_one_with_parameters(world: World, execute: Execute) -> None:
    statement = update(documents).where(documents.c.title == "b")
    execute(statement, {"attachment": world.file("x")})


def _update_none(world: World, execute: Execute) -> None:
    execute(update(Document).where(Document.title == "?").values(attachment=world.file("never")))


def _update_all_to_none(_world: World, execute: Execute) -> None:
    execute(update(Document).values(attachment=None))


def _update_some_to_none(_world: World, execute: Execute) -> None:
    execute(update(Document).where(Document.title.in_(("a", "c"))).values(attachment=None))


def _update_another_column(_world: World, execute: Execute) -> None:
    execute(update(Document).values(stars=Document.stars + 1))


def _update_by_subquery(_world: World, execute: Execute) -> None:
    wanted = select(func.max(documents.c.id)).select_from(documents).scalar_subquery()
    newest = select(wanted.label("id")).subquery()
    statement = update(documents).where(documents.c.id.in_(select(newest.c.id)))
    execute(statement.values(attachment=None))


def _update_many_by_parameters(world: World, execute: Execute) -> None:
    statement = (
        update(documents)
        .where(documents.c.title == bindparam("wanted"))
        .values(attachment=bindparam("file"))
    )
    execute(
        statement,
        [{"wanted": "a", "file": world.file("x")}, {"wanted": "c", "file": world.file("y")}],
    )


def _update_to_its_own_file(_world: World, execute: Execute) -> None:
    file = execute(select(Document.attachment).where(Document.title == "b")).scalar_one()
    execute(update(Document).where(Document.title == "b").values(attachment=file))


def _update_to_the_file_of_another(_world: World, execute: Execute) -> None:
    file = execute(select(Document.attachment).where(Document.title == "a")).scalar_one()
    execute(update(Document).where(Document.title == "b").values(attachment=file))


def _update_ordered_values(world: World, execute: Execute) -> None:
    statement = update(documents).where(documents.c.title == "b")
    new = [(documents.c.stars, 4), (documents.c.attachment, world.file("x"))]
    execute(statement.ordered_values(*new))


def _update_twice(world: World, execute: Execute) -> None:
    for label in ("short-lived", "x"):
        execute(update(Document).where(Document.title == "b").values(attachment=world.file(label)))


_add(_update_one, ["a", "x", "c"])
_add(_update_one_with_parameters, ["a", "x", "c"])
_add(_update_none, OLD)
_add(_update_all_to_none, [None, None, None])
_add(_update_some_to_none, [None, "b", None])
_add(_update_another_column, OLD)
_add(_update_by_subquery, ["a", "b", None])
_add(
    _update_many_by_parameters,
    ["x", "b", "y"],
    ways={name: WAYS[name] for name in ("connection", "sessions_connection")},
)
_add(_update_to_its_own_file, OLD)
_add(_update_to_the_file_of_another, ["a", "a", "c"])
_add(_update_twice, ["a", "x", "c"])
_add(_update_ordered_values, ["a", "x", "c"])


def _keys(execute: Execute) -> dict[str, int]:
    return {title: key for key, title in execute(select(documents.c.id, documents.c.title))}


def _update_by_primary_key(world: World, execute: Execute) -> None:
    keys = _keys(execute)
    execute(
        update(Document),
        [
            {"id": keys["a"], "attachment": world.file("x")},
            {"id": keys["b"], "attachment": None},
            {"id": keys["c"], "stars": 4},
        ],
    )


def _update_fetching(world: World, execute: Execute) -> None:
    execute(
        update(Document).where(Document.title == "b").values(attachment=world.file("x")),
        execution_options={"synchronize_session": "fetch"},
    )


def _update_unsynchronized(_world: World, execute: Execute) -> None:
    execute(
        update(Document).where(Document.title != "b").values(attachment=None),
        execution_options={"synchronize_session": False},
    )


_add(_update_by_primary_key, ["x", None, "c"], ways=ORM_WAYS)
_add(_update_fetching, ["a", "x", "c"], ways=ORM_WAYS)
_add(_update_unsynchronized, [None, "b", None], ways=ORM_WAYS)


# --- DELETE


def _delete_one(_world: World, execute: Execute) -> None:
    execute(delete(Document).where(Document.title == "b"))


def _delete_all(_world: World, execute: Execute) -> None:
    execute(delete(Document))


def _delete_none(_world: World, execute: Execute) -> None:
    execute(delete(Document).where(Document.title == "?"))


def _delete_many_by_parameters(_world: World, execute: Execute) -> None:
    statement = delete(documents).where(documents.c.title == bindparam("wanted"))
    execute(statement, [{"wanted": "a"}, {"wanted": "c"}])


def _delete_inserted(world: World, execute: Execute) -> None:
    execute(insert(Document).values(title="short-lived", attachment=world.file("short-lived")))
    execute(delete(Document).where(Document.title == "short-lived"))


def _delete_unsynchronized(_world: World, execute: Execute) -> None:
    options = {"synchronize_session": False}
    execute(delete(Document).where(Document.title == "b"), execution_options=options)


_add(_delete_one, ["a", "c"])
_add(_delete_all, [])
_add(_delete_none, OLD)
_add(
    _delete_many_by_parameters,
    ["b"],
    ways={name: WAYS[name] for name in ("connection", "sessions_connection")},
)
_add(_delete_inserted, OLD)
_add(_delete_unsynchronized, ["a", "c"], ways=ORM_WAYS)


def _delete_returning(world: World, execute: Execute) -> None:
    rows = execute(delete(documents).where(documents.c.title != "b").returning(documents.c.title))
    assert sorted(rows.scalars()) == ["a", "c"]


def _update_returning(world: World, execute: Execute) -> None:
    statement = update(documents).where(documents.c.title == "b")
    statement = statement.values(attachment=world.file("x")).returning(documents.c.attachment)
    assert world.opens(execute(statement).scalar_one()) == "x"


_add(_delete_returning, ["b"])
_add(
    _update_returning,
    ["a", "x", "c"],
    group=scenario.where(without=("mariadb",), because="MariaDB has no UPDATE … RETURNING."),
)


# --- upserts, in three dialects


def _upsert(world: World) -> Any:
    name = world.database.name
    return {"postgresql": postgresql, "sqlite": sqlite, "mariadb": mysql}[name].insert(documents)


def _on_conflict(world: World, execute: Execute, labels: str, **options: Any) -> None:
    rows = [{"title": label[0], "attachment": world.file(f"{label}2")} for label in labels]
    statement = _upsert(world).values(rows)
    execute(statement.on_conflict_do_update(**options, set_=_from_excluded(statement)))


def _from_excluded(statement: Any) -> dict[str, Any]:
    return {"attachment": statement.excluded.attachment}


def _upsert_without_conflict(world: World, execute: Execute) -> None:
    _on_conflict(world, execute, "xy", index_elements=["title"])


def _upsert_with_conflict(world: World, execute: Execute) -> None:
    _on_conflict(world, execute, "b", index_elements=["title"])


def _upsert_mixed(world: World, execute: Execute) -> None:
    _on_conflict(world, execute, "axc", index_elements=[documents.c.title])


def _upsert_of_another_column(world: World, execute: Execute) -> None:
    """The row in conflict keeps its file; the one that was stored for it is not needed."""
    statement = _upsert(world).values(title="b", stars=3, attachment=world.file("never needed"))
    execute(
        statement.on_conflict_do_update(
            index_elements=["title"], set_={"stars": statement.excluded.stars}
        )
    )


upserting = scenario.where(without=("mariadb",), because="MariaDB has no ON CONFLICT.")
_add(_upsert_without_conflict, [*OLD, "x2", "y2"], group=upserting)
_add(_upsert_with_conflict, ["a", "b2", "c"], group=upserting)
_add(_upsert_mixed, ["a2", "b", "c2", "x2"], group=upserting)
_add(_upsert_of_another_column, OLD, group=upserting)


@upserting
def upsert_that_does_nothing_is_right_or_refused(world: World) -> None:
    _start(world)
    with world.engine.connect() as connection:
        rows = [{"title": label, "attachment": world.file(f"{label}2")} for label in "bx"]
        try:
            connection.execute(_upsert(world).values(rows).on_conflict_do_nothing())
        except UnsupportedStatementError:
            connection.rollback()
        connection.commit()
    assert world.labels(Document.attachment) in (OLD, [*OLD, "x2"])


@scenario.where(only=("mariadb",), because="Only MariaDB has ON DUPLICATE KEY.")
def mariadbs_upsert_is_right_or_refused(world: World) -> None:
    _start(world)
    with world.engine.connect() as connection:
        rows = [{"title": label, "attachment": world.file(f"{label}2")} for label in "bx"]
        statement = _upsert(world).values(rows)
        try:
            connection.execute(
                statement.on_duplicate_key_update(attachment=statement.inserted.attachment)
            )
        except UnsupportedStatementError:
            connection.rollback()
        connection.commit()
    assert world.labels(Document.attachment) in (OLD, ["a", "b2", "c", "x2"])


# --- the older API


def _query_update(world: World, session: Session) -> None:
    session.query(Document).filter_by(title="b").update({"attachment": world.file("x")})


def _query_update_to_none(_world: World, session: Session) -> None:
    session.query(Document).update({Document.attachment: None}, synchronize_session=False)


def _query_delete(_world: World, session: Session) -> None:
    session.query(Document).filter(Document.title > "a").delete()


def _bulk_save_objects(world: World, session: Session) -> None:
    row = session.scalars(select(Document).filter_by(title="b")).one()
    row.attachment = world.file("x")
    session.expunge(row)
    session.bulk_save_objects([row, Document(title="y", attachment=world.file("y"))])


def _bulk_insert_mappings(world: World, session: Session) -> None:
    rows = [{"title": label, "attachment": world.file(label)} for label in "xy"]
    session.bulk_insert_mappings(Document, rows)


def _bulk_update_mappings(world: World, session: Session) -> None:
    keys = _keys(session.execute)
    session.bulk_update_mappings(
        Document,
        [
            {"id": keys["a"], "attachment": world.file("x")},
            {"id": keys["c"], "attachment": None},
        ],
    )


OLDER: dict[Callable[[World, Session], None], list[Any]] = {
    _query_update: ["a", "x", "c"],
    _query_update_to_none: [None, None, None],
    _query_delete: ["a"],
    _bulk_save_objects: ["a", "x", "c", "y"],
    _bulk_insert_mappings: [*OLD, "x", "y"],
    _bulk_update_mappings: ["x", "b", None],
}


def _add_older(act: Callable[[World, Session], None], expected: list[Any], end: str) -> None:
    def run(world: World) -> None:
        _start(world)
        with world.session() as session:
            act(world, session)
            getattr(session, end)()
        assert world.labels(Document.attachment) == (expected if end == "commit" else OLD)

    ended = "committed" if end == "commit" else "rolled_back"
    scenario.add(f"{act.__name__.strip('_')}_{ended}", run)


for _act, _expected in OLDER.items():
    for _end in ("commit", "rollback"):
        _add_older(_act, _expected, _end)


# --- lists, tables without a class, several rules at once


@scenario
def lists_of_files(world: World) -> None:
    for end in ("rollback", "commit"):
        with world.engine.connect() as connection:
            lists = [[world.file("a"), world.file("b")], [world.file("c")], None]
            connection.execute(insert(albums), [{"pictures": files} for files in lists])
            getattr(connection, end)()
        world.check()
    assert world.labels(Album.pictures) == [["a", "b"], ["c"], None]
    with world.session() as session:
        first = session.scalars(select(Album).order_by(Album.id)).first()
        assert first is not None
        shortened = [first.pictures[1], world.file("x")]
        session.execute(update(Album).where(Album.id == first.id).values(pictures=shortened))
        session.commit()
    assert world.labels(Album.pictures) == [["b", "x"], ["c"], None]


@scenario
def a_table_that_no_class_is_mapped_to(world: World) -> None:
    for end in ("rollback", "commit"):
        with world.engine.connect() as connection:
            connection.execute(
                insert(plain_table),
                [{"title": label, "paper": world.file(label)} for label in ("a", "b", "c")],
            )
            getattr(connection, end)()
        world.check()
    for end in ("rollback", "commit"):
        with world.engine.connect() as connection:
            connection.execute(
                update(plain_table).where(plain_table.c.title == "a").values(paper=world.file("x"))
            )
            connection.execute(delete(plain_table).where(plain_table.c.title == "b"))
            getattr(connection, end)()
        world.check()
    assert world.labels(plain_table.c.paper) == ["x", "c"]
    with world.engine.connect() as connection:
        file = connection.scalar(select(plain_table.c.paper).where(plain_table.c.title == "a"))
        assert world.opens(file) == "x"


@scenario
def an_insert_that_uses_parameters_of_two_columns(world: World) -> None:
    rows = [
        {"front": world.file(f"front {number}"), "back": world.file(f"back {number}")}
        for number in range(3)
    ]
    with world.session() as session:
        session.execute(insert(Product), rows)
        session.execute(update(Product).where(Product.id > 0).values(back=None))
        session.commit()
    assert world.labels(Product.front) == ["front 0", "front 1", "front 2"]
    assert world.labels(Product.back) == [None, None, None]


@scenario
def many_rows(world: World) -> None:
    """More than one batch of whatever there are batches of."""
    with world.session() as session:
        session.execute(
            insert(Document), [{"attachment": world.file(f"file-{n}")} for n in range(60)]
        )
        session.commit()
        assert len(world.objects()) == 60
        session.execute(delete(Document).where(Document.id > 0))
        session.commit()
    assert world.objects() == {}


@scenario
def rows_of_a_bulk_statement_are_in_the_session(world: World) -> None:
    _start(world)
    with world.session() as session:
        rows = session.scalars(select(Document).order_by(Document.id)).all()
        session.execute(update(Document).where(Document.title == "a").values(attachment=None))
        session.execute(delete(Document).where(Document.title == "b"))
        assert rows[0].attachment is None
        rows[2].attachment = world.file("x")
        session.commit()
    assert world.labels(Document.attachment) == [None, "x"]


@scenario
def a_loaded_row_follows_a_bulk_update(world: World) -> None:
    _start(world)
    for synchronize in ("evaluate", "fetch"):
        with world.session() as session:
            row = session.scalars(select(Document).filter_by(title="b")).one()
            session.execute(
                update(Document).filter_by(title="b").values(attachment=world.file(synchronize)),
                execution_options={"synchronize_session": synchronize},
            )
            assert world.opens(row.attachment) == synchronize
            row.stars += 1
            session.commit()
            assert world.opens(row.attachment) == synchronize
            world.check()
    assert world.labels(Document.attachment) == ["a", "fetch", "c"]


@scenario.where(only=("mariadb",), because="Only MariaDB has UPDATE … LIMIT.")
def statements_with_a_limit(world: World) -> None:
    """More rows match, and are read, than the statement changes."""
    for end in ("rollback", "commit"):
        _start(world)
        with world.session() as session:
            limited = update(documents).with_dialect_options(mariadb_limit=1)
            session.execute(limited.values(attachment=None))
            session.execute(delete(documents).with_dialect_options(mariadb_limit=1))
            getattr(session, end)()
            world.check()
            session.execute(delete(documents))
            session.commit()
    assert world.objects() == {}


def _of_several_tables() -> dict[str, tuple[Any, list[Any]]]:
    products: Any = Product.__table__
    same = documents.c.stars == products.c.id
    return {
        "update": (update(documents).where(same).values(attachment=None), [None, "b", "c"]),
        "delete": (delete(documents).where(same), ["b", "c"]),
    }


def _add_several_tables(name: str, statement: Any, expected: list[Any]) -> None:
    def run(world: World) -> None:
        _start(world)
        (key,) = world.save(Product(front=world.file("front")))
        world.database.look(f"UPDATE document SET stars = {key} WHERE title = 'a'")
        changed = True
        with world.session() as session:
            try:
                session.execute(statement)
            except UnsupportedStatementError:
                changed = False
            session.commit()
        assert world.labels(Document.attachment) == (expected if changed else OLD)

    without = ("sqlite",) if name == "delete" else ("?",)
    group = scenario.where(without=without, because="SQLite has no DELETE … USING.")
    group.add(f"{name}_of_several_tables_is_right_or_refused", run)


for _name, (_statement, _expected) in _of_several_tables().items():
    _add_several_tables(_name, _statement, _expected)


@scenario.where(only=("postgresql",), because="Only PostgreSQL has DML inside of SELECT.")
def a_delete_inside_a_select_is_right_or_refused(world: World) -> None:
    _start(world)
    gone = delete(documents).where(documents.c.title == "b").returning(documents.c.id).cte("gone")
    expected = ["a", "c"]
    with world.session() as session:
        try:
            assert len(session.execute(select(gone)).all()) == 1
        except UnsupportedStatementError:
            expected = OLD
        session.commit()
    assert world.labels(Document.attachment) == expected


@scenario
def the_same_statement_twice_from_the_cache(world: World) -> None:
    for label in ("first", "second", "third"):
        with world.session() as session:
            session.execute(insert(Document).values(attachment=world.file(label)))
            session.execute(
                update(Document).where(Document.stars == 9).values(attachment=world.file("none"))
            )
            session.commit()
    assert world.labels(Document.attachment) == ["first", "second", "third"]


# --- inheritance


def _uploads(world: World) -> None:
    world.save(
        Upload(content=world.file("upload")),
        Scan(content=world.file("scan"), sheet=world.file("scan sheet")),
        Recording(content=world.file("recording"), sheet=world.file("recording sheet")),
    )


def _siblings_after(world: World, statement: Any) -> list[Any]:
    _uploads(world)
    for end in ("rollback", "commit"):
        with world.session() as session:
            session.execute(statement)
            getattr(session, end)()
        world.check()
    return world.labels(Upload.content)


@scenario
def single_table_siblings_of_a_bulk_update(world: World) -> None:
    statement = update(Scan).values(content=None)
    assert _siblings_after(world, statement) == ["upload", None, "recording"]


@scenario
def single_table_siblings_of_a_bulk_update_of_the_shared_column(world: World) -> None:
    _siblings_after(world, update(Recording).values(sheet=None))
    assert world.labels(Scan.sheet) == [None, "scan sheet", None]


@scenario
def single_table_siblings_of_a_bulk_delete(world: World) -> None:
    assert _siblings_after(world, delete(Scan)) == ["upload", "recording"]


@scenario
def single_table_siblings_of_a_query_delete(world: World) -> None:
    _uploads(world)
    with world.session() as session:
        session.query(Recording).delete()
        session.commit()
    assert world.labels(Upload.content) == ["upload", "scan"]


@scenario
def single_table_bulk_insert(world: World) -> None:
    with world.session() as session:
        session.execute(insert(Scan), [{"content": world.file("a"), "sheet": world.file("b")}])
        session.commit()
        scan = session.scalars(select(Scan)).one()
        assert world.opens(scan.sheet) == "b"
    assert world.labels(Upload.content) == ["a"]


@scenario
def joined_table_bulk_insert_and_update(world: World) -> None:
    with world.session() as session:
        session.execute(
            insert(Video),
            [{"preview": world.file(f"p{n}"), "movie": world.file(f"m{n}")} for n in range(2)],
        )
        session.commit()
        world.check()
        session.execute(update(Video).where(Video.movie.is_not(None)).values(movie=None))
        session.commit()
    assert world.labels(Video.movie) == [None, None]


@scenario
def parents_deleted_beside_their_children(world: World) -> None:
    key = world.save(Author(portrait=world.file("p"), books=[Book(manuscript=world.file("m"))]))
    with world.session() as session:
        session.execute(delete(Book).where(Book.author_id == key[0]))
        session.execute(delete(Author).where(Author.id == key[0]))
        session.commit()
    assert world.objects() == {}


# --- statements that fail inside a transaction that goes on


going_on = scenario.where(
    without=("postgresql",), because="In PostgreSQL a transaction ends with its first error."
)


@going_on
def one_insert_fails_and_the_transaction_commits(world: World) -> None:
    _start(world)
    with world.engine.begin() as connection:
        connection.execute(insert(documents).values(title="x", attachment=world.file("x")))
        with pytest.raises(IntegrityError):
            connection.execute(insert(documents).values(title="a", attachment=world.file("lost")))
        connection.execute(insert(documents).values(title="y", attachment=world.file("y")))
    assert world.labels(Document.attachment) == [*OLD, "x", "y"]


@going_on
def one_update_fails_and_the_transaction_commits(world: World) -> None:
    _start(world)
    with world.engine.begin() as connection:
        statement = update(documents).where(documents.c.title == "a")
        with pytest.raises(IntegrityError):
            connection.execute(statement.values(title="b", attachment=world.file("lost")))
    assert world.labels(Document.attachment) == OLD


@going_on
def one_of_many_inserted_rows_fails_and_the_transaction_commits(world: World) -> None:
    """How many rows got in before it is the driver's affair; each of them has its file."""
    _start(world)
    rows = [{"title": label, "attachment": world.file(f"{label}2")} for label in "xyazw"]
    with world.engine.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(documents), rows)
    assert world.labels(Document.attachment) in (OLD, [*OLD, "x2", "y2"])


@going_on
def one_of_many_updated_rows_fails_and_the_transaction_commits(world: World) -> None:
    _start(world)
    statement = (
        update(documents)
        .where(documents.c.title == bindparam("wanted"))
        .values(title=bindparam("new_title"), attachment=bindparam("file"))
    )
    rows = [
        {"wanted": "a", "new_title": "x", "file": world.file("a2")},
        {"wanted": "b", "new_title": "c", "file": world.file("b2")},
        {"wanted": "c", "new_title": "y", "file": world.file("c2")},
    ]
    with world.engine.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(statement, rows)
    assert world.labels(Document.attachment) in (OLD, ["a2", "b", "c"])


@going_on
def one_delete_fails_and_the_transaction_commits(world: World) -> None:
    world.save(Author(portrait=world.file("p"), books=[Book(manuscript=world.file("m"))]))
    with world.engine.begin() as connection:
        connection.execute(update(Book).values(manuscript=world.file("new")))
        with pytest.raises(IntegrityError):
            connection.execute(delete(Author))
    assert world.label(Author.portrait) == "p"
    assert world.label(Book.manuscript) == "new"


@scenario
def a_statement_fails_and_the_transaction_is_rolled_back(world: World) -> None:
    _start(world)
    with world.engine.connect() as connection:
        connection.execute(update(documents).values(attachment=None))
        with pytest.raises(IntegrityError):
            connection.execute(insert(documents).values(title="a", attachment=world.file("lost")))
        connection.rollback()
    assert world.labels(Document.attachment) == OLD


@scenario.where(without=("legacy",), because="Its savepoints are not real.")
def a_statement_fails_inside_a_savepoint_and_the_rest_commits(world: World) -> None:
    _start(world)
    with world.engine.begin() as connection:
        connection.execute(update(documents).where(documents.c.title == "a").values(stars=1))
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(delete(documents).where(documents.c.title == "b"))
            connection.execute(insert(documents).values(title="c", attachment=world.file("lost")))
        connection.execute(insert(documents).values(title="x", attachment=world.file("x")))
    assert world.labels(Document.attachment) == [*OLD, "x"]


# --- what cannot be known is refused, with advice


def _statements_to_refuse() -> dict[str, Callable[[World], tuple[Any, ...]]]:
    def copied_column(_world: World) -> tuple[Any, ...]:
        return (update(Product).values(front=Product.back),)

    def subquery(_world: World) -> tuple[Any, ...]:
        return (update(Document).values(attachment=select(Product.front).scalar_subquery()),)

    def case_expression(world: World) -> tuple[Any, ...]:
        value = case((Document.stars > 3, literal(None)), else_=Document.attachment)
        return (update(Document).values(attachment=value),)

    def raw_sql(_world: World) -> tuple[Any, ...]:
        return (update(Document).values(attachment=text("'{}'")),)

    def insert_of_an_expression(_world: World) -> tuple[Any, ...]:
        value = select(Product.front).limit(1).scalar_subquery()
        return (insert(Document).values(attachment=value),)

    def insert_from_select(_world: World) -> tuple[Any, ...]:
        source = select(Product.front)
        return (insert(Document).from_select(["attachment"], source),)

    def one_content_for_several_rows(world: World) -> tuple[Any, ...]:
        return (update(Document).values(attachment=world.file("for all")),)

    return {
        function.__name__: function
        for function in (
            copied_column,
            subquery,
            case_expression,
            raw_sql,
            insert_of_an_expression,
            insert_from_select,
            one_content_for_several_rows,
        )
    }


def _add_refused(name: str, make: Callable[[World], tuple[Any, ...]]) -> None:
    def run(world: World) -> None:
        _start(world)
        world.save(Product(front=world.file("front"), back=world.file("back")))
        before = set(world.objects())
        for engine_way in (_through_a_session, _through_a_connection):
            with pytest.raises(UnsupportedStatementError, match=r"\w+ "):
                engine_way(world, lambda world, execute: execute(*make(world)), "commit")
            assert set(world.objects()) == before
        assert world.labels(Document.attachment) == OLD
        assert world.label(Product.front) == "front"

    scenario.add(f"refused_{name}", run)


for _name, _make in _statements_to_refuse().items():
    _add_refused(_name, _make)


@scenario
def insert_from_select_without_file_columns_is_no_affair_of_ours(world: World) -> None:
    _start(world)
    with world.session() as session:
        source = select(func.concat(Document.title, "2"), Document.stars)
        if world.database.name == "sqlite":
            source = select(Document.title + "2", Document.stars)
        session.execute(insert(Document).from_select(["title", "stars"], source))
        session.commit()
    assert world.labels(Document.attachment) == [*OLD, None, None, None]


@scenario
def sql_null_is_known_and_taken_or_refused(world: World) -> None:
    _start(world)
    with world.session() as session:
        try:
            session.execute(update(Document).where(Document.title == "a").values(attachment=null()))
            session.commit()
        except UnsupportedStatementError:
            session.rollback()
    assert world.labels(Document.attachment) in (OLD, [None, "b", "c"])


@scenario
def the_session_goes_on_after_a_refusal(world: World) -> None:
    _start(world)
    with world.session() as session:
        session.add(Document(title="x", attachment=world.file("x")))
        session.flush()
        with pytest.raises(UnsupportedStatementError):
            session.execute(update(Product).values(front=Product.back))
        session.commit()
    assert world.labels(Document.attachment) == [*OLD, "x"]
