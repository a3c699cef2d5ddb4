"""Which paths rows still name, by scanning and by an index."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, event

from sqlalchemy_file.ledger import named_paths, references

from .helpers import Schema, fill, record, run
from .test_values import NO_JSON, NOTHING, NUL, SOUND, SURROGATE, allow_anything

ASKED = {"s/a", "s/b", "s/c", "s/kept", "s/ü", "s/100%_", "s/none", "s/A"}
HUGE = '{"path": "s/a", "size": ' + "9" * 5000 + "}"
BAD_TEXT = b'{"path": "s/b", "name": "\xff"}'


@pytest.fixture(params=[False, True], ids=["scanned", "indexed"])
def schema(request) -> Schema:
    return Schema(indexed=request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def indexing(request) -> Engine:
    """Return a database that has indexes on expressions."""
    return request.getfixturevalue(request.param)


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


def test_an_index_is_used_where_it_is_there(indexing: Engine) -> None:
    schema = Schema(indexed=True)
    fill(indexing, schema, body=record("s/a"))
    with indexing.begin() as connection:
        plans = []

        def explain(conn, cursor, statement, parameters, context, executemany) -> None:
            if "letter" in statement and statement.startswith("SELECT CAST"):
                inner = conn.connection.cursor()
                how = "EXPLAIN QUERY PLAN" if indexing.dialect.name == "sqlite" else "EXPLAIN"
                inner.execute(f"{how} {statement}", parameters)
                plans.append(str(inner.fetchall()))

        event.listen(connection, "before_cursor_execute", explain)
        paths = [f"s/{number}" for number in range(999)]
        assert named_paths(connection, schema.ledger, ["s/a", *paths]) == {"s/a"}
        assert len(plans) == 3
        assert all("sqlalchemy_file_index" in plan for plan in plans)
        assert all("SCAN" not in plan for plan in plans)
        if indexing.dialect.name == "postgresql":
            assert connection.exec_driver_sql("SHOW enable_seqscan").scalar() == "on"


PLAIN = {
    "a file": record("s/xyz"),
    "a thumbnail": json.dumps(
        {"path": "s/a", "files": ["s/a", "s/xyz"], "thumbnail": {"path": "s/xyz"}}
    ),
    "a storage that is called files": json.dumps(
        {"path": "s/xyz", "files": ["s/xyz"], "upload_storage": "files", "file_id": "path"}
    ),
    "a name with an accent": json.dumps({"path": "s/xyz", "files": ["s/xyz"], "filename": "Łódź"}),
}
DOUBTFUL = {
    "two names alike": '{"path": "s/a", "files": ["s/a"], "path": "s/xyz"}',
    "two lists": '{"path": "s/a", "files": ["s/a"], "files": ["s/xyz"]}',
    "two thumbnails": (
        '{"path": "s/a", "files": ["s/a", "s/b"], "thumbnail": {"path": "s/b"}, '
        '"thumbnail": {"p": "s/xyz"}, "upload_storage": "s"}'
    ),
    "escaped letters beside": r'{"path": "s/a", "files": ["s/a"], "\u0070ath": "s/xyz"}',
    "a space before a colon": '{"path": "s/a", "files": ["s/a"], "path" : "s/xyz"}',
    "another list": '{"path": "s/a", "files": ["s/xyz"]}',
    "a list": json.dumps([{"path": "s/xyz", "files": ["s/xyz"]}]),
}


@pytest.mark.parametrize("value", (PLAIN | DOUBTFUL).values(), ids=PLAIN | DOUBTFUL)
def test_an_index_finds_what_a_scan_finds(sqlite: Engine, value: str) -> None:
    fill(sqlite, Schema(), body=value)
    asked = ["s/xyz", "s/a", "s/b"]
    with sqlite.begin() as connection:
        scanned = named_paths(connection, Schema().ledger, asked)
        later = Schema(indexed=True)
        later.ledger.ensure(connection)
        assert later.problems(connection) == set()
        assert named_paths(connection, later.ledger, asked) == scanned


@pytest.mark.parametrize("value", PLAIN.values(), ids=PLAIN)
def test_plain_records_need_no_reading(
    sqlite: Engine, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = Schema(indexed=True)
    fill(sqlite, schema, body=value)
    read = []
    paths_in = references.paths_in_value
    monkeypatch.setattr(
        references, "paths_in_value", lambda *args: read.append(1) or paths_in(*args)
    )
    with sqlite.begin() as connection:
        assert named_paths(connection, schema.ledger, ["s/none"]) == set()
        assert read == []
        assert named_paths(connection, schema.ledger, ["s/xyz"]) == {"s/xyz"}
        assert read == [1]


def test_without_its_index_the_table_is_scanned_and_the_index_missed(indexing: Engine) -> None:
    schema, later = Schema(), Schema(indexed=True)
    fill(indexing, schema, body=record("s/a"))
    reader = {("sqlalchemy_file_release", "missing trigger")}
    with indexing.begin() as connection:
        assert later.problems(connection) == {("letter", "missing trigger")} | (
            reader if indexing.dialect.name == "postgresql" else set()
        )
        assert named_paths(connection, later.ledger, ["s/a"]) == {"s/a"}
        later.ledger.ensure(connection)
        assert later.problems(connection) == set()
        assert schema.problems(connection) == {("letter", "out of date")}
        schema.ledger.ensure(connection)
        assert schema.problems(connection) == set()


def test_an_index_refuses_no_value(postgresql: Engine) -> None:
    fill(postgresql, Schema(indexed=True), body=r'{"files": ["s/a"], "name": "\u0000"}')
