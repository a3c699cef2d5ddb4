"""Tables whose columns change after the first statement on them."""

from __future__ import annotations

from sqlalchemy import Column, Engine, Integer, MetaData, Table, delete, insert, text, update

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger.columns import all_file_columns
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import contents, keys


def _declared(metadata: MetaData, engine: Engine) -> Table:
    table = Table(
        "redeclared", metadata, Column("id", Integer, primary_key=True), Column("body", FileField)
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(table).values(id=1, body=File(b"a")))
    return table


def test_a_reflected_column_may_become_a_file_column_after_the_first_statement(
    engine: Engine, storage: MemoryStorage
) -> None:
    _declared(MetaData(), engine)
    metadata = MetaData()
    table = Table("redeclared", metadata, autoload_with=engine)
    with engine.begin() as connection:
        connection.execute(update(table).values(id=2))
    Table("redeclared", metadata, Column("body", FileField), extend_existing=True)
    with engine.begin() as connection:
        connection.execute(update(table).values(body=File(b"b")))
        assert contents(storage) == [b"a", b"b"]
    assert contents(storage) == [b"b"]
    with engine.begin() as connection:
        connection.execute(delete(table))
    assert not keys(storage)


def test_a_field_that_replaces_another_one_decides_what_is_kept(
    engine: Engine, storage: MemoryStorage
) -> None:
    metadata = MetaData()
    table = _declared(metadata, engine)
    kept = Column("body", FileField(on_release="keep"))
    Table("redeclared", metadata, kept, extend_existing=True)
    with engine.begin() as connection:
        connection.execute(delete(table))
        assert not connection.scalar(text("SELECT count(*) FROM redeclared"))
    assert contents(storage) == [b"a"]


def test_a_table_may_be_declared_while_file_columns_are_looked_for(
    engine: Engine, storage: MemoryStorage
) -> None:
    metadata = MetaData()
    table = _declared(metadata, engine)
    for found, _ in all_file_columns(metadata):
        assert found is table
        Table("later", metadata, Column("id", Integer, primary_key=True))
