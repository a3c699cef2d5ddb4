"""Queries by what the records say, and file columns of another JSON type, on each database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import JSON, Engine, Text, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column
from sqlalchemy.types import TypeDecorator

from sqlalchemy_file import File, FileField, ImageField
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.databases import DATABASES, tables_on, url_of
from tests.stores import keys


class Base(DeclarativeBase):
    pass


LEDGER = Ledger(Base.metadata)


class Wrapped(TypeDecorator[Any]):
    """A program's own type around a file field."""

    impl = FileField
    cache_ok = True


class Doc(Base):
    __tablename__ = "queried_doc"
    id: Mapped[int] = mapped_column(primary_key=True)
    f: Mapped[File | None] = mapped_column(FileField())
    pages: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
    b: Mapped[File | None] = mapped_column(FileField(jsonb=True))
    varied: Mapped[list[File] | None] = mapped_column(
        FileField(multiple=True).with_variant(JSONB(), "postgresql")
    )
    either: Mapped[File | None] = mapped_column(JSON().with_variant(FileField(), "postgresql"))
    wrapped: Mapped[File | None] = mapped_column(Wrapped())


class Full(Base):
    __tablename__ = "queried_full"
    id: Mapped[int] = mapped_column(primary_key=True)
    old: Mapped[File | None] = mapped_column(FileField(none_as_null=False), nullable=False)
    pages: Mapped[list[File]] = mapped_column(FileField(multiple=True), nullable=False)


@pytest.fixture(params=DATABASES, scope="module")
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    url = url_of(request.param, request, tmp_path_factory.mktemp("querying"))
    with tables_on(url, Base.metadata) as engine:
        yield engine


@pytest.fixture
def session(engine: Engine, storage: MemoryStorage) -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        session.rollback()
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(text(f"DELETE FROM {table.name}"))
        session.commit()


def save(session: Session, **values: Any) -> Doc:
    doc = Doc(**values)
    session.add(doc)
    session.commit()
    return doc


COLUMNS = ["f", "b", "either", "wrapped"]


# --- parts of a record


def test_parts_of_a_record_are_selected_as_of_any_json_column(session: Session) -> None:
    file = File(b"12345", filename="a.txt", nested={"deep": [1, {"x": "y"}]})
    save(session, f=file, b=File(b"1", filename="b.txt"))
    parts = [Doc.f["filename"], Doc.f["size"], Doc.f["nested"], Doc.f["headers"]]
    assert session.execute(select(*parts)).one() == ("a.txt", 5, {"deep": [1, {"x": "y"}]}, None)
    paths = [Doc.f[("nested", "deep", 1, "x")], Doc.f["nested"]["deep"], Doc.b["filename"]]
    assert session.execute(select(*paths)).one() == ("y", [1, {"x": "y"}], "b.txt")


def test_parts_of_a_record_are_cast_as_of_any_json_column(session: Session) -> None:
    save(session, f=File(b"12345", filename="a.txt"))
    parts = [Doc.f["filename"].as_string(), Doc.f["size"].as_integer(), Doc.f["size"].as_float()]
    parts += [Doc.f[("extra", "content_type")].as_string(), Doc.f["saved"].as_boolean()]
    assert session.execute(select(*parts)).one() == ("a.txt", 5, 5.0, "text/plain", True)


def test_parts_of_lists_are_selected(session: Session) -> None:
    save(session, pages=[File(b"1", filename="a"), File(b"22", filename="b")], varied=[File(b"1")])
    parts = [Doc.pages[1]["size"], Doc.pages[(0, "filename")].as_string(), Doc.varied[(0, "size")]]
    assert session.execute(select(*parts)).one() == (2, "a", 1)
    first = session.scalars(select(Doc.pages[0])).one()
    assert first["filename"] == "a"
    assert not isinstance(first, File)


@pytest.mark.parametrize("column", ["f", "b"])
def test_names_sizes_and_types_are_compared(session: Session, column: str) -> None:
    first = save(session, **{column: File(b"12345", filename="a.pdf")}).id
    second = save(session, **{column: File(b"1", filename="b.txt")}).id
    attribute = getattr(Doc, column)
    assert session.scalars(select(Doc.id).where(attribute.filename == "a.pdf")).all() == [first]
    assert session.scalars(select(Doc.id).where(attribute.size < 3)).all() == [second]
    assert session.scalars(select(Doc.id).where(attribute.content_type.like("text/%"))).all()
    assert session.scalars(select(attribute.filename).order_by(attribute.size)).all() == [
        *("b.txt", "a.pdf")
    ]
    assert session.scalar(select(func.sum(attribute.size))) == 6
    other = aliased(Doc)
    assert session.scalar(select(getattr(other, column).path).where(other.id == first))


