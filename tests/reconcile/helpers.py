"""What the tests of the drain, the sweep and the full pass share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import Finding
from sqlalchemy_file.reconcile.sweep import bound
from sqlalchemy_file.storage import Attributes, MemoryStorage
from tests.stores import named


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

OLD = timedelta(hours=3)


def add(engine: Engine, count: int) -> list[str]:
    """Commit rows with a file each, numbered from 1, and return the paths."""
    with Session(engine) as session:
        papers = [Paper(id=number, body=File(b"body")) for number in range(1, count + 1)]
        session.add_all(papers)
        session.commit()
        return [paper.body["path"] for paper in papers]


def raw_delete(engine: Engine, where: str = "1 = 1") -> None:
    """Delete rows as another program would, which knows nothing of files."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute(f"DELETE FROM reconciled_paper WHERE {where}")
        connection.commit()
    finally:
        connection.close()


def rows(engine: Engine) -> list[str]:
    return named(engine, "reconciled_paper", "body", "pages")


def pending(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(ledger.releases))


def kinds(findings: Iterable[Finding]) -> dict[str, int]:
    return dict(Counter(finding.kind for finding in findings))


def store(storage: MemoryStorage, *, age: timedelta, key: str | None = None) -> str:
    """Store an object as if some time ago, without a row."""
    made = datetime.now(UTC) - age
    key = key or f"{bound(int(made.timestamp() * 1000))}-7{str(uuid4())[15:]}"
    storage.put(key, BytesIO(b"lost"), Attributes())
    data, info = storage._objects[key]
    storage._objects[key] = data, replace(info, last_modified=made)
    return key


def age(storage: Any) -> None:
    """Make all objects of a storage in memory three hours older."""
    for key, (data, info) in list(storage._objects.items()):
        storage._objects[key] = data, replace(info, last_modified=info.last_modified - OLD)


def begin_grace_anew(engine: Engine, its: Ledger = ledger) -> None:
    """Let everything that is stored by now be old enough."""
    with engine.begin() as connection:
        value = '{"seconds": 0.001, "before": 0.001, "since": 0}'
        connection.execute(its.state.delete().where(its.state.c.name == "grace"))
        connection.execute(insert(its.state).values(name="grace", value=value))
