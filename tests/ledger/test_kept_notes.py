"""Triggers note what keeping columns release, whoever releases it: such notes say that it stays."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file import FileField
from sqlalchemy_file.ledger import Ledger

from .helpers import Schema, fill, record, run

TWO = record("s/a", "s/thumbnail")


def test_a_deleted_row_notes_what_it_kept(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, archived=TWO, body=record("s/b"))
    with engine.begin() as connection:
        run(connection, "DELETE FROM letter")
        assert schema.kept(connection) == ["s/a", "s/thumbnail"]
        assert schema.released(connection) == ["s/b"]


def test_a_replaced_file_is_noted_as_kept_but_not_what_the_row_goes_on_naming(
    engine: Engine,
) -> None:
    schema = Schema()
    fill(engine, schema, archived=record("s/a"))
    with engine.begin() as connection:
        run(connection, "UPDATE letter SET archived = :new", new=record("s/b"))
        run(connection, "UPDATE letter SET body = archived, archived = NULL")
        run(connection, "UPDATE letter SET title = 'x'")
        assert schema.kept(connection) == ["s/a"]
        assert schema.released(connection) == []


def test_a_list_that_keeps_is_noted_like_a_single_file(engine: Engine) -> None:
    schema = Schema()
    fill(engine, schema, archived=f"[{record('s/a')}, {record('s/b')}]")
    with engine.begin() as connection:
        run(connection, "UPDATE letter SET archived = :new", new=f"[{record('s/b')}]")
        assert schema.kept(connection) == ["s/a"]


def test_a_cascade_notes_what_keeping_columns_held(engine: Engine) -> None:
    schema = Schema()
    below = schema.files_below("page", "letter")
    below.append_column(Column("scan", FileField(on_release="keep")))
    fill(engine, schema)
    with engine.begin() as connection:
        values = {"body": record("s/b"), "scan": TWO}
        run(connection, "INSERT INTO page VALUES (1, 1, :body, :scan)", **values)
        run(connection, "DELETE FROM letter")
        assert schema.kept(connection) == ["s/a", "s/thumbnail"]
        assert schema.released(connection) == ["s/b"]


def test_truncating_notes_what_keeping_columns_held(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema, archived=TWO, body=record("s/b"))
    with postgresql.begin() as connection:
        run(connection, "TRUNCATE letter")
        assert schema.kept(connection) == ["s/a", "s/thumbnail"]
        assert schema.released(connection) == ["s/b"]


@pytest.mark.parametrize("gone", ["body", "archived"])
def test_where_a_column_is_gone_the_others_are_noted_all_the_same(
    engine: Engine, gone: str
) -> None:
    if engine.dialect.name == "sqlite":
        return  # it does not let a column go that a trigger reads
    schema = Schema()
    fill(engine, schema, archived=TWO, body=record("s/b"))
    with engine.begin() as connection:
        run(connection, f"ALTER TABLE letter DROP COLUMN {gone}")
        run(connection, "DELETE FROM letter")
        assert schema.kept(connection) == ([] if gone == "archived" else ["s/a", "s/thumbnail"])
        assert schema.released(connection) == ([] if gone == "body" else ["s/b"])


def _table(**options: str) -> tuple[MetaData, Ledger]:
    metadata = MetaData()
    Table(
        "paper", metadata, Column("id", Integer, primary_key=True),
        Column("text", FileField(**options)),
    )  # fmt: skip
    return metadata, Ledger(metadata)


def test_a_column_that_keeps_from_now_on_and_then_no_longer(engine: Engine) -> None:
    old, keeping = Schema.of(*_table()), Schema.of(*_table(on_release="keep"))
    with engine.begin() as connection:
        old.metadata.create_all(connection)
        for number, schema in enumerate((old, keeping, old)):
            schema.ledger.ensure(connection)
            assert schema.ledger.problems(connection) == []
            value = record(f"s/{number}")
            run(connection, "INSERT INTO paper VALUES (1, :value)", value=value)
            run(connection, "DELETE FROM paper")
        assert old.kept(connection) == ["s/1"]
        assert old.released(connection) == ["s/0", "s/2"]


def test_a_column_that_keeps_is_told_to_be_out_of_date_until_it_is_mended(engine: Engine) -> None:
    old, keeping = Schema.of(*_table()), Schema.of(*_table(on_release="keep"))
    with engine.begin() as connection:
        old.metadata.create_all(connection)
        assert ("paper", "out of date") in keeping.problems(connection)


def test_nothing_is_left_of_a_ledger_that_is_uninstalled_and_dropped(engine: Engine) -> None:
    schema = Schema()
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        schema.ledger.uninstall(connection)
        run(connection, f"DROP TABLE {schema.ledger.releases.name}")
        schema.metadata.create_all(connection)
        assert schema.ledger.problems(connection) == []
        schema.metadata.drop_all(connection)


def test_the_view_that_takes_kept_notes_lets_nobody_read_or_lease(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema, archived=TWO)
    with postgresql.begin() as connection:
        run(connection, "CREATE ROLE reader")
        run(connection, "GRANT DELETE ON letter TO reader")
    try:
        with postgresql.connect() as connection:
            view = _view(connection)
            for statement in (
                f"SELECT * FROM {view}",
                f"INSERT INTO {view} (path, lease) VALUES ('s/x', 'me')",
                f"UPDATE {view} SET due_at = 0",
                f"DELETE FROM {view}",
            ):
                run(connection, "SET LOCAL ROLE reader")
                with pytest.raises(DBAPIError, match="permission denied"):
                    run(connection, statement)
                connection.rollback()
            run(connection, "SET LOCAL ROLE reader")
            run(connection, "DELETE FROM letter")
            run(connection, "RESET ROLE")
            assert schema.kept(connection) == ["s/a", "s/thumbnail"]
    finally:
        with postgresql.begin() as connection:
            run(connection, "DROP OWNED BY reader")
            run(connection, "DROP ROLE reader")


def test_a_view_that_takes_no_notes_is_told_and_mended(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema)
    with postgresql.begin() as connection:
        run(connection, f"REVOKE ALL ON {_view(connection)} FROM PUBLIC")
        assert schema.problems(connection) == {("sqlalchemy_file_release", "disabled")}
        schema.ledger.ensure(connection)
        assert schema.ledger.problems(connection) == []


def test_a_view_whose_owner_may_not_write_notes_is_told_and_mended(postgresql: Engine) -> None:
    schema = Schema()
    fill(postgresql, schema, archived=TWO)
    try:
        with postgresql.begin() as connection:
            run(connection, "CREATE ROLE keeper")
            run(connection, f"ALTER VIEW {_view(connection)} OWNER TO keeper")
            assert schema.problems(connection) == {("sqlalchemy_file_release", "disabled")}
            schema.ledger.ensure(connection)
            assert schema.ledger.problems(connection) == []
            run(connection, "DELETE FROM letter")
            assert schema.kept(connection) == ["s/a", "s/thumbnail"]
    finally:
        with postgresql.begin() as connection:
            schema.metadata.drop_all(connection)
            run(connection, "DROP OWNED BY keeper")
            run(connection, "DROP ROLE keeper")


def test_what_could_not_be_noted_as_kept_is_noted_so_later(mariadb: Engine) -> None:
    schema = Schema()
    fill(mariadb, schema, archived=TWO, body=record("s/b"))
    name = schema.ledger.releases.name
    with mariadb.begin() as connection:
        run(connection, f"ALTER TABLE {name} RENAME TO elsewhere")
        run(connection, "DELETE FROM letter")
        run(connection, f"ALTER TABLE elsewhere RENAME TO {name}")
        assert (name, "missed notes") in schema.problems(connection)
        schema.ledger.ensure(connection)
        assert schema.kept(connection) == ["s/a", "s/thumbnail"]
        assert schema.released(connection) == ["s/b"]


def _view(connection: object) -> str:
    query = "SELECT relname FROM pg_class WHERE relname LIKE 'sqlalchemy_file_kept%'"
    return str(connection.exec_driver_sql(query.replace("%", "%%")).scalar_one())  # type: ignore[attr-defined]
