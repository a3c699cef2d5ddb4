"""The models that the scenarios share; those of one scenario only are mapped inside it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String, Table, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    column_property,
    deferred,
    mapped_column,
    relationship,
)
from sqlmodel import Field, SQLModel

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import ValidationError
from sqlalchemy_file.processors import Processor
from sqlalchemy_file.validators import Validator

from .content import DERIVED, content_of


class Base(DeclarativeBase):
    pass


class Identified:
    id: Mapped[int] = mapped_column(primary_key=True)


class Document(Identified, Base):
    """The plain case: one file, and a title that can collide."""

    __tablename__ = "document"

    title: Mapped[str | None] = mapped_column(String(80), unique=True)
    stars: Mapped[int] = mapped_column(default=0)
    attachment: Mapped[File | None] = mapped_column(FileField())


class Product(Identified, Base):
    """Two file columns."""

    __tablename__ = "product"

    front: Mapped[File | None] = mapped_column(FileField())
    back: Mapped[File | None] = mapped_column(FileField())


class Album(Identified, Base):
    """A list of files, and a single one beside it."""

    __tablename__ = "album"

    title: Mapped[str | None] = mapped_column(String(80))
    pictures: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
    cover: Mapped[File | None] = mapped_column(FileField())


class Page(Identified, Base):
    """What random programs work on: a title that can collide, one file, and several."""

    __tablename__ = "page"

    title: Mapped[str | None] = mapped_column(String(80), unique=True)
    cover: Mapped[File | None] = mapped_column(FileField())
    pictures: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))


class Renamed(Identified, Base):
    """An attribute named unlike its column."""

    __tablename__ = "renamed"

    scan: Mapped[File | None] = mapped_column("scan_json", FileField())
    scans: Mapped[list[File] | None] = mapped_column("scans_json", FileField(multiple=True))


class Volume(Base):
    """A composite key."""

    __tablename__ = "volume"

    shelf: Mapped[str] = mapped_column(String(20), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[File | None] = mapped_column(FileField())


class Author(Identified, Base):
    """The top of a cascade of three tables, each with files."""

    __tablename__ = "author"

    portrait: Mapped[File | None] = mapped_column(FileField())
    books: Mapped[list[Book]] = relationship(cascade="all, delete-orphan", back_populates="author")


class Book(Identified, Base):
    __tablename__ = "book"

    author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
    manuscript: Mapped[File | None] = mapped_column(FileField())
    author: Mapped[Author | None] = relationship(back_populates="books")
    chapters: Mapped[list[Chapter]] = relationship(cascade="all, delete-orphan")


class Chapter(Identified, Base):
    __tablename__ = "chapter"

    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
    text: Mapped[File | None] = mapped_column(FileField())


class Lazy(Identified, Base):
    """File columns that an unrelated update must not load."""

    __tablename__ = "lazy"

    stars: Mapped[int] = mapped_column(default=0)
    large: Mapped[File | None] = mapped_column(FileField(), deferred=True)
    guarded: Mapped[File | None] = mapped_column(
        FileField(), deferred=True, deferred_raiseload=True
    )


class Archived(Identified, Base):
    """Files that stay when no row names them any more."""

    __tablename__ = "archived"

    paper: Mapped[File | None] = mapped_column(FileField(on_release="keep"))


class Shelved(Identified, Base):
    """Files in a second storage, and under keys with slashes."""

    __tablename__ = "shelved"

    far: Mapped[File | None] = mapped_column(FileField(upload_storage="archive"))
    near: Mapped[File | None] = mapped_column(FileField())
    keyed: Mapped[File | None] = mapped_column(
        FileField(key=lambda file: f"papers/{file.filename[0]}/")
    )


class Versioned(Identified, Base):
    """A row that notices concurrent writers by itself."""

    __tablename__ = "versioned"

    version: Mapped[int] = mapped_column(default=1)
    body: Mapped[File | None] = mapped_column(FileField())
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class RefusesSome(Validator):
    """Refuses the files whose label starts with "refused"."""

    def process(self, file: File, attr_key: str) -> None:
        if file.filename.startswith("refused"):
            raise ValidationError(attr_key, f"{file.filename} is refused")


class Derives(Processor):
    """Stores a further object beside each file, and breaks down after that for "broken" ones."""

    def process(self, file: File, upload_storage: str | None = None) -> None:
        label = file.filename.removesuffix(".txt")
        for name in ("first", "second"):
            file.store_content(content_of(f"{label}{DERIVED}{name}"), upload_storage)
            if label.startswith("broken"):
                raise RuntimeError(f"no more than the first of {label}")


class Processed(Identified, Base):
    """Files that are validated, and from which others are derived."""

    __tablename__ = "processed"

    page: Mapped[File | None] = mapped_column(
        FileField(validators=[RefusesSome()], processors=[Derives()])
    )
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(multiple=True, validators=[RefusesSome()], processors=[Derives()])
    )


class Strict(Identified, Base):
    """A foreign key that is checked at the COMMIT (MariaDB has none)."""

    __tablename__ = "strict"
    __table_args__ = {"info": {"without": ("mariadb",)}}  # noqa: RUF012

    document_id: Mapped[int | None] = mapped_column(
        ForeignKey("document.id", deferrable=True, initially="DEFERRED")
    )
    proof: Mapped[File | None] = mapped_column(FileField())


class Asset(Identified, Base):
    """Joined-table inheritance."""

    __tablename__ = "asset"

    kind: Mapped[str] = mapped_column(String(20))
    preview: Mapped[File | None] = mapped_column(FileField())
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "asset"}  # noqa: RUF012


class Video(Asset):
    __tablename__ = "video"

    id: Mapped[int] = mapped_column(ForeignKey("asset.id"), primary_key=True)
    movie: Mapped[File | None] = mapped_column(FileField())
    __mapper_args__ = {"polymorphic_identity": "video"}  # noqa: RUF012


class Poster(Asset):
    """A child whose table has a column of the same name as its parent's."""

    __tablename__ = "poster"

    id: Mapped[int] = mapped_column(ForeignKey("asset.id"), primary_key=True)
    large_preview: Mapped[File | None] = mapped_column("preview", FileField())
    __mapper_args__ = {"polymorphic_identity": "poster"}  # noqa: RUF012


