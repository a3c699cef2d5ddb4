"""One odd value in a file column is named, and everything else goes on."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import Column, Engine, String, Table, Uuid, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import compare, drain, status, sweep
from sqlalchemy_file.reconcile.references import read_value
from tests.calls import calls_noted
from tests.reconcile.helpers import Base, Paper, add, kinds, raw_delete, rows, store
from tests.stores import add_memory, keys

ID = "018f0000-0000-7000-8000-000000000000"
SOUND = {"path": f"main/{ID}", "files": [f"main/{ID}"], "upload_storage": "main", "size": 4}


def record(**changes: object) -> str:
    return json.dumps({**SOUND, **changes})


ODD = {
    "a size with a unit": record(size="12 MB"),
    "a size below 0": record(size=-1),
    "a size that is true": record(size=True),
    "a size that is a fraction": record(size=1.5),
    "a size that no number holds": record().replace('"size": 4', '"size": 1e400'),
    "a size with 400 digits": record().replace('"size": 4', f'"size": {"9" * 400}'),
    "half a surrogate pair in a name": record(filename="\ud800"),
    "the other half": record(filename="\udc00x"),
    "NUL in a name": record(filename="a\0b"),
    "NUL in a path": record(path=f"main/{ID}\0", files=[]),
    "half a surrogate pair in a path": record(path="main/\ud800", files=[]),
    "control characters in a path": record(path="main/a\nb", files=[]),
    "a number as storage": record(upload_storage=5),
    "an object as storage": record(upload_storage={"a": 1}),
    "a number as storage and no path": json.dumps({"upload_storage": 5, "file_id": ID, "size": 4}),
    "a path that leaves the storage": record(path="main/../etc/passwd", files=[]),
    "a path without a storage": record(path=ID, files=[], upload_storage=None),
    "a text": '"text"',
    "a number": "5",
    "a list with null": "[null]",
    "a list of lists": "[[]]",
    "a record that names nothing": '{"a": 1}',
    "an empty record": "{}",
    "one sound record and one that is none": f"[{record()}, 7]",
    "much nesting": '{"variants": ' + "[" * 90 + "]" * 90 + "}",
    "numbers as paths": '{"path": 5, "files": [1, null], "thumbnail": 3, "variants": [1]}',
}
NOT_JSON = ["", "{", "nonsense", "[" * 100_000, '{"path": "main/\\x"}']
FINE = ["null", "[]", record(), f"[{record()}]", record(size=None), record(filename="\U0001f600")]


def insert(engine: Engine, value: str, number: int = 100) -> bool:
    """Insert a row, and tell whether the database took it."""
    statement = text("INSERT INTO reconciled_paper (id, body) VALUES (:id, :value)")
    try:
        with engine.begin() as connection:
            connection.execute(statement, {"id": number, "value": value})
    except DBAPIError:
        return False
    return True


def test_odd_values_are_named_and_everything_else_goes_on(engine: Engine) -> None:
    storage = add_memory()
    add(engine, 3)
    taken = {f"row {n}: " for n, value in enumerate(ODD.values(), 100) if insert(engine, value, n)}
    assert len(taken) > 20
    lost = store(storage, age=timedelta(days=1))
    raw_delete(engine, "id = 1")
    found = status(engine, Base.metadata)
    details = [str(each.detail) for each in found.malformed]
    assert {row for row in taken if not any(row in detail for detail in details)} == set()
    assert len(details) == len(taken)
    assert not found.is_clean
    assert [each.name for each in found.storages] == ["main"]
    assert kinds(drain(engine, Base.metadata)) == {"deleted": 1}
    assert kinds(sweep(engine, Base.metadata, delete=True)) == {"deleted": 1}
    assert lost not in keys(storage)
    # ID, which some of them name
    assert kinds(compare(engine, Base.metadata)) == {"malformed": len(taken), "dangling": 1}
    raw_delete(engine, "id >= 100")
    assert [f"main/{key}" for key in keys(storage)] == sorted(rows(engine))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", NOT_JSON)
def test_what_is_not_json_is_named(engine: Engine, value: str) -> None:
    add_memory()
    add(engine, 1)
    insert(engine, value)
    assert [each.kind for each in status(engine, Base.metadata).malformed] == ["malformed"]
    assert kinds(compare(engine, Base.metadata)) == {"malformed": 1}


@pytest.mark.parametrize("value", FINE)
def test_what_is_unusual_but_sound_is_not_named(engine: Engine, value: str) -> None:
    storage = add_memory()
    store(storage, key=ID, age=timedelta(days=1))
    insert(engine, value)
    found = status(engine, Base.metadata)
    assert found.is_clean
    assert sum(each.files for each in found.columns) == value.count("path")
    assert sum(each.bytes for each in found.columns) == 4 * value.count('"size": 4')
    assert set(kinds(compare(engine, Base.metadata))) <= {"orphan"}


def test_sound_values_are_counted(engine: Engine) -> None:
    add_memory()
    add(engine, 2)
    with Session(engine) as session:
        pages = [File(b"1", filename="\U0001f600.txt"), File(b"22", filename="\u00e9\\ud.txt")]
        session.add_all([Paper(id=8, pages=pages), Paper(id=9, pages=[])])
        session.commit()
    insert(engine, "null")
    found = {
        each.column: (each.files, each.bytes) for each in status(engine, Base.metadata).columns
    }
    assert found == {"body": (2, 8), "pages": (2, 3)}


def test_of_many_malformed_values_the_first_are_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlalchemy_file.reconcile.findings.MOST_NAMED", 2)
    add_memory()
    for number in range(1, 6):
        insert(engine, "5", number)
    assert [each.detail for each in status(engine, Base.metadata).malformed] == [
        "reconciled_paper.body of row 1: 5 is not the record of a file",
        "reconciled_paper.body of row 2: 5 is not the record of a file",
        "3 more values",
    ]


def test_a_primary_key_that_cannot_be_read_stops_nothing(engine: Engine) -> None:
    class Odd(DeclarativeBase):
        pass

    keyed = Table(
        "reconciled_odd_key",
        Odd.metadata,
        Column("id", String(40), primary_key=True),
        Column("body", FileField(upload_storage="main")),
    )
    Ledger(Odd.metadata)
    add_memory()
    Odd.metadata.create_all(engine)
    try:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO reconciled_odd_key VALUES ('nonsense', '5')"))
        keyed.c.id.type = Uuid(native_uuid=False)  # a program that expects others
        (found,) = status(engine, Odd.metadata).malformed
        assert found.detail is not None
        assert "row nonsense: 5 is not the record of a file" in found.detail
    finally:
        Odd.metadata.drop_all(engine)


@pytest.mark.parametrize("value", [*ODD.values(), *NOT_JSON, "[" * 900 + "]" * 900])
def test_every_odd_value_has_a_fault(value: str) -> None:
    add_memory()
    assert read_value(value).faults


@pytest.mark.parametrize("value", FINE)
def test_no_sound_value_has_one(value: str) -> None:
    add_memory()
    assert read_value(value).faults == []


def test_few_functions_are_called_to_read_a_value() -> None:
    with calls_noted() as places:
        read_value(record())
    assert len(places) <= 17  # each row costs as much
