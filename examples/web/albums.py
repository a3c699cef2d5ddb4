"""What all examples of this folder share: a model with two file columns, and a file server.

The database is SQLite, the files are in ``examples/web/output``.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.serving import FileServer, set_url_resolver
from sqlalchemy_file.validators import SizeValidator

OUTPUT = Path(__file__).parent / "output"


class Base(DeclarativeBase):
    pass


class Album(Base):
    """An album has one cover, with a thumbnail, and any number of pages."""

    __tablename__ = "album"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    cover: Mapped[File | None] = mapped_column(
        ImageField(upload_storage="albums", key=lambda file: "covers/", thumbnail_size=(96, 96))
    )
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(upload_storage="albums", multiple=True, validators=[SizeValidator("5M")])
    )


SECRET = os.environ.get("SECRET", "an example's secret, not a real one")
server = FileServer(secret=SECRET)


OUTPUT.mkdir(exist_ok=True)
engine = create_engine(f"sqlite:///{OUTPUT / 'albums.sqlite'}")


def set_up() -> Engine:
    """Add the storage, and return the engine of a database that has the table."""
    StorageManager.add_storage("albums", (OUTPUT / "files").as_uri(), create=True)
    set_url_resolver(server.url_for)
    Base.metadata.create_all(engine)
    return engine
