"""Statements that succeed and do not do what they say: triggers, rules, policies, limits, races."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SAWarning
from sqlalchemy.orm import Session, registry
from sqlalchemy.orm.exc import StaleDataError

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import (
    mariadb_only,
    on_sqlite_and_postgresql,
    postgresql_only,
    sqlite_only,
    tables_on,
)
from tests.stores import contents, forget, keys, named

metadata = MetaData()
paper = Table(
    "veto_paper",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("title", String(20)),
    Column("is_deleted", Integer, server_default="0"),
    Column("body", FileField()),
)


class Paper:
    id: int
    title: str | None
    body: File | None


registry(metadata=metadata).map_imperatively(Paper, paper)


@pytest.fixture(params=[False, True], ids=["alone", "ledger"], autouse=True)
def has_ledger(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Let the table have a ledger, or none: what is deleted is the same."""
    if request.param:
        ledger = Ledger(metadata)
    yield request.param
    if request.param:
        forget(ledger)


@pytest.fixture
def engine(url: str, storage: MemoryStorage, has_ledger: bool) -> Iterator[Engine]:
    rows = [{"id": n, "title": label, "body": label} for n, label in enumerate("abc", start=1)]
    with tables_on(url, metadata) as engine:
        with engine.begin() as connection:
            connection.execute(insert(paper), rows)
        yield engine


FUNCTIONS = {
    "soft delete": "UPDATE veto_paper SET is_deleted = 1 WHERE id = OLD.id; RETURN NULL;",
    "refuse": "RETURN NULL;",
    "keep the value": "NEW.body := OLD.body; RETURN NEW;",
}
TRIGGERS: dict[str, dict[str, str]] = {
    "sqlite": {
        "soft delete": "BEFORE DELETE ON veto_paper WHEN OLD.title <> 'c' BEGIN "
        "UPDATE veto_paper SET is_deleted = 1 WHERE id = OLD.id; SELECT RAISE(IGNORE); END",
        "refuse": "BEFORE UPDATE ON veto_paper WHEN OLD.title <> 'c' "
        "BEGIN SELECT RAISE(IGNORE); END",
        "keep the value": "AFTER UPDATE OF body ON veto_paper WHEN OLD.title <> 'c' "
        "AND NEW.body IS NOT OLD.body BEGIN "
        "UPDATE veto_paper SET body = OLD.body WHERE id = OLD.id; END",
    },
    "mariadb": {
        "keep the value": "BEFORE UPDATE ON veto_paper FOR EACH ROW "
        "IF OLD.title <> 'c' THEN SET NEW.body = OLD.body; END IF",
    },
}


def veto(engine: Engine, kind: str) -> None:
    """Have the database keep all rows but one from being deleted, or changed."""
    name = engine.dialect.name
    with engine.begin() as connection:
        if name == "postgresql":
            verb = "DELETE" if kind == "soft delete" else "UPDATE"
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION veto() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {FUNCTIONS[kind]} END $$"
            )
            connection.exec_driver_sql(
                f"CREATE TRIGGER veto BEFORE {verb} ON veto_paper FOR EACH ROW "
                "WHEN (OLD.title <> 'c') EXECUTE FUNCTION veto()"
            )
        else:
            kinds = TRIGGERS["mariadb" if name != "sqlite" else name]
            connection.exec_driver_sql(f"CREATE TRIGGER veto {kinds[kind]}")


def assert_exact(engine: Engine, storage: MemoryStorage, *expected: bytes) -> None:
    assert sorted(named(engine, "veto_paper", "body")) == sorted(
        f"main/{key}" for key in keys(storage)
    )
    assert contents(storage) == sorted(expected)


def can_return(engine: Engine, verb: str) -> bool:
    return bool(getattr(engine.dialect, f"{verb}_returning"))


