"""Which paths rows still name, by scanning and by an index."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, event

from sqlalchemy_file.ledger import named_paths

from .helpers import Schema, fill, record, run

ASKED = {"s/a", "s/b", "s/c", "s/kept", "s/ü", "s/100%_", "s/none", "s/A"}


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


def test_an_index_is_used_where_it_is_there(postgresql: Engine) -> None:
    schema = Schema(indexed=True)
    fill(postgresql, schema, body=record("s/a"))
    with postgresql.begin() as connection:
        run(connection, "SET LOCAL enable_seqscan = off")
        plans = []

        def explain(conn, cursor, statement, parameters, context, executemany) -> None:
            if "&&" in statement:
                inner = conn.connection.cursor()
                inner.execute(f"EXPLAIN {statement}", parameters)
                plans.append(str(inner.fetchall()))

        event.listen(connection, "before_cursor_execute", explain)
        assert named_paths(connection, schema.ledger, ["s/a"]) == {"s/a"}
        assert len(plans) == 3
        assert all("sqlalchemy_file_index" in plan for plan in plans)


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
