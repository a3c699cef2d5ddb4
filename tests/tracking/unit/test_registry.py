"""The unit of a connection is found by what the pool has lent it."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import contents

metadata = MetaData()
paper = Table("paper", metadata, Column("id", Integer, primary_key=True), Column("body", FileField))


def test_sessions_whose_connections_share_one_of_the_pool_are_told_apart(
    storage: MemoryStorage,
) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"id": 1, "body": File(b"a")}, {"id": 2, "body": File(b"b")}]
        connection.execute(insert(paper), rows)
    with Session(engine) as one, Session(engine) as other:
        one.execute(update(paper).where(paper.c.id == 1).values(body=File(b"c")))
        other.execute(update(paper).where(paper.c.id == 2).values(body=File(b"d")))
        one.commit()
        assert contents(storage) == [b"b", b"c", b"d"]
    engine.dispose()