DELETES: dict[str, Callable[[Connection], Any]] = {
    "all": lambda connection: connection.execute(delete(paper)),
    "by key": lambda connection: connection.execute(delete(paper).where(paper.c.id == 1)),
    "some": lambda connection: connection.execute(delete(paper).where(paper.c.id < 3)),
    "returning": lambda connection: connection.execute(delete(paper).returning(paper.c.id)).all(),
    "sets": lambda connection: connection.execute(
        delete(paper).where(paper.c.id == bindparam("which")), [{"which": 1}, {"which": 3}]
    ),
    "session": lambda connection: _in_session(
        connection, lambda session, rows: [session.delete(row) for row in rows]
    ),
}


def _in_session(connection: Connection, act: Callable[[Session, Any], Any]) -> None:
    with Session(connection) as session:
        act(session, session.scalars(select(Paper).where(paper.c.id != 3)).all())
        try:
            session.flush()
        except (StaleDataError, SAWarning):  # rows that do not go are stale to the session
            connection.rollback()
            return
        session.commit()


@pytest.mark.parametrize("way", DELETES)
@on_sqlite_and_postgresql
def test_rows_that_a_trigger_keeps_from_being_deleted_keep_their_files(
    engine: Engine, storage: MemoryStorage, way: str
) -> None:
    veto(engine, "soft delete")
    with engine.connect() as connection:
        DELETES[way](connection)
        connection.commit()
    gone = way in ("all", "returning", "sets")
    assert_exact(engine, storage, b"a", b"b", *([] if gone else [b"c"]))


def _kept(engine: Engine) -> list[bytes]:
    with engine.connect() as connection:
        return sorted(label.encode() for label in connection.scalars(select(paper.c.title)))


UPDATES: dict[str, Callable[[Connection], Any]] = {
    "to nothing": lambda connection: connection.execute(update(paper).values(body=None)),
    "one": lambda connection: connection.execute(
        update(paper).where(paper.c.id == 1).values(body=File(b"new"))
    ),
    "sets": lambda connection: connection.execute(
        update(paper).where(paper.c.id == bindparam("which")),
        [{"which": 1, "body": File(b"x")}, {"which": 3, "body": File(b"y")}],
    ),
    "session": lambda connection: _in_session(
        connection, lambda session, rows: [setattr(row, "body", File(b"new")) for row in rows]
    ),
}


# MariaDB's triggers can keep a value, and cannot keep a row from being changed.
@pytest.mark.parametrize("way", UPDATES)
@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (database, kind)
        for database in ("sqlite", "postgresql", "mariadb")
        for kind in ("keep the value", "refuse")
        if database != "mariadb" or kind in TRIGGERS[database]
    ],
    indirect=["url"],
)
def test_rows_whose_value_a_trigger_keeps_keep_their_files(
    engine: Engine, storage: MemoryStorage, way: str, kind: str
) -> None:
    veto(engine, kind)
    with engine.connect() as connection:
        UPDATES[way](connection)
        connection.commit()
    remaining = {"to nothing": [b"a", b"b"], "sets": [b"a", b"b", b"y"]}
    assert_exact(engine, storage, *remaining.get(way, [b"a", b"b", b"c"]))


@postgresql_only
def test_a_rule_that_does_something_else_instead_keeps_the_files(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE RULE soft AS ON DELETE TO veto_paper WHERE OLD.title <> 'c' DO INSTEAD "
            "UPDATE veto_paper SET is_deleted = 1 WHERE id = OLD.id"
        )
    with engine.begin() as connection:
        connection.execute(delete(paper))
    assert_exact(engine, storage, b"a", b"b")


@postgresql_only
def test_rows_that_a_policy_does_not_let_be_deleted_keep_their_files(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS veto_clerk",
            "CREATE ROLE veto_clerk",
            "GRANT ALL ON veto_paper TO veto_clerk",
            "ALTER TABLE veto_paper ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY seen ON veto_paper FOR SELECT USING (true)",
            "CREATE POLICY changed ON veto_paper FOR UPDATE USING (true)",
            "CREATE POLICY gone ON veto_paper FOR DELETE USING (title = 'c')",
        ):
            connection.exec_driver_sql(statement)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL ROLE veto_clerk")
        connection.execute(delete(paper))
    assert_exact(engine, storage, b"a", b"b")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY veto_clerk; DROP ROLE veto_clerk")