PARTS = ["filename", "content_type", "checksum", "path", "upload_storage", "uploaded_at"]
PARTS += ["size", "width", "height"]


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_record_has_a_name(session: Session, part: str) -> None:
    doc = save(session, f=File(b"12345", filename="a.txt", width=3, height=4))
    assert doc.f is not None
    assert session.scalars(select(getattr(Doc.f, part))).one() == doc.f[part]


def test_comparisons_of_a_file_name_are_made_in_core_as_well(session: Session) -> None:
    save(session, f=File(b"12345", filename="a.pdf"))
    table = Doc.__table__
    found = session.connection().execute(select(table.c.f["size"], table.c.f.filename))
    assert found.one() == (5, "a.pdf")


def test_a_list_has_no_name_of_its_own() -> None:
    with pytest.raises(AttributeError, match="filename"):
        _ = Doc.pages.filename
    with pytest.raises(AttributeError, match="name the element first"):
        _ = Doc.__table__.c.pages.comparator.filename


# --- which columns hold files


@pytest.mark.parametrize("column", COLUMNS)
def test_a_file_column_of_any_kind_is_tracked(
    session: Session, storage: MemoryStorage, column: str
) -> None:
    if column == "either" and session.get_bind().dialect.name != "postgresql":
        return  # it is a plain JSON column there
    doc = save(session, **{column: File(b"one", filename="a.txt")})
    session.expire_all()
    file = getattr(doc, column)
    assert (type(file), file.file.read()) == (File, b"one")
    setattr(doc, column, b"two")
    session.commit()
    assert len(keys(storage)) == 1
    session.delete(doc)
    session.rollback()
    assert len(keys(storage)) == 1
    session.delete(doc)
    session.commit()
    assert keys(storage) == []


def test_a_list_of_a_variant_is_tracked(session: Session, storage: MemoryStorage) -> None:
    doc = save(session, varied=[b"one", b"two"])
    session.expire_all()
    assert type(doc.varied) is MutableList
    assert doc.varied is not None
    doc.varied.pop(0)
    session.commit()
    assert [file.file.read() for file in doc.varied] == [b"two"]
    assert len(keys(storage)) == 1


def test_columns_of_any_kind_are_in_the_ledger(session: Session) -> None:
    save(session, f=b"1", b=b"2", varied=[b"3"], wrapped=b"4")
    released = select(func.count()).select_from(LEDGER.releases)
    before = session.scalar(released) or 0
    session.execute(text("DELETE FROM queried_doc"))
    assert session.scalar(released) == before + 4


def test_what_another_database_has_may_be_no_file_column() -> None:
    with pytest.raises(TypeError, match="a file column is a JSON column"):
        FileField().with_variant(Text(), "oracle")


def test_another_database_may_have_another_file_column() -> None:
    varied = FileField().with_variant(FileField(jsonb=True), "postgresql")
    dialects = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}
    compiled = {name: varied.compile(dialect=dialect) for name, dialect in dialects.items()}
    assert compiled == {"sqlite": "JSON", "postgresql": "JSONB"}


def test_a_field_says_how_to_make_it_again() -> None:
    varied = ImageField(multiple=True).with_variant(JSONB, "postgresql")
    assert repr(varied) == "ImageField(multiple=True, jsonb=True)"
    assert repr(FileField(jsonb=True, none_as_null=False)) == (
        "FileField(jsonb=True, none_as_null=False)"
    )
    assert isinstance(varied, ImageField)
    assert varied.validators


