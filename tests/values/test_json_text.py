"""The JSON of file columns is decoded faster than SQLAlchemy does, and means the same."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from sqlalchemy import JSON, Engine, create_engine, select, text
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.orm import Session

from sqlalchemy_file.values.json_column import faster
from tests.models import Base, Paper

pytest.importorskip("msgspec")


@pytest.fixture(params=["msgspec", "Python alone"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "msgspec":
        monkeypatch.setitem(sys.modules, "msgspec.json", None)
    return str(request.param)


def loaded(engine: Engine, record: str) -> Any:
    """Return what a row loads whose column has this text."""
    with Session(engine) as session:
        session.execute(text("INSERT INTO paper (body) VALUES (:body)"), {"body": record})
        return session.scalars(select(Paper.body)).one()


@pytest.mark.parametrize(
    "value",
    [
        '{"size": 123456789012345678901234567890}',
        '{"size": -0.0}',
        '{"size": NaN}',
        '{"size": 1e400}',
        '{"filename": "\\ud800"}',
        '{"filename": "\\u0000 ü 😀"}',
        '{"size": 1, "size": 2}',
        ' \n{"size": 1}\t ',
    ],
)
@pytest.mark.usefixtures("decoder")
def test_a_record_loads_as_python_reads_it(engine: Engine, value: str) -> None:
    file = loaded(engine, value)
    assert repr(dict(file)) == repr(json.loads(value))


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("value", ["{", '{"size": 1} {}', "", "\ufeff{}"])
def test_text_that_is_no_json_fails_as_ever(engine: Engine, value: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        loaded(engine, value)


def test_a_decoder_that_the_program_has_chosen_is_used() -> None:
    def chosen(value: str) -> Any:
        return {**json.loads(value), "chosen": True}

    engine = create_engine("sqlite://", json_deserializer=chosen)
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execute(text("""INSERT INTO paper (body) VALUES ('{"size": 1}')"""))
        assert connection.scalars(select(Paper.body)).one()["chosen"]
    engine.dispose()


def test_msgspec_decodes_where_it_is_installed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def decode(value: str) -> Any:
        decoded.append(value)
        return json.loads(value)

    monkeypatch.setattr("msgspec.json.decode", decode)
    assert loaded(engine, '{"size": 1}')["size"] == 1
    assert decoded == ['{"size": 1}']


def test_without_msgspec_the_decoder_of_python_is_called_directly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "msgspec.json", None)
    others: list[str] = []
    assert faster(others.append, JSON(), SQLiteDialect())('{"size": 1}') == {"size": 1}
    assert others == []
