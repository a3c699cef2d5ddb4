"""A model with a file, for the tests of the file server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, ImageField
from sqlalchemy_file.processors import Variants

SECRET = "0123456789abcdef"


class Base(DeclarativeBase):
    pass


class Letter(Base):
    __tablename__ = "served_letter"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))


class Photo(Base):
    __tablename__ = "served_photo"
    id: Mapped[int] = mapped_column(primary_key=True)
    image: Mapped[File | None] = mapped_column(
        ImageField(upload_storage="main", processors=[Variants(small=(160, 160), large=(640, 640))])
    )


def saved_photo(engine: Engine, content: bytes, filename: str) -> Any:
    with Session(engine) as session:
        photo = Photo(image=File(content, filename=filename))
        session.add(photo)
        session.commit()
        return photo.image


def saved(engine: Engine, content: bytes, filename: str) -> Any:
    with Session(engine) as session:
        letter = Letter(body=File(content, filename=filename))
        session.add(letter)
        session.commit()
        return letter.body


def record(**changes: Any) -> File:
    """Return the file of an object that is in the storage already."""
    known = {"filename": "a.txt", "content_type": "text/plain", "size": 100, "saved": True}
    place = {"path": "main/key", "file_id": "key", "upload_storage": "main"}
    return File.decode({**known, **place, **changes})
