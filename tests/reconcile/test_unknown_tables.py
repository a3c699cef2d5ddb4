"""What deletes refuses where a table that it does not know writes into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import compare, drain, sweep
from tests.reconcile.helpers import Base, add, age
from tests.reconcile.others import Draft, SharingBase
from tests.services.databases import database_on
from tests.stores import add_memory, contents

PASSES: dict[str, Callable[..., Iterator[Any]]] = {
    "drain": drain,
    "sweep": lambda *given, **options: sweep(*given, delete=True, **options),
    "compare": lambda *given, **options: compare(*given, delete=True, **options),
}
every_pass = pytest.mark.parametrize("search", PASSES.values(), ids=PASSES)


class ElsewhereBase(DeclarativeBase):
    pass


class Elsewhere(ElsewhereBase):
    """A table of another schema, of the same name as one that is known."""

    __tablename__ = Draft.__tablename__
    __table_args__ = {"schema": "elsewhere"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))


Ledger(ElsewhereBase.metadata)


@pytest.fixture
def schema(engine: Engine) -> Iterator[None]:
    """A schema beside the default one, with a table that writes into the same ledger."""
    cascade = "CASCADE" if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS elsewhere {cascade}"))
        connection.execute(text("CREATE SCHEMA elsewhere"))
    SharingBase.metadata.create_all(engine)
    ElsewhereBase.metadata.create_all(engine)
    yield
    ElsewhereBase.metadata.drop_all(engine, tables=[Elsewhere.__table__])
    SharingBase.metadata.drop_all(engine, tables=[Draft.__table__])
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA elsewhere {cascade}"))


@every_pass
@pytest.mark.usefixtures("schema")
@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_a_table_of_the_same_name_in_another_schema_is_unknown(
    engine: Engine, search: Callable[..., Iterator[Any]]
) -> None:
    storage = add_memory()
    add(engine, 1)
    with Session(engine) as session:
        session.add(Elsewhere(id=1, body=File(b"elsewhere")))
        session.commit()
    age(storage)
    shared = [(engine, SharingBase.metadata)]
    with pytest.raises(LedgerError, match=r"elsewhere\.sharing_draft"):
        list(search(engine, Base.metadata, others=shared))
    assert contents(storage) == [b"body", b"elsewhere"]
    shared.append((engine, ElsewhereBase.metadata))
    assert list(search(engine, Base.metadata, others=shared)) == []


@every_pass
def test_a_table_of_the_same_name_in_another_database_is_unknown(
    engine: Engine, tmp_path: Any, search: Callable[..., Iterator[Any]]
) -> None:
    add_memory()
    SharingBase.metadata.create_all(engine)
    other = create_engine(f"sqlite:///{tmp_path}/another.db")
    SharingBase.metadata.create_all(other)
    try:
        with pytest.raises(LedgerError, match="sharing_draft"):
            list(search(engine, Base.metadata, others=[(other, SharingBase.metadata)]))
    finally:
        SharingBase.metadata.drop_all(engine, tables=[Draft.__table__])
        other.dispose()


class PartedBase(DeclarativeBase):
    pass


class Parted(PartedBase):
    __tablename__ = "unknown_parted"
    __table_args__ = {"postgresql_partition_by": "LIST (year)"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))


parted_ledger = Ledger(PartedBase.metadata)


@every_pass
def test_a_partition_that_was_detached_is_unknown(
    postgresql_server: str, search: Callable[..., Iterator[Any]]
) -> None:
    storage = add_memory()
    with database_on(postgresql_server, "postgresql+psycopg") as server:
        engine = create_engine(server.url, poolclass=NullPool)
        PartedBase.metadata.create_all(engine)
        with engine.begin() as connection:
            for year in (1, 2):
                part = f"CREATE TABLE unknown_part_{year} PARTITION OF unknown_parted"
                connection.execute(text(f"{part} FOR VALUES IN ({year})"))
            parted_ledger.ensure(connection)
        with Session(engine) as session:
            session.add_all(Parted(id=1, year=year, body=File(b"%d" % year)) for year in (1, 2))
            session.commit()
        age(storage)
        assert list(search(engine, PartedBase.metadata)) == []
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE unknown_parted DETACH PARTITION unknown_part_2"))
        with pytest.raises(LedgerError, match="unknown_part_2"):
            list(search(engine, PartedBase.metadata))
    assert contents(storage) == [b"1", b"2"]