# --- fewer rows than were read, without any trigger


def test_returned_rows_that_are_fewer_than_were_read_are_told_from_the_others(
    engine: Engine, storage: MemoryStorage
) -> None:
    assert can_return(engine, "delete")
    where = paper.c.id > 0
    if engine.dialect.name == "postgresql":
        statement = delete(paper).where(where, func.random() < 0)
    elif engine.dialect.name == "sqlite":
        # Every look at the rows finds other ones.
        statement = delete(paper).where(where, func.abs(func.random()) % 2 == 0)
    else:
        statement = delete(paper).with_dialect_options(mariadb_limit=1)
    with engine.begin() as connection:
        gone = connection.execute(statement.returning(paper.c.title)).all()
    kept = sorted({b"a", b"b", b"c"} - {label.encode() for (label,) in gone})
    assert_exact(engine, storage, *kept)


@mariadb_only
@pytest.mark.parametrize("returns", [False, True])
def test_a_limit_takes_the_files_of_the_rows_that_it_lets_through(
    engine: Engine, storage: MemoryStorage, returns: bool
) -> None:
    statement = delete(paper).with_dialect_options(mariadb_limit=1)
    with engine.begin() as connection:
        connection.execute(statement.returning(paper.c.id) if returns else statement)
    assert_exact(engine, storage, b"b", b"c")
    limited = update(paper).values(body=None).with_dialect_options(mariadb_limit=1)
    with engine.begin() as connection:
        connection.execute(limited)
    assert_exact(engine, storage, b"c")


@postgresql_only
@pytest.mark.parametrize("returns", [False, True])
def test_rows_that_another_transaction_took_away_meanwhile_keep_their_files(
    engine: Engine, storage: MemoryStorage, returns: bool
) -> None:
    first = select(paper.c.id).order_by(func.random()).limit(1).scalar_subquery()
    statement = delete(paper).where(paper.c.id == first)
    for _ in range(8):
        with engine.begin() as connection:
            connection.execute(statement.returning(paper.c.id) if returns else statement)
    assert_exact(engine, storage, *_kept(engine))


