"""A row with files, for tests of modules that need no other."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    body: Mapped[File | None] = mapped_column(FileField())
    pages: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
