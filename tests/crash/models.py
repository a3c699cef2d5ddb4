"""The rows that the writers of the crash tests write, and the ledger beside them."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger


class Base(DeclarativeBase):
    pass


class Page(Base):
    __tablename__ = "crash_page"

    id: Mapped[int] = mapped_column(primary_key=True)
    cover: Mapped[File | None] = mapped_column(FileField())
    pictures: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))


ledger = Ledger(Base.metadata)
