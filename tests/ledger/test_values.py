"""Whatever a file column holds, no statement of a user fails, and sound records are understood."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, text

from sqlalchemy_file.ledger.dialects import mariadb, postgresql_bodies, sqlite

from .helpers import Schema, record, run

ESCAPED = r'{"path": "s/\u00fc", "files": ["s/\u00fc", "s/\ud83d\ude00", "s\/slash"]}'
SOUND = {
    "one file": (record("s/a"), ["s/a"]),
    "several objects": (record("s/a", "s/b"), ["s/a", "s/b"]),
    "a list": (f"[{record('s/a')}, {record('s/b')}]", ["s/a", "s/b"]),
    "an object twice": (record("s/a", "s/a"), ["s/a"]),
    "no files": ('{"path": "s/a"}', ["s/a"]),
    "no path": ('{"files": ["s/a"]}', ["s/a"]),
    "other letters": (json.dumps({"files": ["s/ü", "s/😀"]}, ensure_ascii=False), ["s/ü", "s/😀"]),
    "escapes": (ESCAPED, ["s/slash", "s/ü", "s/😀"]),
    "quotes": (record("s/a'b", 's/"c"', "s/$d`"), ['s/"c"', "s/$d`", "s/a'b"]),
    "others among files": ('{"files": ["s/a", 1, null, ["x"], {"y": "z"}]}', ["s/a"]),
    "others among records": (f"[1, null, [], {record('s/a')}]", ["s/a"]),
    "a path too long": (record("s/a", "s/" + "b" * 3000), ["s/a"]),
    "spaces": ('{ "files" : [ "s/a" ] , "path" : "s/a" }', ["s/a"]),
    "two that differ": ('{"files": ["s/b"], "path": "s/a"}', ["s/a", "s/b"]),
    "a megabyte": (json.dumps({"files": ["s/a"], "note": "x" * 1_000_000}), ["s/a"]),
    "a path of a megabyte": (record("s/a", "x" * 1_000_000), ["s/a"]),
}
NOTHING = {
    "null": "null",
    "a number": "5",
    "a large number": "1e400",
    "a string": '"s/a"',
    "an empty list": "[]",
    "an empty object": "{}",
    "files that are an object": '{"files": {"a": 1}}',
    "files that are a number": '{"files": 1}',
    "a path that is a list": '{"path": [1]}',
    "numbers like paths": '{"path": 1, "files": [1]}',
    "deep": "[" * 30 + "]" * 30,
}
NO_JSON = {
    "cut off": '{"path": "s/a", "files": ["s/',
    "empty": "",
    "a word": "null and void",
    "very deep": "[" * 3000,
}
NUL = r'{"path": "s/a", "files": ["s/a"], "name": "a\u0000b"}'
SURROGATE = r'{"path": "s/a", "files": ["s/a", "s/\ud83d\ude00"], "name": "\ud800 \\u0000 \udc00"}'


def _write_over(engine: Engine, values: list[str | None]) -> list[list[str]]:
    """Write each value, replace it and delete it; return what each of them released."""
    schema = Schema()
    found = []
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        allow_anything(connection)
        for value in values:
            run(connection, "DELETE FROM sqlalchemy_file_release")
            run(connection, "INSERT INTO letter (id, body) VALUES (1, :v), (2, :v)", v=value)
            run(connection, "UPDATE letter SET body = NULL WHERE id = 1")
            updated = schema.released(connection)
            run(connection, "UPDATE letter SET body = :v WHERE id = 1", v=value)
            run(connection, "DELETE FROM sqlalchemy_file_release")
            run(connection, "DELETE FROM letter")
            assert schema.released(connection) == updated
            found.append(updated)
    return found


def allow_anything(connection) -> None:
    if connection.dialect.name == "mariadb":  # its JSON is text with a CHECK
        run(connection, "ALTER TABLE letter MODIFY body LONGTEXT")


def test_sound_records_release_their_objects(engine: Engine) -> None:
    found = _write_over(engine, [value for value, _ in SOUND.values()])
    assert dict(zip(SOUND, found, strict=True)) == {
        name: sorted(paths) for name, (_, paths) in SOUND.items()
    }


def test_what_names_no_object_releases_none(engine: Engine) -> None:
    found = _write_over(engine, [None, *NOTHING.values()])
    assert {name for name, paths in zip(["NULL", *NOTHING], found, strict=True) if paths} == set()


@pytest.mark.parametrize("name", ["sqlite", "mariadb"])
def test_text_that_is_no_json_releases_nothing(request, name: str) -> None:
    found = _write_over(request.getfixturevalue(name), list(NO_JSON.values()))
    assert {name for name, paths in zip(NO_JSON, found, strict=True) if paths} == set()


def test_escapes_that_cannot_be_text_do_no_harm(postgresql: Engine, sqlite: Engine) -> None:
    assert _write_over(postgresql, [NUL, SURROGATE]) == [["s/a"], ["s/a", "s/😀"]]
    assert _write_over(sqlite, [NUL, SURROGATE]) == [["s/a"], ["s/a", "s/😀"]]


def test_escapes_that_cannot_be_text_do_no_harm_on_mariadb(mariadb: Engine) -> None:
    assert _write_over(mariadb, [NUL, SURROGATE]) == [["s/a"], []]


@pytest.mark.parametrize("escape", [r"\u0000", r"\ud800", r"\udc00x"])
def test_a_path_that_cannot_be_text_is_passed_over(engine: Engine, escape: str) -> None:
    value = rf'{{"path": "s/{escape}", "files": ["s/{escape}", "{escape}s"]}}'
    assert _write_over(engine, [value]) == [[]]


def test_bytes_in_a_file_column_do_no_harm(sqlite: Engine) -> None:
    assert _write_over(sqlite, [b"\xff\x00{", record("s/a").encode(), 5, 1.5]) == [[], [], [], []]


def test_jsonb_is_read_as_json_is(postgresql: Engine) -> None:
    schema = Schema()
    with postgresql.begin() as connection:
        schema.metadata.create_all(connection)
        run(connection, "ALTER TABLE letter ALTER body TYPE jsonb")
        run(connection, "INSERT INTO letter (id, body) VALUES (1, :v)", v=ESCAPED)
        run(connection, "DELETE FROM letter")
        assert schema.released(connection) == ["s/slash", "s/ü", "s/😀"]


def test_a_number_that_jsonb_refuses_does_no_harm(postgresql: Engine) -> None:
    value = '{"path": "s/a", "files": ["s/a"], "size": 1e200000}'
    assert _write_over(postgresql, [value]) == [[]]


HOSTILE: dict[str, Callable[[int], str]] = {
    "escaped NULs": lambda n: _named(r"\u0000" * 2_500 * n),
    "halves of pairs": lambda n: _named(r"\ud800" * 2_500 * n),
    "backslashes": lambda n: _named(r"\\" * 6_000 * n + r"\u0000"),
    "many objects": lambda n: json.dumps(
        {"path": "s/a", "files": [f"s/{k}" for k in range(150 * n)]}
    ),
    "many records": lambda n: f"[{', '.join(record(f's/{k}') for k in range(60 * n))}]",
}


def _named(name: str) -> str:
    return f'{{"path": "s/a", "files": ["s/a"], "name": "{name}"}}'


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_the_time_that_a_value_takes_grows_with_its_length(
    engine: Engine, hostile: Callable[[int], str]
) -> None:
    """One value takes as long as sixteen of a sixteenth of its length; if quadratic, sixteen times.

    Both are the same amount of work, so the ratio holds on a machine that does other things too.
    """
    schema = Schema()
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        allow_anything(connection)
        ratios = []
        while not ratios or (min(ratios) > 4 and len(ratios) < 5):
            one, sixteen = (_seconds(connection, hostile(16 // count), count) for count in (1, 16))
            ratios.append(one / sixteen)
    assert min(ratios) < 4


def _seconds(connection: Connection, value: str, count: int) -> float:
    """Return how long it takes to replace and to delete values."""
    numbers = [{"i": number, "v": value} for number in range(1, count + 1)]
    connection.execute(text("INSERT INTO letter (id, body) VALUES (:i, :v)"), numbers)
    begun = time.perf_counter()
    run(connection, "UPDATE letter SET body = NULL")
    connection.execute(text("UPDATE letter SET body = :v WHERE id = :i"), numbers)
    run(connection, "DELETE FROM letter")
    seconds = time.perf_counter() - begun
    run(connection, "DELETE FROM sqlalchemy_file_release")
    return seconds


def test_a_value_that_is_too_long_is_not_read(engine: Engine, monkeypatch) -> None:
    for module in (postgresql_bodies, mariadb, sqlite):
        monkeypatch.setattr(module, "LONGEST_VALUE", 100)
    assert _write_over(engine, [record("s/a"), record("s/a", "s/" + "b" * 100)]) == [["s/a"], []]


def test_nesting_that_python_cannot_read_stops_no_statement(engine: Engine) -> None:
    schema = Schema()
    deep = "[" * 3000 + "]" * 3000
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        allow_anything(connection)
        run(connection, "INSERT INTO letter (id, body) VALUES (1, :v)", v=deep)
        connection.execute(schema.letter.update().values(body=None, title="x"))
        run(connection, "UPDATE letter SET body = :v", v=deep)
        connection.execute(schema.letter.delete())
        assert schema.released(connection) == []
