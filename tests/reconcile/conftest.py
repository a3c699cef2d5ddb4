"""A database with a ledger, a storage, and what is in both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "reconciled_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(upload_storage="main", multiple=True)
    )


ledger = Ledger(Base.metadata)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/x.db"
    address: str = request.getfixturevalue(f"{request.param}_server")
    return address


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    yield engine
    Base.metadata.drop_all(engine)
    engine.dispose()
