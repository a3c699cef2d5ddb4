"""A server that keeps names of tables in small letters, as MariaDB does on Windows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, Table, create_engine, select

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger, named_paths
from sqlalchemy_file.reconcile import drain, status
from tests.services import mariadb
from tests.services.required import require
from tests.stores import add_memory, contents

from .helpers import record, run


@pytest.fixture
def folding() -> Iterator[Engine]:
    require(mariadb)
    with mariadb.folding_names() as server:
        engine = create_engine(server.url)
        yield engine
        engine.dispose()


def test_names_in_capitals_are_found(folding: Engine) -> None:
    storage = add_memory("s")
    metadata = MetaData()
    ledger = Ledger(metadata)
    files = [Column("Body", FileField()), Column("id", Integer, primary_key=True)]
    letter = Table("Letter", metadata, *files)
    key = ForeignKey("Letter.id", ondelete="CASCADE")
    Table("Page", metadata, Column("parent", Integer, key), Column("File", FileField()))
    metadata.create_all(folding)
    with folding.begin() as connection:
        assert ledger.problems(connection) == []
        run(connection, "INSERT INTO Letter VALUES (:v, 1)", v=record("s/a"))
        run(connection, "INSERT INTO page VALUES (1, :v)", v=record("s/b"))
        assert named_paths(connection, ledger, ["s/a", "s/b", "s/c"]) == {"s/a", "s/b"}
        run(connection, "DELETE FROM letter")
        assert set(connection.scalars(select(ledger.releases.c.path))) == {"s/a", "s/b"}
        connection.execute(ledger.releases.delete())
    with folding.begin() as connection:
        connection.execute(letter.insert().values(id=2, Body=File(b"x")))
    with folding.begin() as connection:
        run(connection, "DELETE FROM LETTER")
    assert [each.kind for each in drain(folding, metadata)] == ["deleted"]
    assert contents(storage) == []
    assert status(folding, metadata).problems == []
    metadata.create_all(folding)
    metadata.drop_all(folding)