class Upload(Identified, Base):
    """Single-table inheritance."""

    __tablename__ = "upload"

    kind: Mapped[str] = mapped_column(String(20))
    stars: Mapped[int] = mapped_column(default=0)
    content: Mapped[File | None] = mapped_column(FileField())
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "upload"}  # noqa: RUF012


class Scan(Upload):
    sheet: Mapped[File | None] = mapped_column(FileField(), use_existing_column=True)
    __mapper_args__ = {"polymorphic_identity": "scan"}  # noqa: RUF012


class Recording(Upload):
    """Declares the column that its sibling declared."""

    sheet: Mapped[File | None] = mapped_column(FileField(), use_existing_column=True)
    sounds: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
    __mapper_args__ = {"polymorphic_identity": "recording"}  # noqa: RUF012


class Vehicle(Identified, Base):
    """Concrete inheritance: a child that declares everything again."""

    __tablename__ = "vehicle"

    papers: Mapped[File | None] = mapped_column(FileField())


class Car(Vehicle):
    __tablename__ = "car"

    id: Mapped[int] = mapped_column(primary_key=True)
    papers: Mapped[File | None] = mapped_column(FileField())
    __mapper_args__ = {"concrete": True}  # noqa: RUF012


class HasAvatar:
    """A mixin that brings a file column and a list to whoever takes it."""

    avatar: Mapped[File | None] = mapped_column(FileField())
    gallery: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))


class Person(HasAvatar, Identified, Base):
    __tablename__ = "person"


class Company(HasAvatar, Identified, Base):
    __tablename__ = "company"


class Badge(MappedAsDataclass, Base, kw_only=True):
    """A mapped dataclass."""

    __tablename__ = "badge"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str] = mapped_column(String(20), default="")
    photo: Mapped[File | None] = mapped_column(FileField(), default=None)
    photos: Mapped[list[File] | None] = mapped_column(FileField(multiple=True), default=None)


class Letter(Identified, Base):
    """Columns mapped by ``column_property`` and ``deferred``, and one that reads another table."""

    __tablename__ = "letter"

    envelope: Mapped[File | None] = column_property(
        Column("envelope", FileField()), active_history=True
    )
    sheet: Mapped[File | None] = deferred(Column("sheet", FileField()), group="content")
    document_id: Mapped[int | None] = mapped_column(ForeignKey("document.id"))


Letter.enclosure = column_property(  # type: ignore[attr-defined]
    select(Document.attachment).where(Document.id == Letter.document_id).scalar_subquery()
)

plain_table = Table(
    "plain",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("title", String(80), unique=True),
    Column("paper", FileField()),
    Column("papers", FileField(multiple=True)),
)
"""A table that no class is mapped to."""


class Item(SQLModel, table=True):
    """SQLModel; its tables have metadata of their own."""

    model_config = {"arbitrary_types_allowed": True}

    id: int | None = Field(default=None, primary_key=True)
    photo: Any = Field(default=None, sa_column=Column(FileField()))
    photos: Any = Field(default=None, sa_column=Column(FileField(multiple=True)))


METADATA = (Base.metadata, SQLModel.metadata)
