"""Inserted rows that meet rows which are there already, and statements on several tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    create_engine,
    delete,
    func,
    insert,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, registry

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import UnsupportedStatementError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import drain
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import (
    mariadb_only,
    on_servers,
    on_sqlite_and_postgresql,
    sqlite_only,
    tables_on,
)
from tests.stores import contents, keys, named

metadata = MetaData()
paper = Table(
    "conflict_paper",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("title", String(20), unique=True),
    Column("body", FileField()),
)
other = Table(
    "conflict_other",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("title", String(20)),
)
of_sqlite = MetaData()
replacing = Table(
    "replacing",
    of_sqlite,
    Column("id", Integer, primary_key=True, sqlite_on_conflict_primary_key="REPLACE"),
    Column("title", String(20), default="untitled"),
    Column("part", Integer),
    Column("body", FileField()),
    UniqueConstraint("title", "part", sqlite_on_conflict="REPLACE"),
)
ignoring = Table(
    "ignoring",
    of_sqlite,
    Column("id", Integer, primary_key=True),
    Column("title", String(20), unique=True, sqlite_on_conflict_unique="IGNORE"),
    Column("body", FileField()),
)
failing = Table(
    "failing",
    of_sqlite,
    Column("id", Integer, primary_key=True),
    Column("title", String(20), unique=True, sqlite_on_conflict_unique="FAIL"),
    Column("body", FileField()),
)
partly = Table(
    "partly_unique",
    of_sqlite,
    Column("id", Integer, primary_key=True),
    Column("title", String(20)),
    Column("body", FileField()),
    Index("partly_unique_title", "title", unique=True, sqlite_where=text("title <> 'x'")),
)
indexed = Table(
    "indexed_unique",
    of_sqlite,
    Column("id", Integer, primary_key=True),
    Column("title", String(20), unique=True, index=True),
    Column("part", String(20), nullable=False, sqlite_on_conflict_not_null="IGNORE"),
    Column("note", String(20), index=True),
    Column("body", FileField()),
)
computing = Table(
    "computing_unique",
    of_sqlite,
    Column("id", Integer, primary_key=True),
    Column("title", String(20), unique=True, default=lambda: "computed"),
    Column("body", FileField()),
)
defaulting = Table(
    "defaulting_unique",
    of_sqlite,
    Column("id", Integer, primary_key=True),
    Column("title", String(20), unique=True, server_default="given"),
    Column("body", FileField()),
)


@pytest.fixture
def engine(url: str, storage: MemoryStorage) -> Iterator[Engine]:
    rows = [{"id": n, "title": label, "body": label} for n, label in enumerate("ab", start=1)]
    with tables_on(url, metadata) as engine:
        if url.startswith("sqlite"):
            of_sqlite.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(paper), rows)
        yield engine


with_upserts = on_sqlite_and_postgresql


def run(engine: Engine, *arguments: Any) -> None:
    with engine.begin() as connection:
        connection.execute(*arguments)


def assert_exact(engine: Engine, storage: MemoryStorage, table: Table, *expected: bytes) -> None:
    names = {"conflict_paper", table.name}
    paths = [path for name in names for path in named(engine, name, "body")]
    assert sorted(paths) == sorted(f"main/{key}" for key in keys(storage))
    assert contents(storage) == sorted(expected)


def dialect_of(engine: Engine) -> Any:
    return sqlite if engine.dialect.name == "sqlite" else postgresql


def upsert(engine: Engine, by: str = "id") -> Any:
    statement = dialect_of(engine).insert(paper)
    return statement.on_conflict_do_update(
        index_elements=[by], set_={"body": statement.excluded.body}
    )


@with_upserts
@pytest.mark.parametrize("by", ["id", "title"])
@pytest.mark.parametrize("which", [1, 9])
def test_upserts_that_name_one_key_twice_keep_the_last_file(
    engine: Engine, storage: MemoryStorage, by: str, which: int
) -> None:
    title = "a" if which == 1 else "i"
    rows = [{"id": which, "title": title, "body": File(content)} for content in (b"x", b"y", b"z")]
    run(engine, upsert(engine, by), rows)
    kept = [b"b", b"z"] if which == 1 else [b"a", b"b", b"z"]
    assert_exact(engine, storage, paper, *kept)


@sqlite_only
@pytest.mark.parametrize("which", [1, 9])
def test_one_upsert_of_rows_that_name_one_key_twice_keeps_the_last_file(
    engine: Engine, storage: MemoryStorage, which: int
) -> None:
    rows = [{"id": which, "body": File(b"x")}, {"id": which, "body": File(b"y")}]
    run(engine, upsert(engine).values(rows))
    assert_exact(engine, storage, paper, b"y", b"b", *([] if which == 1 else [b"a"]))


@with_upserts
def test_an_upsert_that_sets_no_file_releases_the_old_one(
    engine: Engine, storage: MemoryStorage
) -> None:
    statement: Any = dialect_of(engine).insert(paper).values(id=1, title="x")
    run(engine, statement.on_conflict_do_update(index_elements=["id"], set_={"body": None}))
    assert_exact(engine, storage, paper, b"b")
    statement = dialect_of(engine).insert(paper).values(id=2, title="y")
    run(engine, statement.on_conflict_do_update(index_elements=["id"], set_={"title": "y"}))
    assert_exact(engine, storage, paper, b"b")


@with_upserts
def test_an_upsert_by_what_is_no_column_is_refused(engine: Engine, storage: MemoryStorage) -> None:
    statement = dialect_of(engine).insert(paper).values(id=1, body=File(b"x"))
    unknown = statement.on_conflict_do_update(index_elements=["nothing"], set_={"title": "x"})
    with pytest.raises(UnsupportedStatementError, match="index element 'nothing' is no column"):
        run(engine, unknown)
    assert_exact(engine, storage, paper, b"a", b"b")


@with_upserts
def test_an_upsert_whose_change_a_trigger_undoes_keeps_the_file(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(
                "CREATE TRIGGER keep AFTER UPDATE OF body ON conflict_paper "
                "WHEN NEW.body IS NOT OLD.body BEGIN "
                "UPDATE conflict_paper SET body = OLD.body WHERE id = OLD.id; END"
            )
        else:
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN NEW.body := OLD.body; RETURN NEW; END $$"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER keep BEFORE UPDATE ON conflict_paper "
                "FOR EACH ROW EXECUTE FUNCTION keep()"
            )
    run(engine, upsert(engine), {"id": 1, "title": "a", "body": File(b"x")})
    assert_exact(engine, storage, paper, b"a", b"b")


# --- several tables


@mariadb_only
def test_an_update_of_several_tables_is_refused(engine: Engine, storage: MemoryStorage) -> None:
    run(engine, insert(other), [{"id": 1, "title": "x"}])
    both = update(other).where(other.c.id == paper.c.id)
    for statement in (
        both.values({other.c.title: "y", paper.c.body: None}),
        both.ordered_values((other.c.title, "y"), (paper.c.body, None)),
        update(other.join(paper, other.c.id == paper.c.id)).values({paper.c.body: None}),  # type: ignore[arg-type]
    ):
        with pytest.raises(UnsupportedStatementError, match="alone"):
            run(engine, statement)
    run(engine, both.values({other.c.title: "y", paper.c.title: "c"}))
    assert_exact(engine, storage, paper, b"a", b"b")


# --- what SQLite does on conflict


@sqlite_only
def test_rows_that_are_replaced_let_go_of_their_files(
    engine: Engine, storage: MemoryStorage
) -> None:
    def row(number: int, content: bytes, **values: Any) -> dict[str, Any]:
        return {"id": number, "body": File(content), **values}

    run(engine, insert(replacing), [row(1, b"1", part=1), row(2, b"2", part=2)])
    run(engine, insert(replacing), row(1, b"3", part=3))
    assert_exact(engine, storage, replacing, b"a", b"b", b"3", b"2")
    run(engine, insert(replacing), row(4, b"4", title="untitled", part=3))
    assert_exact(engine, storage, replacing, b"a", b"b", b"4", b"2")
    run(engine, insert(replacing).values(row(4, b"5", part=2)))
    assert_exact(engine, storage, replacing, b"a", b"b", b"5")
    run(engine, insert(replacing), [row(7, b"6"), row(7, b"7"), row(4, b"8")])
    assert_exact(engine, storage, replacing, b"a", b"b", b"7", b"8")
    run(engine, insert(replacing), {"id": 7})
    assert_exact(engine, storage, replacing, b"a", b"b", b"8")


@sqlite_only
def test_new_rows_that_replace_each_other_by_any_constraint_let_go_of_their_files(
    engine: Engine, storage: MemoryStorage
) -> None:
    rows = [{"id": n, "title": "x", "part": 1, "body": File(b"%d" % n)} for n in (1, 2, 3)]
    run(engine, insert(replacing), rows)
    assert_exact(engine, storage, replacing, b"a", b"b", b"3")
    run(engine, insert(replacing).values([{**row, "body": File(b"new")} for row in rows]))
    assert_exact(engine, storage, replacing, b"a", b"b", b"new")


@sqlite_only
def test_an_update_that_may_replace_other_rows_is_refused(
    engine: Engine, storage: MemoryStorage
) -> None:
    run(engine, insert(replacing), [{"id": 1, "body": b"1"}, {"id": 2, "body": b"2"}])
    statements: list[Callable[[], Any]] = [
        lambda: update(replacing).where(replacing.c.id == 1).values(id=2),
        lambda: update(replacing).values(title="x"),
        lambda: update(paper).prefix_with("OR REPLACE").values(title="a"),
        lambda: update(paper).prefix_with("OR REPLACE").values(title="a", body=None),
    ]
    for make in statements:
        with pytest.raises(UnsupportedStatementError, match=r"(?i)replace"):
            run(engine, make())
    run(engine, update(replacing).where(replacing.c.id == 1).values(body=None))
    run(engine, delete(replacing))
    assert_exact(engine, storage, replacing, b"a", b"b")


Rows = Callable[[Any, list[dict[str, Any]]], tuple[Any, ...]]


@sqlite_only
@pytest.mark.parametrize(
    "given",
    [
        lambda statement, rows: (statement.values(rows),),
        lambda statement, rows: (statement, rows),
        lambda statement, rows: (
            statement.values(id=bindparam("number")),
            [{"number": row["id"], **{k: row[k] for k in row if k != "id"}} for row in rows],
        ),
    ],
    ids=["values", "parameters", "bound parameters"],
)
def test_insert_or_replace_lets_go_of_the_files_it_replaces(
    engine: Engine, storage: MemoryStorage, given: Rows
) -> None:
    statement = insert(paper).prefix_with("OR REPLACE")
    run(engine, *given(statement, [{"id": 1, "title": "x", "body": File(b"1")}]))
    assert_exact(engine, storage, paper, b"1", b"b")
    # By its title, too, and two rows at once.
    run(engine, *given(statement, [{"id": 2, "title": "x", "body": File(b"2")}]))
    assert_exact(engine, storage, paper, b"2")
    rows = [{"id": 7, "title": f"{n}", "body": File(b"%d" % n)} for n in (3, 4)]
    run(engine, *given(statement, rows))
    assert_exact(engine, storage, paper, b"2", b"4")
    run(engine, *given(statement, [{"id": 7, "title": None}]))
    assert_exact(engine, storage, paper, b"2")


@pytest.mark.parametrize("pragma", ["ON", "OFF"])
def test_insert_or_replace_is_followed_beside_a_ledger(
    storage: MemoryStorage, tmp_path: Path, pragma: str
) -> None:
    own = MetaData()
    table = paper.to_metadata(own)
    Ledger(own)
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    own.create_all(engine)
    run(engine, insert(table), [{"id": n, "title": f"{n}", "body": File(b"old")} for n in (1, 2)])
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA recursive_triggers = {pragma}")
        row = {"id": 1, "title": "2", "body": File(b"new")}
        connection.execute(insert(table).prefix_with("OR REPLACE"), row)
        row = {"id": 3, "title": "3", "body": File(b"undone")}
        with connection.begin_nested() as savepoint:
            connection.execute(insert(table).prefix_with("OR REPLACE"), {**row, "title": "2"})
            savepoint.rollback()
    assert contents(storage) == [b"new"]
    assert list(drain(engine, own)) == []
    engine.dispose()


def test_a_constraint_that_replaces_is_followed_beside_a_ledger(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    own = MetaData()
    table = replacing.to_metadata(own)
    Ledger(own)
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    own.create_all(engine)
    for content in (b"old", b"new"):
        run(engine, insert(table), {"id": 1, "body": File(content)})
    assert contents(storage) == [b"new"]
    assert list(drain(engine, own)) == []
    engine.dispose()


@sqlite_only
def test_what_insert_or_replace_replaced_stays_if_it_is_rolled_back(
    engine: Engine, storage: MemoryStorage
) -> None:
    statement = insert(paper).prefix_with("OR REPLACE")
    with engine.begin() as connection:
        with connection.begin_nested() as savepoint:
            connection.execute(statement, {"id": 1, "title": "b", "body": File(b"x")})
            savepoint.rollback()
        returned = connection.execute(
            statement.values(id=2, title="b", body=File(b"y")).returning(paper.c.id)
        )
        assert returned.scalars().all() == [2]
    assert_exact(engine, storage, paper, b"a", b"y")
    with engine.connect() as connection:
        connection.execute(statement.values(id=1, body=File(b"z")))
        connection.rollback()
    assert_exact(engine, storage, paper, b"a", b"y")


@sqlite_only
def test_the_statement_says_replace_for_constraints_that_say_otherwise(
    engine: Engine, storage: MemoryStorage
) -> None:
    for content in (b"x", b"y"):
        for table in (ignoring, failing):
            statement = insert(table).prefix_with("OR REPLACE")
            run(engine, statement, {"title": "same", "body": File(content)})
    paths = [path for name in ("ignoring", "failing") for path in named(engine, name, "body")]
    assert len(paths) == 2
    assert contents(storage) == [b"a", b"b", b"y", b"y"]


@sqlite_only
def test_insert_or_replace_follows_the_orm_as_well(engine: Engine, storage: MemoryStorage) -> None:
    mapped = registry()
    kind = type("Replaced", (), {})
    mapped.map_imperatively(kind, paper, properties={"label": paper.c.title})
    with Session(engine) as session:
        rows = [{"id": n, "label": "a", "body": File(b"%d" % n)} for n in (3, 4)]
        session.execute(insert(kind).prefix_with("OR REPLACE"), rows)
        session.commit()
    mapped.dispose()
    assert_exact(engine, storage, paper, b"b", b"4")


@sqlite_only
@pytest.mark.parametrize(
    "make",
    [
        lambda: insert(paper).prefix_with("OR REPLACE").values(title=func.lower("A")),
        lambda: (
            insert(paper)
            .prefix_with("OR REPLACE")
            .from_select(["id"], other.select().with_only_columns(other.c.id))
        ),
        lambda: (
            sqlite.insert(paper)
            .prefix_with("OR REPLACE")
            .values(id=1, body=b"x")
            .on_conflict_do_nothing()
        ),
        lambda: insert(partly).prefix_with("OR REPLACE").values(title="a", body=b"x"),
        lambda: insert(computing).prefix_with("OR REPLACE").values(id=1, body=b"x"),
        lambda: insert(defaulting).prefix_with("OR REPLACE").values(id=1, body=b"x"),
    ],
    ids=["an expression", "a select", "an upsert", "a partial index", "a default", "the server's"],
)
def test_insert_or_replace_is_refused_where_its_rows_cannot_be_known(
    engine: Engine, storage: MemoryStorage, make: Callable[[], Any]
) -> None:
    with pytest.raises(UnsupportedStatementError, match="cannot be known"):
        run(engine, make())
    assert_exact(engine, storage, paper, b"a", b"b")


@on_servers
def test_replace_is_refused_where_sql_has_no_such_insert(
    engine: Engine, storage: MemoryStorage
) -> None:
    mapped = registry()
    kind = type("Refused", (), {})
    mapped.map_imperatively(kind, paper)
    with pytest.raises(UnsupportedStatementError, match="which rows INSERT OR REPLACE deletes"):
        run(engine, insert(kind).prefix_with("OR REPLACE").values(id=1, body=b"x"))
    mapped.dispose()
    assert_exact(engine, storage, paper, b"a", b"b")


@sqlite_only
def test_a_refused_update_is_named_as_in_sql(engine: Engine, storage: MemoryStorage) -> None:
    mapped = registry()
    kind = type("Refused", (), {})
    mapped.map_imperatively(kind, paper)
    with (
        Session(engine) as session,
        pytest.raises(UnsupportedStatementError, match="which rows UPDATE OR REPLACE deletes"),
    ):
        session.execute(update(kind).prefix_with("OR REPLACE").values(title="a"))
    mapped.dispose()


@sqlite_only
def test_a_row_that_is_ignored_leaves_nothing(engine: Engine, storage: MemoryStorage) -> None:
    for content in (b"x", b"y"):
        run(engine, insert(ignoring), {"title": "same", "body": File(content)})
    rows = [{"title": title, "body": File(b"z")} for title in ("new", "same", "new")]
    run(engine, insert(ignoring), rows)
    assert_exact(engine, storage, ignoring, b"a", b"b", b"x", b"z")


@sqlite_only
def test_a_row_that_lacks_a_value_and_is_ignored_leaves_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    rows = [{"part": part, "body": File(b"x")} for part in ("first", None, "last")]
    run(engine, insert(indexed), rows)
    assert_exact(engine, storage, indexed, b"a", b"b", b"x", b"x")


@sqlite_only
def test_a_unique_index_tells_which_rows_are_replaced(
    engine: Engine, storage: MemoryStorage
) -> None:
    statement = insert(indexed).prefix_with("OR REPLACE")
    for content in (b"old", b"new"):
        row = {"title": "same", "part": "", "note": "same", "body": File(content)}
        run(engine, statement, row)
    run(engine, statement, {"title": "else", "part": "", "note": "same", "body": File(b"else")})
    assert_exact(engine, storage, indexed, b"a", b"b", b"else", b"new")


@sqlite_only
@pytest.mark.parametrize("table", [failing, paper], ids=str)
def test_rows_before_one_that_fails_keep_their_files(
    engine: Engine, storage: MemoryStorage, table: Table
) -> None:
    statement = insert(table)
    if table is paper:
        statement = statement.prefix_with("OR FAIL")
    titles = ["x", "y", "x", "z"]
    with engine.connect() as connection:
        with pytest.raises(IntegrityError):
            connection.execute(
                statement.values([{"title": title, "body": File(b"new")} for title in titles])
            )
        connection.commit()
    assert_exact(engine, storage, table, b"a", b"b", b"new", b"new")


@pytest.mark.parametrize("prefix", ["IGNORE", "ignore", "OR IGNORE", "LOW_PRIORITY IGNORE"])
@pytest.mark.parametrize("url", ["sqlite", "mariadb"], indirect=True)
def test_an_insert_that_ignores_its_errors_is_refused_before_anything_is_stored(
    engine: Engine, storage: MemoryStorage, prefix: str
) -> None:
    statement = insert(paper).prefix_with(prefix)
    for arguments in (
        (statement.values(id=1, body=File(b"x")),),
        (statement, {"id": 1, "body": File(b"x")}),
        (statement, [{"id": 1, "body": File(b"x")}, {"id": 2, "body": None}]),
    ):
        with pytest.raises(UnsupportedStatementError, match="read the row first"):
            run(engine, *arguments)
    assert_exact(engine, storage, paper, b"a", b"b")


# --- ON CONFLICT DO NOTHING

TARGETS: dict[str, dict[str, Any]] = {
    "any index": {},
    "the key": {"index_elements": ["id"]},
    "columns": {"index_elements": [paper.c.id]},
}


def do_nothing(engine: Engine, target: str) -> Any:
    dialect: Any = sqlite if engine.dialect.name == "sqlite" else postgresql
    return dialect.insert(paper).on_conflict_do_nothing(**TARGETS[target])


@with_upserts
@pytest.mark.parametrize("target", TARGETS)
def test_a_row_that_is_left_out_leaves_no_object(
    engine: Engine, storage: MemoryStorage, target: str
) -> None:
    statement = do_nothing(engine, target)
    run(engine, statement.values(id=1, title="new", body=File(b"x")))
    assert_exact(engine, storage, paper, b"a", b"b")
    run(engine, statement.values(id=3, title="new", body=File(b"c")))
    assert_exact(engine, storage, paper, b"a", b"b", b"c")


@with_upserts
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("form", ["values", "parameters"])
def test_rows_that_are_left_out_leave_no_objects_and_others_keep_theirs(
    engine: Engine, storage: MemoryStorage, target: str, form: str
) -> None:
    ids = [3, 1, 3, 4, 2]
    rows = [{"id": n, "title": f"{i}", "body": File(f"{n}{i}")} for i, n in enumerate(ids)]
    statement = do_nothing(engine, target)
    run(engine, *((statement.values(rows),) if form == "values" else (statement, rows)))
    assert_exact(engine, storage, paper, b"a", b"b", b"30", b"43")


@with_upserts
def test_rows_that_are_left_out_are_known_with_returning_too(
    engine: Engine, storage: MemoryStorage
) -> None:
    statement = do_nothing(engine, "any index").returning(paper.c.id)
    with engine.begin() as connection:
        rows = [{"id": n, "title": f"{n}", "body": File(f"{n}")} for n in (1, 3)]
        assert connection.execute(statement.values(rows)).scalars().all() == [3]
        file = File(b"y")
        assert connection.execute(statement.values(id=2, body=file)).scalars().all() == []
        assert connection.execute(statement.values(id=4, body=File(b"4"))).scalars().all() == [4]
    assert not file.saved
    assert_exact(engine, storage, paper, b"a", b"b", b"3", b"4")


@with_upserts
@pytest.mark.parametrize("target", TARGETS)
def test_what_a_savepoint_has_left_out_and_put_in_goes_with_it(
    engine: Engine, storage: MemoryStorage, target: str
) -> None:
    statement = do_nothing(engine, target)
    with engine.begin() as connection:
        with connection.begin_nested() as savepoint:
            connection.execute(statement.values(id=3, title="3", body=File(b"3")))
            connection.execute(statement.values(id=1, title="4", body=File(b"1")))
            savepoint.rollback()
        with connection.begin_nested():
            connection.execute(statement.values(id=4, title="5", body=File(b"4")))
            connection.execute(statement.values(id=1, title="6", body=File(b"1")))
    assert_exact(engine, storage, paper, b"a", b"b", b"4")


@with_upserts
@pytest.mark.parametrize("target", TARGETS)
def test_a_row_that_is_left_out_takes_no_file_from_another(
    engine: Engine, storage: MemoryStorage, target: str
) -> None:
    statement = do_nothing(engine, target)
    with engine.begin() as connection:
        file = connection.scalar(
            paper.select().where(paper.c.id == 2).with_only_columns(paper.c.body)
        )
        connection.execute(statement.values(id=1, title="x", body=file))
        connection.execute(update(paper).where(paper.c.id == 2).values(body=None))
    assert_exact(engine, storage, paper, b"a")


@with_upserts
def test_an_upsert_that_does_nothing_follows_the_orm_as_well(
    engine: Engine, storage: MemoryStorage
) -> None:
    mapped = registry()
    kind = type("Mapped", (), {})
    mapped.map_imperatively(kind, paper)
    dialect: Any = sqlite if engine.dialect.name == "sqlite" else postgresql
    with Session(engine) as session:
        statement = dialect.insert(kind).on_conflict_do_nothing(index_elements=["id"])
        session.execute(statement, [{"id": n, "title": f"{n}", "body": b"%d" % n} for n in (1, 3)])
        session.commit()
    mapped.dispose()
    assert_exact(engine, storage, paper, b"a", b"b", b"3")
