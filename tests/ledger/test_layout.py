"""A ledger of an earlier release gets the layout of this one, in place, and keeps its notes."""

from __future__ import annotations

from sqlalchemy import Engine, MetaData, inspect, select

from .earlier import first_layout, trigger_of_first_layout
from .helpers import Schema, record, run

OLD = [("s/old", 1700000000001, 1700000000002, 3, "no answer"), ("s/older", 1, 2, 0, None)]


def _before(engine: Engine, schema: Schema) -> None:
    plain = MetaData()
    schema.letter.to_metadata(plain)
    with engine.begin() as connection:
        plain.create_all(connection)
        first_layout(connection)
        trigger_of_first_layout(connection)


def _notes(connection, schema: Schema) -> list[tuple]:
    note = schema.ledger.releases.c
    query = select(note.path, note.at, note.due_at, note.tries, note.last_error)
    return sorted(tuple(row) for row in connection.execute(query))


def test_old_notes_are_kept_and_new_ones_are_written(engine: Engine) -> None:
    schema = Schema()
    _before(engine, schema)
    with engine.begin() as connection:
        assert ("sqlalchemy_file_release", "out of date") in schema.problems(connection)
        schema.ledger.install(connection)
        assert schema.problems(connection) == set()
        assert _notes(connection, schema) == OLD
        run(connection, "INSERT INTO letter (id, body) VALUES (1, :v)", v=record("s/new"))
        run(connection, "DELETE FROM letter")
        assert [row[0] for row in _notes(connection, schema)] == ["s/new", "s/old", "s/older"]


def test_an_upgraded_table_is_like_a_new_one(engine: Engine) -> None:
    schema = Schema()
    found = []
    for upgraded in (True, False):
        if upgraded:
            _before(engine, schema)
        schema.metadata.create_all(engine)
        columns = inspect(engine).get_columns("sqlalchemy_file_release")
        indexes = inspect(engine).get_indexes("sqlalchemy_file_release")
        found.append(
            (
                {each["name"]: (str(each["type"]), each["nullable"]) for each in columns},
                {each["name"]: each.get("default") for each in columns},
                sorted((each["name"], each["column_names"]) for each in indexes),
            )
        )
        schema.metadata.drop_all(engine)
    assert found[0] == found[1]


def test_triggers_of_an_earlier_release_write_into_the_new_layout(engine: Engine) -> None:
    schema = Schema()
    schema.metadata.create_all(engine)
    with engine.begin() as connection:
        schema.ledger.uninstall(connection)
        trigger_of_first_layout(connection)
        run(connection, "INSERT INTO letter (id) VALUES (1)")
        run(connection, "DELETE FROM letter")
        assert [row[0] for row in _notes(connection, schema)] == ["s/first"]


def test_ids_are_not_used_again(engine: Engine) -> None:
    schema = Schema()
    schema.metadata.create_all(engine)
    note = schema.ledger.releases.c
    ids = []
    with engine.begin() as connection:
        for number in range(3):
            run(connection, "INSERT INTO letter (id, body) VALUES (1, :v)", v=record(f"s/{number}"))
            run(connection, "DELETE FROM letter")
            ids.append(connection.scalar(select(note.id)))
            connection.execute(schema.ledger.releases.delete())
    assert len(set(ids)) == 3
