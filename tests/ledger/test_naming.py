"""Which paths rows still name, by scanning and by an index."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, event

from sqlalchemy_file.ledger import named_paths

from .helpers import Schema, fill, record, run
from .test_values import NO_JSON, NOTHING, NUL, SOUND, SURROGATE, allow_anything

ASKED = {"s/a", "s/b", "s/c", "s/kept", "s/ü", "s/100%_", "s/none", "s/A"}
HUGE = '{"path": "s/a", "size": ' + "9" * 5000 + "}"
BAD_TEXT = b'{"path": "s/b", "name": "\xff"}'


@pytest.fixture(params=[False, True], ids=["scanned", "indexed"])
def schema(request) -> Schema:
    return Schema(indexed=request.param)


def test_paths_are_found_wherever_a_row_names_them(engine: Engine, schema: Schema) -> None:
    pictures = json.dumps([{"files": ["s/b", "s/c"]}, {"path": "s/ü"}])
    fill(
        engine, schema, body=record("s/a", "s/100%_"), pictures=pictures, archived=record("s/kept")
    )
    with engine.connect() as connection:
        assert schema.ledger.problems(connection) == []
        named = named_paths(connection, schema.ledger, ASKED)
        assert named == ASKED - {"s/none", "s/A"}
        assert named_paths(connection, schema.metadata, ["s/a", "s/x"]) == {"s/a"}
        assert named_paths(connection, schema.metadata, []) == set()


def test_many_paths_are_asked_for_in_batches(engine: Engine, schema: Schema) -> None:
    fill(engine, schema, body=record("s/7", "s/1999"))
    with engine.connect() as connection:
        paths = [f"s/{number}" for number in range(2000)]
        assert named_paths(connection, schema.ledger, paths) == {"s/7", "s/1999"}


def test_sound_records_are_found_beside_odd_ones(engine: Engine, schema: Schema) -> None:
    values = [each for each, _ in SOUND.values()] + list(NOTHING.values()) + [NUL, HUGE]
    values += [SURROGATE, *NO_JSON.values()] if engine.dialect.name != "postgresql" else [SURROGATE]
    values += [b"\xff\x00{", 5, 1.5] if engine.dialect.name == "sqlite" else []
    sound = {path for _, paths in SOUND.values() for path in paths if len(path) < 2000}
    fill(engine, schema)
    with engine.begin() as connection:
        allow_anything(connection)
        for number_of_row, value in enumerate(values, 2):
            insert = "INSERT INTO letter (id, body) VALUES (:i, :v)"
            run(connection, insert, i=number_of_row, v=value)
        others = [f"s/none{index}" for index in range(1000)]
        assert named_paths(connection, schema.ledger, [*sound, *others]) == sound
        for path in sound:
            assert named_paths(connection, schema.ledger, [path, others[0]]) == {path}


ODD = {
    "escaped letters": r'{"path": "s/\u0078yz"}',
    "storage and key": '{"upload_storage": "s", "file_id": "xyz"}',
    "a thumbnail": '{"path": "s/a", "files": ["s/a"], "thumbnail": {"path": "s/xyz"}}',
    "a variant": '[{"path": "s/a", "files": ["s/a"], "variants": {"v": {"path": "s/xyz"}}}]',
    "a huge number": '{"path": "s/xyz", "size": 1e200000}',
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_path_is_found_however_a_record_names_it(
    engine: Engine, schema: Schema, value: str
) -> None:
    fill(engine, schema, body=value)
    with engine.connect() as connection:
        assert named_paths(connection, schema.ledger, ["s/xyz", "s/none"]) == {"s/xyz"}
        many = [f"s/{number}" for number in range(100)]
        assert named_paths(connection, schema.ledger, ["s/xyz", *many]) == {"s/xyz"}


def test_bytes_are_read_as_text(sqlite: Engine) -> None:
    schema = Schema()
    fill(sqlite, schema, body=record("s/a").encode())
    with sqlite.begin() as connection:
        run(connection, "INSERT INTO letter (body) VALUES (CAST(:v AS TEXT))", v=BAD_TEXT)
        assert named_paths(connection, schema.ledger, ASKED) == {"s/a", "s/b"}


def test_paths_are_found_outside_transactions(engine: Engine, schema: Schema) -> None:
    fill(engine, schema, body=record("s/a"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert named_paths(connection, schema.ledger, ASKED) == {"s/a"}


def test_an_index_is_used_where_it_is_there(postgresql: Engine) -> None:
    schema = Schema(indexed=True)
    fill(postgresql, schema, body=record("s/a"))
    with postgresql.begin() as connection:
        plans = []

        def explain(conn, cursor, statement, parameters, context, executemany) -> None:
            if "&&" in statement:
                inner = conn.connection.cursor()
                inner.execute(f"EXPLAIN {statement}", parameters)
                plans.append(str(inner.fetchall()))

        event.listen(connection, "before_cursor_execute", explain)
        paths = [f"s/{number}" for number in range(999)]
        assert named_paths(connection, schema.ledger, ["s/a", *paths]) == {"s/a"}
        assert len(plans) == 3
        assert all("sqlalchemy_file_index" in plan for plan in plans)
        assert connection.exec_driver_sql("SHOW enable_seqscan").scalar() == "on"


def test_without_its_index_the_table_is_scanned_and_the_index_missed(postgresql: Engine) -> None:
    schema, later = Schema(), Schema(indexed=True)
    fill(postgresql, schema, body=record("s/a"))
    with postgresql.begin() as connection:
        assert later.problems(connection) == {("letter", "missing trigger")}
        assert named_paths(connection, later.ledger, ["s/a"]) == {"s/a"}
        later.ledger.ensure(connection)
        assert later.problems(connection) == set()
        assert schema.problems(connection) == {("letter", "out of date")}
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == set()


def test_an_index_refuses_no_value(postgresql: Engine) -> None:
    fill(postgresql, Schema(indexed=True), body=r'{"files": ["s/a"], "name": "\u0000"}')