@mariadb_only
def test_an_update_that_ignores_its_errors_is_looked_up(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX veto_title ON veto_paper (title)")
    with engine.begin() as connection:
        statement = update(paper).prefix_with("IGNORE").where(paper.c.id == 1)
        connection.execute(statement.values(title="b", body=None))
    assert_exact(engine, storage, b"a", b"b", b"c")


@sqlite_only
@pytest.mark.parametrize("prefix", ["OR IGNORE", "or ignore"])
def test_an_update_or_ignore_is_looked_up(
    engine: Engine, storage: MemoryStorage, prefix: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX veto_title ON veto_paper (title)")
    with engine.begin() as connection:
        connection.execute(
            update(paper).prefix_with(prefix).where(paper.c.id < 3).values(title="c", body=None)
        )
    assert_exact(engine, storage, b"a", b"b", b"c")


# --- within one transaction


def test_what_is_replaced_twice_is_followed(engine: Engine, storage: MemoryStorage) -> None:
    with Session(engine) as session:
        one = session.get_one(Paper, 1)
        for content in (b"x", b"y", b"z"):
            one.body = File(content)
            session.flush()
        with session.begin_nested() as savepoint:
            one.body = File(b"undone")
            session.flush()
            savepoint.rollback()
        session.commit()
    assert_exact(engine, storage, b"z", b"b", b"c")


def test_a_row_whose_key_changes_keeps_its_new_file(engine: Engine, storage: MemoryStorage) -> None:
    with Session(engine) as session:
        session.get_one(Paper, 1).body = File(b"x")
        session.flush()
        session.execute(text("UPDATE veto_paper SET id = 9 WHERE id = 1"))
        session.commit()
    assert_exact(engine, storage, b"x", b"b", b"c")


@pytest.mark.parametrize("had_file", [True, False])
def test_a_new_file_stays_when_another_row_gets_the_primary_key_of_its_row(
    engine: Engine, storage: MemoryStorage, had_file: bool
) -> None:
    with Session(engine) as session:
        if not had_file:
            session.get_one(Paper, 1).body = None
            session.commit()
        one, two = session.get_one(Paper, 1), session.get_one(Paper, 2)
        one.body = File(b"x")
        session.flush()
        one.id = 9
        session.flush()
        two.id = 1
        session.commit()
    assert_exact(engine, storage, b"x", b"b", b"c")


def test_a_file_that_moved_goes_after_its_row_has_got_the_primary_key_of_the_first(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        one, two = session.get_one(Paper, 1), session.get_one(Paper, 2)
        one.body, two.body = File(b"x"), one.body
        session.flush()
        one.id = 9
        session.flush()
        two.id = 1
        session.flush()
        two.body = None
        session.commit()
    assert_exact(engine, storage, b"x", b"c")


def test_a_file_that_one_statement_gives_and_replaces_goes_though_the_row_gets_another_key(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        by_id = update(paper).where(paper.c.id == bindparam("which"))
        twice = [{"which": 1, "body": File(b"x")}, {"which": 1, "body": File(b"y")}]
        connection.execute(by_id, twice)
        connection.execute(update(paper).where(paper.c.id == 1).values(id=9))
    assert_exact(engine, storage, b"y", b"b", b"c")


def test_a_row_that_is_replaced_and_deleted_leaves_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        one = session.get_one(Paper, 1)
        one.body = File(b"x")
        session.flush()
        session.delete(one)
        session.commit()
    assert_exact(engine, storage, b"b", b"c")


def test_files_that_move_and_are_put_back_stay(engine: Engine, storage: MemoryStorage) -> None:
    with Session(engine) as session:
        one, two, three = (session.get_one(Paper, number) for number in (1, 2, 3))
        one.body, two.body, three.body = two.body, three.body, one.body
        session.flush()
        one.body, two.body = two.body, one.body
        session.flush()
        moved, three.body = three.body, None
        session.flush()
        two.body = moved
        session.commit()
    assert_exact(engine, storage, b"a", b"c")


def test_a_file_that_a_trigger_keeps_in_its_row_does_not_move_to_another(
    engine: Engine, storage: MemoryStorage
) -> None:
    veto(engine, "keep the value")
    with Session(engine) as session:
        one, three = session.get_one(Paper, 1), session.get_one(Paper, 3)
        taken, one.body = one.body, None
        session.flush()
        three.body = taken
        session.commit()
    assert_exact(engine, storage, b"a", b"a", b"b")
    with Session(engine) as session:
        one, three = session.get_one(Paper, 1), session.get_one(Paper, 3)
        three.body, one.body = one.body, None
        with pytest.raises(StorageError, match="two rows would refer to"):
            session.commit()
    assert_exact(engine, storage, b"a", b"a", b"b")


def test_parameter_sets_that_name_one_row_twice_release_its_file_once(
    engine: Engine, storage: MemoryStorage
) -> None:
    by_id = paper.c.id == bindparam("which")
    with engine.begin() as connection:
        connection.execute(
            update(paper).where(by_id),
            [{"which": 1, "body": File(b"x")}, {"which": 1, "body": File(b"y")}],
        )
    assert_exact(engine, storage, b"y", b"b", b"c")
    with engine.begin() as connection:
        connection.execute(delete(paper).where(by_id), [{"which": 1}, {"which": 1}])
    assert_exact(engine, storage, b"b", b"c")


BY_ID = update(paper).where(paper.c.id == bindparam("which"))


def _twice(connection: Connection, number: int = 1) -> None:
    contents = (b"x", b"y")
    connection.execute(BY_ID, [{"which": number, "body": File(each)} for each in contents])


@pytest.mark.parametrize("way", ["delete", "key", "key and back"])
@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("ending", ["release", "roll back"])
def test_a_row_that_one_statement_names_twice_leaves_nothing_of_the_first_file(
    engine: Engine, storage: MemoryStorage, way: str, is_nested: bool, ending: str
) -> None:
    with engine.begin() as connection:
        _twice(connection)
        with connection.begin_nested() if is_nested else nullcontext() as savepoint:
            if way == "delete":
                connection.execute(delete(paper).where(paper.c.id == 1))
            else:
                connection.execute(update(paper).where(paper.c.id == 1).values(id=9))
            if way == "key and back":
                connection.execute(update(paper).where(paper.c.id == 9).values(id=1))
            is_undone = savepoint is not None and ending == "roll back"
            if is_undone:
                savepoint.rollback()
    left = [b"b", b"c"] if way == "delete" and not is_undone else [b"b", b"c", b"y"]
    assert_exact(engine, storage, *left)


def test_a_row_named_twice_and_deleted_in_nested_savepoints_leaves_nothing_of_the_first_file(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        _twice(connection)
        with connection.begin_nested():
            with connection.begin_nested():
                _twice(connection, 2)
            connection.execute(delete(paper).where(paper.c.id < 3))
            connection.execute(insert(paper), {"id": 1, "body": File(b"z")})
    assert_exact(engine, storage, b"c", b"z")


@pytest.mark.parametrize("ending", ["release", "roll back"])
def test_a_value_that_a_trigger_kept_is_seen_before_a_savepoint_changes_the_primary_key(
    engine: Engine, storage: MemoryStorage, ending: str
) -> None:
    veto(engine, "keep the value")
    with engine.begin() as connection:
        connection.execute(update(paper).where(paper.c.id == 1).values(body=File(b"vetoed")))
        with connection.begin_nested() as savepoint:
            connection.execute(update(paper).where(paper.c.id == 1).values(id=9))
            if ending == "roll back":
                savepoint.rollback()
    assert_exact(engine, storage, b"a", b"b", b"c")


@pytest.mark.parametrize("ending", ["release", "roll back"])
def test_a_file_that_moved_is_followed_though_a_savepoint_gives_its_key_to_another_row(
    engine: Engine, storage: MemoryStorage, ending: str
) -> None:
    with Session(engine) as session:
        session.connection().execute(BY_ID, {"which": 3, "title": "c"})  # begins on SQLite
        one, two = session.get_one(Paper, 1), session.get_one(Paper, 2)
        one.body, two.body = File(b"x"), one.body
        session.flush()
        with session.begin_nested() as savepoint:
            one.id = 9
            session.flush()
            two.id = 1
            session.flush()
            two.body = None
            session.flush()
            if ending == "roll back":
                savepoint.rollback()
        session.commit()
    assert_exact(engine, storage, *([b"x", b"c"] if ending == "release" else [b"x", b"a", b"c"]))


@on_sqlite_and_postgresql
def test_upserts_that_name_a_row_twice_leave_nothing_of_the_first_file(
    engine: Engine, storage: MemoryStorage
) -> None:
    dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
    upsert = dialect.insert(paper)
    upsert = upsert.on_conflict_do_update(
        index_elements=["id"], set_={"body": upsert.excluded.body}
    )
    with engine.begin() as connection:
        connection.execute(upsert, [{"id": 8, "body": File(each)} for each in (b"x", b"y")])
        with connection.begin_nested():
            connection.execute(delete(paper).where(paper.c.id == 8))
    assert_exact(engine, storage, b"a", b"b", b"c")


@on_sqlite_and_postgresql
def test_what_was_not_inserted_goes_although_the_row_in_its_way_is_deleted(
    engine: Engine, storage: MemoryStorage
) -> None:
    dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(paper).on_conflict_do_nothing(index_elements=["id"])
    with engine.begin() as connection:
        connection.execute(statement, [{"id": n, "body": File(b"x")} for n in (1, 8, 8)])
        with connection.begin_nested():
            connection.execute(delete(paper).where(paper.c.id != 2))
    assert_exact(engine, storage, b"b")


def test_what_a_trigger_did_not_let_into_a_row_goes_although_the_row_is_deleted(
    engine: Engine, storage: MemoryStorage
) -> None:
    veto(engine, "keep the value")
    with Session(engine) as session:
        one = session.get_one(Paper, 1)
        one.body = File(b"vetoed")
        session.flush()
        session.delete(one)
        session.commit()
    assert_exact(engine, storage, b"b", b"c")


@sqlite_only
def test_a_row_that_is_replaced_twice_and_emptied_leaves_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        replace = insert(paper).prefix_with("OR REPLACE")
        connection.execute(replace, [{"id": 8, "body": File(each)} for each in (b"x", b"y")])
        connection.execute(update(paper).where(paper.c.id == 8).values(body=None))
    assert_exact(engine, storage, b"a", b"b", b"c")


MOVES = {
    "a move": (
        "UPDATE veto_paper SET body = (SELECT body FROM veto_paper WHERE id = 1) WHERE id = 2",
        "UPDATE veto_paper SET body = NULL WHERE id = 1",
    ),
    "another key": (
        "UPDATE veto_paper SET id = 9 WHERE id = 1",
        "UPDATE veto_paper SET id = 1 WHERE id = 2",
    ),
}


@pytest.mark.parametrize("kind", MOVES)
@sqlite_only
def test_what_plain_sql_gave_to_another_row_stays_when_its_first_row_is_deleted(
    engine: Engine, storage: MemoryStorage, kind: str
) -> None:
    with engine.begin() as connection:
        connection.execute(update(paper).where(paper.c.id == 1).values(body=File(b"moved")))
        for statement in MOVES[kind]:
            connection.exec_driver_sql(statement)
        connection.execute(delete(paper).where(paper.c.id == 1))
    assert {f"main/{key}" for key in keys(storage)} >= set(named(engine, "veto_paper", "body"))
    assert b"moved" in contents(storage)


VALUES: dict[str, tuple[list[str], bytes | None]] = {
    "twice": (["own", "own"], b"a"),
    "with nothing in between": (["own", "nothing", "own"], b"a"),
    "with another one in between": (["own", "new", "own"], b"a"),
    "and then nothing": (["own", "own", "nothing"], None),
    "after nothing": (["nothing", "own"], b"a"),
    "before another one": (["own", "new"], b"new"),
}


@pytest.mark.parametrize("values", VALUES)
def test_a_row_that_one_statement_gives_its_own_file_leaves_nothing_else(
    engine: Engine, storage: MemoryStorage, values: str
) -> None:
    kinds, last = VALUES[values]
    with engine.begin() as connection:
        own = connection.scalar(select(paper.c.body).where(paper.c.id == 1))
        given = {"own": own, "nothing": None, "new": File(b"new")}
        connection.execute(
            update(paper).where(paper.c.id == bindparam("which")).values(body=bindparam("what")),
            [{"which": 1, "what": given[kind]} for kind in kinds],
        )
    assert_exact(engine, storage, *filter(None, (last, b"b", b"c")))


@pytest.mark.parametrize("url", ["sqlite", "mariadb"], indirect=True)
def test_a_statement_that_fails_half_way_leaves_a_file_in_one_row(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX veto_title ON veto_paper (title)")
    with engine.begin() as connection:
        moving = connection.scalar(select(paper.c.body).where(paper.c.id == 2))
        statement = update(paper).where(paper.c.id == bindparam("which"))
        statement = statement.values(body=bindparam("what"), title=bindparam("label"))
        sets = [(1, moving, "a"), (2, None, "c")]
        with pytest.raises(IntegrityError):
            connection.execute(
                statement,
                [{"which": which, "what": what, "label": label} for which, what, label in sets],
            )
    assert_exact(engine, storage, b"b", b"b", b"c")
    with engine.begin() as connection:
        connection.execute(delete(paper).where(paper.c.id == 1))
    assert_exact(engine, storage, b"b", b"c")


@on_sqlite_and_postgresql
def test_what_was_not_inserted_goes_though_the_row_in_its_way_is_emptied(
    engine: Engine, storage: MemoryStorage
) -> None:
    dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(paper).on_conflict_do_nothing(index_elements=["id"])
    with engine.begin() as connection:
        connection.execute(statement, [{"id": n, "body": File(b"x")} for n in (1, 8)])
        connection.execute(update(paper).where(paper.c.id.in_((1, 8))).values(body=None))
    assert_exact(engine, storage, b"b", b"c")
