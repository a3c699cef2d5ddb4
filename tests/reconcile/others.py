"""Other applications: with a database of its own, and with a ledger that is shared."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.ledger import Ledger


class OtherBase(DeclarativeBase):
    pass


class Note(OtherBase):
    __tablename__ = "other_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))


class SharingBase(DeclarativeBase):
    pass


class Draft(SharingBase):
    __tablename__ = "sharing_draft"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))


other_ledger = Ledger(OtherBase.metadata)
sharing_ledger = Ledger(SharingBase.metadata)
