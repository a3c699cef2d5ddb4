"""After a change of the schema writes work, ``problems`` tells, and ``ensure`` mends."""

from __future__ import annotations

import pytest
from sqlalchemy import (
    Column,
    Computed,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, registry

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger, named_paths
from tests.stores import add_memory, contents

from .helpers import Schema, fill, record, run


def _mended(schema: Schema, connection: Connection) -> bool:
    schema.ledger.ensure(connection)
    return schema.ledger.problems(connection) == []


def test_a_column_renamed(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"), pictures=record("s/b"))
    with engine.begin() as connection:
        run(connection, "ALTER TABLE letter RENAME COLUMN body TO content")
        run(connection, "UPDATE letter SET content = :v", v=record("s/new"))
        run(connection, "UPDATE letter SET pictures = NULL")
        assert "s/b" in schema.released(connection)
        assert ("letter", "missing column") in schema.problems(connection)
        renamed = Schema.__new__(Schema)
        renamed.metadata = MetaData()
        renamed.ledger = Ledger(renamed.metadata)
        columns = [Column("content", FileField()), Column("pictures", FileField(multiple=True))]
        Table("letter", renamed.metadata, Column("id", Integer, primary_key=True), *columns)
        assert ("letter", "out of date") in renamed.problems(connection)
        assert _mended(renamed, connection)
        run(connection, "DELETE FROM letter")
        assert "s/new" in renamed.released(connection)


def test_a_column_dropped(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"), pictures=record("s/b"))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            with pytest.raises(OperationalError, match="after drop column"):
                run(connection, "ALTER TABLE letter DROP COLUMN body")
            schema.ledger.uninstall(connection)
        run(connection, "ALTER TABLE letter DROP COLUMN body")
        run(connection, "UPDATE letter SET title = 'x'")
        if engine.dialect.name != "sqlite":
            run(connection, "UPDATE letter SET pictures = NULL")
            assert schema.released(connection) == ["s/b"]
            assert ("letter", "out of date") in schema.problems(connection)
        assert ("letter", "missing column") in schema.problems(connection)
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == {("letter", "missing column")}
        run(connection, "UPDATE letter SET pictures = :v", v=record("s/c"))
        run(connection, "DELETE FROM letter")
        assert "s/c" in schema.released(connection)


@pytest.mark.parametrize("type_", ["jsonb", "text", "bytea"])
def test_a_type_altered_on_postgresql(postgresql: Engine, type_: str) -> None:
    schema = Schema()
    fill(postgresql, schema, body=record("s/a"), pictures=record("s/b"))
    with postgresql.connect() as connection:
        run(connection, "INSERT INTO letter (id, body) VALUES (2, :v)", v=record("s/c"))
        run(connection, "UPDATE letter SET body = NULL WHERE id = 2")  # a plan is kept from now on
        convert = f"ALTER TABLE letter ALTER body TYPE {type_} USING body::text::{type_}"
        run(connection, convert)
        run(connection, "UPDATE letter SET pictures = NULL WHERE id = 1")
        run(connection, "DELETE FROM letter")
        released = schema.released(connection)
        assert released == (["s/b", "s/c"] if type_ == "bytea" else ["s/a", "s/b", "s/c"])
        if type_ == "bytea":
            assert ("letter", "wrong type") in schema.problems(connection)
            schema.ledger.ensure(connection)
        wrong = {("letter", "wrong type")} if type_ == "bytea" else set()
        assert schema.problems(connection) == wrong


def test_a_table_renamed(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"))
    with engine.begin() as connection:
        run(connection, "ALTER TABLE letter RENAME TO message")
        run(connection, "UPDATE message SET body = NULL")
        assert schema.released(connection) == ["s/a"]
        assert schema.problems(connection) == {
            ("letter", "missing table"),
            ("message", "unknown table"),
        }
        schema.metadata.remove(schema.letter)
        schema.letter.to_metadata(schema.metadata, name="message")
        assert ("message", "out of date") in schema.problems(connection)
        assert _mended(schema, connection)


def test_the_ledger_added_to_an_existing_schema(engine: Engine) -> None:
    plain, schema = MetaData(), Schema()
    schema.letter.to_metadata(plain)
    plain.create_all(engine)
    with engine.begin() as connection:
        assert ("sqlalchemy_file_release", "missing table") in schema.problems(connection)
        schema.ledger.install(connection)
        schema.ledger.install(connection)
        assert schema.problems(connection) == set()
        run(connection, "INSERT INTO letter (id, body) VALUES (1, :v)", v=record("s/a"))
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a"]


def test_create_all_adds_it_to_an_existing_schema_and_covers_tables_added_later(
    engine: Engine,
) -> None:
    schema = Schema()
    schema.metadata.create_all(engine, tables=[schema.letter])
    with engine.connect() as connection:
        kinds = schema.problems(connection)
    assert kinds == {("sqlalchemy_file_release", "missing table")}
    schema.metadata.create_all(engine)
    schema.files_below("page", "letter")
    with engine.connect() as connection:
        assert schema.problems(connection) == {("page", "missing table")}
    schema.metadata.create_all(engine)
    with engine.connect() as connection:
        assert schema.problems(connection) == set()


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_writes_work_without_the_ledgers_table(request, name: str) -> None:
    engine = request.getfixturevalue(name)
    schema = Schema()
    fill(engine, schema, body=record("s/a"))
    with engine.begin() as connection:
        run(connection, "DROP TABLE sqlalchemy_file_release CASCADE")
        run(connection, "UPDATE letter SET body = NULL")
        run(connection, "DELETE FROM letter")
        assert ("sqlalchemy_file_release", "missing table") in schema.problems(connection)


def test_triggers_dropped_or_out_of_date_are_told_and_mended(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"))
    with engine.begin() as connection:
        schema.ledger.uninstall(connection)
        assert schema.problems(connection) == {("letter", "missing trigger")} | (
            {("sqlalchemy_file_release", "missing trigger")}
            if engine.dialect.name == "postgresql"
            else set()
        )
        run(connection, "UPDATE letter SET body = NULL")
        assert schema.released(connection) == []
        assert _mended(schema, connection)


def test_a_table_that_has_no_file_columns_any_more_loses_its_triggers(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"))
    later = Schema()
    later.metadata.remove(later.letter)
    Table("letter", later.metadata, Column("id", Integer, primary_key=True))
    with engine.begin() as connection:
        assert ("letter", "out of date") in later.problems(connection)
        assert _mended(later, connection)
        run(connection, "DELETE FROM letter")
        assert later.released(connection) == []


def test_triggers_disabled_are_told_and_mended(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema, body=record("s/a"))
    with postgresql.begin() as connection:
        run(connection, "ALTER TABLE letter DISABLE TRIGGER USER")
        assert schema.problems(connection) == {("letter", "disabled")}
        assert _mended(schema, connection)
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a"]


def test_a_definer_who_is_gone_is_told_and_mended(mariadb: Engine) -> None:
    schema = Schema()
    fill(mariadb, schema, body=record("s/a"))
    with mariadb.begin() as connection:
        query = "SELECT trigger_name, action_statement FROM information_schema.triggers "
        name, body = connection.exec_driver_sql(query + "WHERE event_manipulation = 'DELETE'").one()
        run(connection, f"DROP TRIGGER {name}")
        connection.exec_driver_sql(
            f"CREATE DEFINER = 'nobody'@'nowhere' TRIGGER {name} AFTER DELETE ON letter "
            f"FOR EACH ROW {body}"
        )
        assert schema.problems(connection) == {("letter", "disabled")}
        assert _mended(schema, connection)
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a"]


def test_drop_all_leaves_nothing(engine: Engine) -> None:
    schema = Schema()
    schema.files_below("page", "letter")
    fill(engine, schema, body=record("s/a"))
    schema.metadata.drop_all(engine)
    left = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT proname FROM pg_proc WHERE proname LIKE 'sqlalchemy%'",
        "mariadb": "SELECT trigger_name FROM information_schema.triggers "
        "WHERE trigger_schema = database()",
    }
    with engine.connect() as connection:
        assert connection.exec_driver_sql(left[engine.dialect.name].replace("%", "%%")).all() == []


def test_a_table_dropped_below_another_leaves_its_parent_free(engine: Engine) -> None:
    schema = Schema()
    page = schema.files_below("page", "letter")
    fill(engine, schema, body=record("s/a"))
    with engine.begin() as connection:
        run(connection, "DROP TABLE page")
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a"]
        schema.metadata.remove(page)
        assert _mended(schema, connection)


ODD = ['we"ird `name`', "Größe:x %s 'q'", "select", "*/ back\\slash"]


@pytest.mark.parametrize("name", ODD)
def test_names_are_quoted(engine: Engine, name: str) -> None:
    metadata = MetaData()
    ledger = Ledger(metadata)
    column = name[::-1].replace("%", "§")
    table = Table(
        name.replace("%", "§"),
        metadata,
        Column("id", Integer, primary_key=True),
        Column(column, FileField().with_variant(JSONB(), "postgresql")),
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert ledger.problems(connection) == []
        quoted = engine.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"INSERT INTO {quoted} VALUES (1, '{record('s/a')}')")
        connection.exec_driver_sql(f"DELETE FROM {quoted}")
        paths = connection.execute(ledger.releases.select()).all()
        assert [row.path for row in paths] == ["s/a"]
    metadata.drop_all(engine)


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_tables_and_ledger_may_lie_in_other_schemas(request, name: str) -> None:
    engine = request.getfixturevalue(name)
    schema = Schema(schema="other")
    with engine.begin() as connection:
        run(connection, "CREATE SCHEMA other")
        Table(
            "memo",
            schema.metadata,
            Column("id", Integer, primary_key=True),
            Column("file", FileField()),
            schema="tenant",
        )
    translated = engine.execution_options(schema_translate_map={"tenant": "other"})
    with translated.begin() as connection:
        schema.metadata.create_all(connection)
        assert schema.problems(connection) == set()
        run(connection, "INSERT INTO letter (id, body) VALUES (1, :v)", v=record("s/a"))
        run(connection, "INSERT INTO other.memo VALUES (1, :v)", v=record("s/b"))
        run(connection, "DELETE FROM letter")
        run(connection, "DELETE FROM other.memo")
        assert schema.released(connection) == ["s/a", "s/b"]


def test_a_view_needs_no_triggers(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, body=record("s/a"))
    files = [Column("id", Integer, primary_key=True), Column("body", FileField())]
    Table("mail", schema.metadata, *files)
    with engine.begin() as connection:
        run(connection, "CREATE VIEW mail AS SELECT id, body FROM letter")
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == set()
        assert named_paths(connection, schema.ledger, ["s/a"]) == {"s/a"}
        run(connection, "DROP VIEW mail")
        assert schema.problems(connection) == {("mail", "missing table")}


def test_names_that_differ_in_case_are_told_apart_where_the_database_does(engine: Engine) -> None:
    schema = Schema()
    big = [Column("id", Integer, primary_key=True), Column("Files", FileField())]
    other = "LETTER" if engine.dialect.name != "sqlite" else "LETTER2"
    Table(other, schema.metadata, *big)
    fill(engine, schema, body=record("s/a"))
    quote = engine.dialect.identifier_preparer.quote_identifier
    with engine.begin() as connection:
        assert schema.problems(connection) == set()
        run(connection, f"INSERT INTO {quote(other)} VALUES (1, :v)", v=record("s/b"))
        run(connection, f"DELETE FROM {quote(other)}")
        assert schema.released(connection) == ["s/b"]
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a", "s/b"]


@pytest.mark.parametrize("name", ["sqlite", "mariadb"])
def test_columns_are_found_however_their_case_is(request, name: str) -> None:
    engine = request.getfixturevalue(name)
    schema = Schema()
    with engine.begin() as connection:
        table = "LETTER" if name == "sqlite" else "letter"
        run(connection, f"CREATE TABLE {table} (ID int, Title int, BODY text, Pictures text)")
        run(connection, f"ALTER TABLE {table} ADD Archived text")
        schema.ledger.install(connection)
        assert schema.problems(connection) == set()
        run(connection, "INSERT INTO letter (id, body) VALUES (1, :v)", v=record("s/a"))
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/a"]


def test_a_table_whose_first_column_is_generated_is_written_by_sessions(engine: Engine) -> None:
    storage = add_memory()
    metadata = MetaData()
    ledger = Ledger(metadata)
    number = Column("number", Integer, Computed("size + 1", persisted=True))
    columns = [number, Column("id", Integer, primary_key=True), Column("size", Integer)]
    table = Table("box", metadata, *columns, Column("body", FileField()))
    metadata.create_all(engine)

    class Box:
        pass

    registry().map_imperatively(Box, table)
    with Session(engine) as session:
        box = Box()
        box.size, box.body = 1, File(b"old")
        session.add(box)
        session.commit()
        box.body = File(b"new")
        session.commit()
        session.execute(update(Box).values(body=None))
        session.commit()
        assert contents(storage) == []
        assert ledger.problems(session.connection()) == []


def test_a_child_that_inherits_and_is_mapped_is_noted_once(postgresql: Engine) -> None:
    schema = Schema()
    Table(
        "urgent",
        schema.metadata,
        Column("id", Integer, primary_key=True),
        Column("body", FileField()),
        Column("seal", FileField()),
    )
    with postgresql.begin() as connection:
        columns = "id int, title text, body json, pictures json, archived json"
        run(connection, f"CREATE TABLE letter ({columns})")
        run(connection, "CREATE TABLE urgent (seal json) INHERITS (letter)")
        schema.ledger.install(connection)
        assert schema.problems(connection) == set()
        run(
            connection,
            "INSERT INTO urgent (id, body, pictures, seal) VALUES (1, :a, :b, :c)",
            a=record("s/a"),
            b=record("s/b"),
            c=record("s/c"),
        )
        run(connection, "DELETE FROM letter")
        paths = connection.scalars(select(schema.ledger.releases.c.path)).all()
        assert sorted(paths) == ["s/a", "s/b", "s/c"]
