"""What the tests of the drain, the sweep and the full pass share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import Finding
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
