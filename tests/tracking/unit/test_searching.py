"""Objects in doubt at the end of a transaction: all tables are searched before they are deleted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import on_sqlite_and_postgresql, postgresql_only, sqlite_only, tables_on
from tests.stores import contents, forget, keys, named


class Base(DeclarativeBase):
    pass


class Letter(Base):
    __tablename__ = "found_letter"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str | None] = mapped_column(String(20))
    body: Mapped[File | None] = mapped_column(FileField())
    seal: Mapped[File | None] = mapped_column(FileField())

    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "letter"}


class Parcel(Letter):
    __tablename__ = "found_parcel"

    id: Mapped[int] = mapped_column(ForeignKey("found_letter.id"), primary_key=True)
    label: Mapped[File | None] = mapped_column(FileField())

    __mapper_args__: ClassVar = {"polymorphic_identity": "parcel"}


class Deed(Base):
    __tablename__ = "found_deed"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(on_release="keep"))


attachment = Table(
    "found_attachment",
    Base.metadata,
    Column("letter_id", ForeignKey("found_letter.id"), primary_key=True),
    Column("content", FileField()),
)


class Elsewhere(DeclarativeBase):
    """Mapped classes with a metadata of their own."""


class Attic(Elsewhere):
    __tablename__ = "found_attic"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())


letter: Any = Letter.__table__
deed: Any = Deed.__table__
TABLES = {
    "found_letter": ("body", "seal"),
    "found_parcel": ("label",),
    "found_deed": ("body",),
    "found_attachment": ("content",),
    "found_attic": ("body",),
}


@pytest.fixture
def engine(url: str, storage: MemoryStorage) -> Iterator[Engine]:
    rows = [{"id": n, "kind": "letter", "body": File(label)} for n, label in ((1, "a"), (2, "b"))]
    with tables_on(url, Base.metadata) as engine, tables_on(url, Elsewhere.metadata):
        with engine.begin() as connection:
            connection.execute(insert(letter), rows)
        yield engine


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """Let the tables have a ledger; to be asked for before the engine."""
    ledger = Ledger(Base.metadata)
    yield ledger
    forget(ledger)


def assert_exact(engine: Engine, storage: MemoryStorage, *expected: bytes) -> None:
    paths = [path for table, columns in TABLES.items() for path in named(engine, table, *columns)]
    assert sorted(paths) == sorted(f"main/{key}" for key in keys(storage))
    assert contents(storage) == sorted(expected)


def plain(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


EMPTIED = "UPDATE found_letter SET body = NULL WHERE id = 1"
FROM_LETTER = "SELECT 1, body FROM found_letter WHERE id = 1"
MOVES = {
    "another table": (f"INSERT INTO found_deed (id, body) {FROM_LETTER}", EMPTIED),
    "another column": ("UPDATE found_letter SET seal = body WHERE id = 1", EMPTIED),
    "a child's table": (f"INSERT INTO found_parcel (id, label) {FROM_LETTER}", EMPTIED),
    "an association": (
        f"INSERT INTO found_attachment (letter_id, content) {FROM_LETTER}",
        EMPTIED,
    ),
    "another metadata": (f"INSERT INTO found_attic (id, body) {FROM_LETTER}", EMPTIED),
    "another table, from a row that goes": (
        f"INSERT INTO found_deed (id, body) {FROM_LETTER}",
        "DELETE FROM found_letter WHERE id = 1",
    ),
}


@pytest.mark.parametrize(
    ("url", "move"),
    [
        *(("sqlite", move) for move in MOVES),
        *((url, "another table") for url in ("postgresql", "mariadb")),
        *((url, "another metadata") for url in ("postgresql", "mariadb")),
    ],
    indirect=["url"],
)
def test_a_new_file_that_plain_sql_moves_stays(
    engine: Engine, storage: MemoryStorage, move: str
) -> None:
    with Session(engine) as session:
        session.get_one(Letter, 1).body = File(b"new")
        session.flush()
        plain(session.connection(), *MOVES[move])
        session.commit()
    assert_exact(engine, storage, b"new", b"b")


ENDS = {
    "delete": lambda connection: connection.execute(delete(letter).where(letter.c.id == 1)),
    "replace": lambda connection: connection.execute(
        update(letter).where(letter.c.id == 1).values(body=None)
    ),
    "another key": lambda connection: connection.execute(
        update(letter).where(letter.c.id == 1).values(id=9)
    ),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_nested", [False, True])
@sqlite_only
def test_a_new_file_that_plain_sql_moves_stays_whatever_becomes_of_its_first_row(
    engine: Engine, storage: MemoryStorage, end: str, is_nested: bool
) -> None:
    with engine.begin() as connection:
        connection.execute(update(letter).where(letter.c.id == 1).values(body=File(b"new")))
        plain(connection, *MOVES["another table"])
        if is_nested:
            with connection.begin_nested():
                ENDS[end](connection)
        else:
            ENDS[end](connection)
    assert_exact(engine, storage, b"new", b"b")


def test_a_new_file_whose_row_plain_sql_deletes_goes(
    engine: Engine, storage: MemoryStorage
) -> None:
    with Session(engine) as session:
        session.get_one(Letter, 1).body = File(b"new")
        session.flush()
        plain(session.connection(), "DELETE FROM found_letter WHERE id = 1")
        session.commit()
    assert_exact(engine, storage, b"b")


@pytest.mark.parametrize("table", [letter, deed], ids=["deletes", "keeps"])
@pytest.mark.parametrize("action", ["nothing", "update"])
@on_sqlite_and_postgresql
def test_what_an_upsert_did_not_insert_goes_though_plain_sql_deletes_the_row_in_its_way(
    ledger: Ledger, engine: Engine, storage: MemoryStorage, table: Any, action: str
) -> None:
    dialect: Any = sqlite if engine.dialect.name == "sqlite" else postgresql
    upsert = dialect.insert(table)
    if action == "nothing":
        upsert = upsert.on_conflict_do_nothing(index_elements=["id"])
    else:
        excluded = {"body": upsert.excluded.body}
        upsert = upsert.on_conflict_do_update(index_elements=["id"], set_=excluded)
    with engine.begin() as connection:
        connection.execute(upsert, [{"id": 8, "body": File(each)} for each in (b"x", b"y")])
        plain(connection, f"DELETE FROM {table.name} WHERE id = 8")
    assert_exact(engine, storage, b"a", b"b")
    with engine.connect() as connection:
        assert not connection.execute(select(ledger.releases).where(_is_kept(ledger))).all()


def _is_kept(ledger: Ledger) -> Any:
    return ledger.releases.c.lease == "kept"


def test_a_table_that_the_database_lacks_refers_to_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    Elsewhere.metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(update(letter).where(letter.c.id == 1).values(body=File(b"new")))
        plain(connection, EMPTIED)
    Elsewhere.metadata.create_all(engine)
    assert_exact(engine, storage, b"b")


def test_a_column_that_the_database_lacks_refers_to_nothing(
    engine: Engine, storage: MemoryStorage
) -> None:
    with engine.begin() as connection:
        plain(connection, "ALTER TABLE found_deed RENAME COLUMN body TO former")
    with engine.begin() as connection:
        connection.execute(update(letter).where(letter.c.id == 1).values(body=File(b"new")))
        plain(connection, EMPTIED)
    assert contents(storage) == [b"b"]


cellar = MetaData(schema="found_cellar")
Table("found_deed", cellar, Column("id", Integer), Column("body", FileField()))
HIDDEN = {
    "no right": "GRANT INSERT ON found_deed TO found_clerk",
    "a policy": "GRANT ALL ON found_deed TO found_clerk;"
    "ALTER TABLE found_deed ENABLE ROW LEVEL SECURITY;"
    "CREATE POLICY written ON found_deed FOR INSERT WITH CHECK (true)",
    "no right to the schema": "GRANT ALL ON found_deed TO found_clerk;"
    "ALTER TABLE found_deed SET SCHEMA found_cellar; CREATE TABLE found_deed (id integer)",
}


@pytest.mark.parametrize("hidden", HIDDEN)
@postgresql_only
def test_nothing_in_doubt_is_deleted_if_rows_are_hidden_from_the_role(
    engine: Engine, storage: MemoryStorage, caplog: pytest.LogCaptureFixture, hidden: str
) -> None:
    with engine.begin() as connection:
        plain(
            connection,
            "DROP SCHEMA IF EXISTS found_cellar CASCADE; CREATE SCHEMA found_cellar",
            "DROP ROLE IF EXISTS found_clerk; CREATE ROLE found_clerk",
            "GRANT ALL ON found_letter TO found_clerk",
            HIDDEN[hidden],
        )
    with engine.begin() as connection:
        plain(connection, "SET LOCAL ROLE found_clerk")
        connection.execute(update(letter).where(letter.c.id == 1).values(body=File(b"new")))
        plain(connection, EMPTIED)
    assert contents(storage) == [b"b", b"new"]
    assert "1 objects are kept: a row of found_" in caplog.text
    with engine.begin() as connection:
        plain(connection, "DROP SCHEMA found_cellar CASCADE")
        plain(connection, "DROP OWNED BY found_clerk; DROP ROLE found_clerk")


@sqlite_only
def test_a_view_may_hide_the_row_that_refers_to_a_file(
    engine: Engine, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        plain(
            connection,
            "CREATE VIEW found_view AS SELECT id, body FROM found_letter WHERE seal IS NULL",
            "CREATE TRIGGER found_put INSTEAD OF UPDATE ON found_view BEGIN "
            "UPDATE found_letter SET body = NEW.body WHERE id = NEW.id; END",
        )
    view = Table(
        "found_view",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("body", FileField()),
    )
    with caplog.at_level(logging.WARNING), engine.begin() as connection:
        connection.execute(update(view).where(view.c.id == 1).values(body=File(b"new")))
        plain(
            connection,
            "CREATE TABLE found_heap AS SELECT body FROM found_letter WHERE id = 1",
            "DELETE FROM found_letter WHERE id = 1",
        )
    assert b"new" in contents(storage)
    assert "a view may hide rows" in caplog.text


def test_statements_without_doubts_search_no_other_table(
    engine: Engine, storage: MemoryStorage
) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with Session(engine) as session:
        session.add(Letter(id=3, body=File(b"third")))
        session.execute(update(Letter).where(Letter.id == 1).values(body=File(b"new")))
        session.execute(delete(Letter).where(Letter.id == 2))
        session.commit()
    sent = list(statements)
    assert_exact(engine, storage, b"new", b"third")
    assert not any("found_attachment" in each or "found_attic" in each for each in sent)


# --- schemas, and several databases


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "connect")
    def attach(connection: Any, record: object) -> None:
        for name in ("one", "two"):
            connection.execute(f"ATTACH DATABASE '{tmp_path / name}.db' AS {name}")

    for name in ("one", "two"):
        with engine.begin() as connection:
            connection.execution_options(schema_translate_map={None: name})
            Base.metadata.create_all(connection)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("target", ["one", "two"])
def test_a_new_file_that_plain_sql_moves_stays_in_the_schemas_of_statement_and_connection(
    tenants: Engine, storage: MemoryStorage, target: str
) -> None:
    mine: dict[str, Any] = {"schema_translate_map": {None: "one"}}
    with tenants.connect().execution_options(schema_translate_map={None: "two"}) as connection:
        connection.execute(insert(letter).values(id=1), execution_options=mine)
        change = update(letter).where(letter.c.id == 1).values(body=File(b"new"))
        connection.execute(change, execution_options=mine)
        plain(
            connection,
            f"INSERT INTO {target}.found_deed (id, body) SELECT id, body FROM one.found_letter",
            "DELETE FROM one.found_letter",
        )
        connection.commit()
    assert contents(storage) == [b"new"]


def test_of_several_databases_each_is_searched_for_its_own_objects(
    tmp_path: Path, storage: MemoryStorage
) -> None:
    first, second = (create_engine(f"sqlite:///{tmp_path}/{name}.db") for name in "ab")
    Base.metadata.create_all(first)
    Elsewhere.metadata.create_all(second)
    with Session(binds={Base: first, Elsewhere: second}) as session:
        session.add_all([Letter(id=1), Letter(id=2), Attic(id=1)])
        session.commit()
        for kind, number, label in ((Letter, 1, b"moves"), (Letter, 2, b"goes"), (Attic, 1, b"c")):
            session.get_one(kind, number).body = File(label)
        session.flush()
        here = session.connection(bind_arguments={"mapper": Letter})
        plain(here, *MOVES["another table"], "DELETE FROM found_letter WHERE id = 2")
        session.commit()
    assert contents(storage) == [b"c", b"moves"]
    for engine in (first, second):
        engine.dispose()