def test_jsonb_is_compared_and_grouped_on_postgresql(session: Session) -> None:
    if session.get_bind().dialect.name != "postgresql":
        return
    doc = save(session, b=File(b"1", filename="a"), varied=[File(b"2", filename="c")])
    assert session.scalar(text("SELECT pg_typeof(b)::text FROM queried_doc")) == "jsonb"
    assert session.scalar(text("SELECT pg_typeof(varied)::text FROM queried_doc")) == "jsonb"
    save(session, b=None)
    assert session.scalar(text("SELECT count(*) FROM queried_doc WHERE b IS NULL")) == 1
    column = Doc.b
    assert session.scalars(select(Doc.id).where(column == doc.b)).all() == [doc.id]
    assert len(session.execute(select(column).distinct()).all()) == 2
    assert len(session.execute(select(column, func.count()).group_by(column)).all()) == 2
    assert len(session.execute(select(column).union(select(column))).all()) == 2


# --- odd values


ODD = ['"text"', "5", "true", "[]", "[null]", "{}", '{"filename": "x"}', "null", '{"path": 5}']
ODD += ['[{"filename": "x"}, "y", 3]', '{"files": "abc"}', '{"files": [1]}', '{"path": ""}']


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_is_loaded_replaced_and_deleted(
    session: Session, storage: MemoryStorage, odd: str
) -> None:
    for column in ("f", "pages", "b", "varied"):
        session.execute(text(f"INSERT INTO queried_doc ({column}) VALUES (:odd)"), {"odd": odd})
        session.commit()
        doc = session.scalars(select(Doc)).one()
        value = getattr(doc, column)
        assert value is None or isinstance(value, File | MutableList)
        files = value if isinstance(value, list) else [value] if value else []
        assert all(isinstance(file, File) for file in files)
        session.add(Doc(**{column: value}))
        session.flush()
        setattr(doc, column, [b"new"] if column in ("pages", "varied") else b"new")
        session.commit()
        assert len(keys(storage)) == 1
        session.delete(doc)
        session.commit()
        assert keys(storage) == []
        for other in session.scalars(select(Doc)):
            session.delete(other)
        session.commit()


def test_a_file_that_names_no_object_cannot_be_opened(session: Session) -> None:
    session.execute(text("INSERT INTO queried_doc (f) VALUES (:odd)"), {"odd": "{}"})
    doc = session.scalars(select(Doc)).one()
    assert doc.f is not None
    with pytest.raises(RuntimeError, match="Only available for saved file"):
        _ = doc.f.file


def test_a_record_in_a_list_column_and_a_list_of_one_in_a_plain_one_are_understood(
    session: Session, storage: MemoryStorage
) -> None:
    doc = save(session, f=b"one", pages=[b"two"])
    assert doc.f
    assert doc.pages
    f, pages = json.dumps(doc.f), json.dumps(doc.pages)
    session.execute(text("UPDATE queried_doc SET f = :f, pages = :p"), {"f": pages, "p": f})
    session.commit()
    assert doc.f.file.read() == b"two"
    assert [file.file.read() for file in doc.pages] == [b"one"]
    session.delete(doc)
    session.commit()
    assert keys(storage) == []


# --- empty lists


def test_an_empty_list_is_an_empty_list(session: Session, storage: MemoryStorage) -> None:
    doc = save(session, pages=[], varied=[b"1"])
    assert doc.pages == []
    assert doc.varied
    doc.pages.append(File(b"2"))
    doc.varied.pop()
    session.commit()
    assert len(doc.pages) == 1
    assert doc.varied == []
    doc.varied.append(File(b"3"))
    session.commit()
    assert len(keys(storage)) == 2


def test_a_list_that_may_not_be_null_may_be_empty(session: Session) -> None:
    full = Full(pages=[])
    session.add(full)
    session.commit()
    assert full.pages == []
    full.pages = [File(b"1")]
    session.commit()
    full.pages.clear()
    session.commit()
    assert full.pages == []
    assert session.scalar(select(func.count()).where(Full.pages.is_(None))) == 0


def test_a_column_that_may_not_be_null_may_hold_a_json_null_as_in_old_releases(
    session: Session, storage: MemoryStorage
) -> None:
    full = Full(pages=[])
    session.add_all([full, Full(pages=[], old=None), Full(pages=[], old=File(b"1"))])
    session.commit()
    kept = session.execute(text("SELECT CAST(old AS CHAR(4)) FROM queried_full")).scalars().all()
    assert [value.startswith("null") for value in kept].count(True) == 2
    assert full.old is None
    full.old = File(b"2")
    session.commit()
    assert full.old
    full.old = None
    session.commit()
    assert full.old is None
    assert len(keys(storage)) == 1
