"""The column types: what may be declared and assigned, and what reaches the database."""

from __future__ import annotations

import io
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, insert, null, select, text, type_coerce
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from werkzeug.datastructures import FileStorage

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.exceptions import UnknownStorageError
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.processors import ThumbnailGenerator, Variants
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validators import ImageValidator, SizeValidator
from tests.scenarios.flaky import FlakyStorage
from tests.stores import add_memory, contents, keys


class Base(DeclarativeBase):
    pass


class Scan(File):
    """A class of a program's own."""


class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(
        FileField(validators=[SizeValidator(max_size="1M")], extra={"acl": "private"})
    )
    pages: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))
    scan: Mapped[Scan | None] = mapped_column(FileField(upload_type=Scan))
    archived: Mapped[File | None] = mapped_column(FileField(on_release="keep"))
    archive: Mapped[list[File] | None] = mapped_column(FileField(multiple=True, on_release="keep"))


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(upload_type=Scan))


def save(session: Session, **values: Any) -> Paper:
    paper = Paper(**values)
    session.add(paper)
    session.commit()
    return paper


# --- the statement cache


def compilations(session: Session, engine: Engine, statement: Any, times: int) -> int:
    """Run a statement several times, each made anew, and count how often it was compiled."""
    hits: list[str] = []

    def note(conn: Any, cursor: Any, sql: str, params: Any, context: Any, many: bool) -> None:
        hits.append(context.cache_hit.name)

    event.listen(engine, "before_cursor_execute", note)
    try:
        for _ in range(times):
            session.execute(statement()).all()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(hits) == times
    return len([hit for hit in hits if hit != "CACHE_HIT"])


def test_a_select_of_file_columns_is_compiled_once(session: Session, engine: Engine) -> None:
    assert compilations(session, engine, lambda: select(Paper), 3) == 1
    assert compilations(session, engine, lambda: select(Paper.body, Paper.pages), 3) == 1


def test_a_condition_on_a_file_column_is_compiled_once(session: Session, engine: Engine) -> None:
    def statement() -> Any:
        return select(Paper.id).where(Paper.body["filename"].as_string() == "a.txt")

    assert compilations(session, engine, statement, 3) == 1


def test_a_field_that_holds_unhashable_things_makes_no_warning() -> None:
    field = FileField(validators=[SizeValidator(1)], extra={"a": []}, key=lambda file: "x/")
    assert hash(field._static_cache_key) == hash(FileField()._static_cache_key)


def test_fields_of_other_classes_are_cached_apart(session: Session) -> None:
    save(session, body=b"x", scan=b"y")
    session.add(Note(body=b"z"))
    session.commit()
    assert type(session.scalars(select(Paper.body)).one()) is File
    assert type(session.scalars(select(Paper.scan)).one()) is Scan
    assert type(session.scalars(select(Note.body)).one()) is Scan


# --- what a column is


def test_a_program_may_make_of_a_row_what_it_likes(session: Session) -> None:
    class Titled(FileField):
        def process_result_value(self, value: Any, dialect: Any) -> Any:
            file = super().process_result_value(value, dialect)
            return file and f"{file.filename} in {dialect.name}"

    session.add(Paper(body=File(b"x", filename="a.txt")))
    session.flush()
    titles = select(type_coerce(Paper.body, Titled), type_coerce(Paper.pages, Titled))
    assert session.execute(titles).one() == ("a.txt in sqlite", None)


def test_the_module_of_the_fields_is_the_one_that_programs_look_for() -> None:
    assert (FileField.__module__, ImageField.__module__) == ("sqlalchemy_file.types",) * 2


def test_python_type_is_the_class_of_the_value() -> None:
    assert FileField().python_type is File
    assert FileField(upload_type=Scan).python_type is Scan
    assert FileField(multiple=True).python_type == MutableList[File]
    assert FileField(multiple=True, upload_type=Scan).python_type == MutableList[Scan]


def test_rows_are_found_by_what_the_record_says(session: Session) -> None:
    save(session, body=File(b"1", filename="a.txt"))
    save(session, body=File(b"333", filename="b.txt"))
    by_name = select(Paper.id).where(Paper.body["filename"].as_string() == "b.txt")
    by_size = select(Paper.id).where(Paper.body["size"].as_integer() < 2)
    by_path = select(Paper.id).where(
        Paper.body[("extra", "meta_data", "filename")].as_string() == "b.txt"
    )
    assert session.scalars(by_name).all() == [2]
    assert session.scalars(by_size).all() == [1]
    assert session.scalars(by_path).all() == [2]


def test_an_element_of_a_list_is_found_by_its_index(session: Session) -> None:
    save(session, pages=[File(b"1", filename="a.txt"), File(b"2", filename="b.txt")])
    second = Paper.pages[(1, "filename")].as_string()
    assert session.scalars(select(second)).one() == "b.txt"


@pytest.mark.parametrize(
    ("column", "falsy"), [("body", None), ("body", b""), ("body", ""), ("pages", None)]
)
def test_a_falsy_value_is_null(
    session: Session, storage: MemoryStorage, falsy: Any, column: str
) -> None:
    save(session, **{column: falsy})
    assert session.scalar(select(func.count()).where(getattr(Paper, column).is_(None))) == 1
    assert session.scalar(text(f"SELECT typeof({column}) FROM paper")) == "null"
    assert keys(storage) == []


def test_none_is_null_in_core_statements_too(session: Session) -> None:
    session.execute(insert(Paper.__table__).values(body=None, pages=null()))
    assert session.scalar(text("SELECT typeof(body) || typeof(pages) FROM paper")) == "nullnull"


def test_json_null_of_an_older_row_is_loaded_as_none(session: Session) -> None:
    session.execute(text("INSERT INTO paper (body, pages) VALUES ('null', 'null')"))
    paper = session.scalars(select(Paper)).one()
    assert (paper.body, paper.pages) == (None, None)
    paper.body = File(b"x")
    paper.pages = [File(b"y")]
    session.commit()
    assert paper.body.file.read() == b"x"
    session.delete(paper)
    session.commit()


def test_rows_are_listed_without_asking_the_storage(session: Session) -> None:
    save(session, body=b"1", pages=[b"2", b"3"])
    flaky = FlakyStorage(StorageManager.storage())
    StorageManager.clear()
    StorageManager.add_storage("main", flaky)
    session.expire_all()
    paper = session.scalars(select(Paper)).one()
    assert paper.body is not None
    assert (paper.body.filename, len(paper.pages or ())) == ("unnamed", 2)
    assert paper.body.file.filename == "unnamed"
    assert flaky.calls == []


def test_a_row_whose_storage_is_not_added_is_listed_and_not_let_go_of(session: Session) -> None:
    save(session, body=b"1")
    StorageManager.clear()
    add_memory("other")
    paper = session.scalars(select(Paper)).one()
    assert paper.body is not None
    session.delete(paper)
    with pytest.raises(UnknownStorageError, match="'main', which has not been added here"):
        session.commit()
    session.rollback()
    assert session.scalar(select(func.count()).select_from(Paper)) == 1


# --- what may be assigned


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        ("body", {"path": "main/1", "saved": True}),
        ("body", {}),
        ("body", [File(b"x")]),
        ("body", (File(b"x"),)),
        ("body", 42),
        ("body", ...),
        ("pages", File(b"x")),
        ("pages", b"x"),
        ("pages", "x"),
        ("pages", {"path": "main/1"}),
        ("pages", [{"path": "main/1"}]),
        ("pages", [None]),
    ],
    ids=repr,
)
def test_a_wrong_value_is_refused_when_it_is_assigned(column: str, wrong: Any) -> None:
    paper = Paper()
    with pytest.raises(TypeError, match="assign"):
        setattr(paper, column, wrong)
    assert column not in vars(paper) or vars(paper)[column] is None


def test_the_refusal_names_class_and_attribute() -> None:
    with pytest.raises(TypeError, match=r"Paper\.body"):
        Paper(body={"path": "main/1"})
    with pytest.raises(TypeError, match=r"Paper\.pages"):
        Paper(pages=File(b"x"))
    with pytest.raises(TypeError, match=r"Paper\.pages: expected a File"):
        Paper(pages=[File(b"x"), None])
    with pytest.raises(TypeError, match=r"Paper\.pages: expected a File"):
        Paper(pages=MutableList([File(b"x"), 5]))


def test_an_upload_without_a_file_is_none_for_a_list() -> None:
    assert Paper(pages=FileStorage(io.BytesIO(), filename="")).pages is None


def test_a_file_that_is_not_stored_never_reaches_a_statement(engine: Engine) -> None:
    field = FileField()
    with pytest.raises(TypeError, match="takes stored files"):
        field.process_bind_param(File(b"x"), engine.dialect)
    with pytest.raises(TypeError, match="expected a File, not int"):
        field.process_bind_param(42, engine.dialect)
    with pytest.raises(TypeError, match="not stored"):
        FileField(multiple=True).process_bind_param([File(b"x")], engine.dialect)


# --- settings


def test_settings_that_cannot_be_are_refused_when_the_field_is_made() -> None:
    with pytest.raises(ValueError, match='"delete" or "keep", not \'burn\''):
        FileField(on_release="burn")
    with pytest.raises(ValueError, match='"inline" or "attachment", not \'shown\''):
        FileField(disposition="shown")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="key is a callable"):
        FileField(key="prefix/")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [lambda: FileField("media"), lambda: ImageField(storage="media")])
def test_a_parameter_that_no_field_has_is_refused_with_the_name_of_the_field(make: Any) -> None:
    with pytest.raises(TypeError, match=r"no parameter of (File|Image)Field.*upload_storage="):
        make()


def test_multiple_may_be_none() -> None:
    assert FileField(multiple=None).multiple is False


def test_the_settings_of_a_field_are_its_attributes() -> None:
    validator, processor = SizeValidator(1), ThumbnailGenerator()
    field = FileField(
        upload_storage="s",
        validators=[validator],
        processors=[processor],
        upload_type=Scan,
        multiple=True,
        extra={"a": 1},
        headers={"b": "2"},
    )
    assert (field.upload_storage, field.upload_type, field.multiple) == ("s", Scan, True)
    assert (field.validators, field.processors) == ([validator], [processor])
    assert (field.extra, field.headers) == ({"a": 1}, {"b": "2"})


def test_an_image_field_validates_images_and_makes_no_thumbnail_by_itself() -> None:
    field = ImageField()
    assert [type(validator) for validator in field.validators] == [ImageValidator]
    assert field.processors == []


def test_an_image_field_adds_its_own_after_those_given() -> None:
    size, image, first = SizeValidator(1), ImageValidator(min_wh=(1, 1)), ThumbnailGenerator()
    field = ImageField(
        thumbnail_size=(9, 9), image_validator=image, validators=[size], processors=[first]
    )
    assert field.validators == [size, image]
    assert field.processors[0] is first
    assert field.processors[1].thumbnail_size == (9, 9)  # type: ignore[attr-defined]


def test_an_image_field_takes_what_file_fields_take() -> None:
    field = ImageField(on_release="keep", key=lambda file: "x/", multiple=True)
    assert (field.on_release, field.multiple) == ("keep", True)
    assert field.key is not None


# --- on_release="keep"


def test_an_archived_file_stays_when_it_is_replaced_cleared_or_deleted(
    session: Session, storage: MemoryStorage
) -> None:
    paper = save(session, archived=b"1", archive=[b"2", b"3"])
    paper.archived = File(b"4")
    paper.archive.pop()
    session.commit()
    paper.archived = None
    session.commit()
    session.delete(paper)
    session.commit()
    assert contents(storage) == [b"1", b"2", b"3", b"4"]


def test_an_archived_file_stays_after_a_bulk_delete(
    session: Session, storage: MemoryStorage
) -> None:
    save(session, archived=b"1", body=b"2")
    session.execute(Paper.__table__.delete())
    session.commit()
    assert contents(storage) == [b"1"]


def test_a_file_that_was_never_committed_is_not_archived(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(archived=b"1")
    session.add(paper)
    session.flush()
    paper.archived = File(b"2")
    session.commit()
    assert contents(storage) == [b"2"]
    paper.archived = File(b"3")
    session.flush()
    session.rollback()
    assert contents(storage) == [b"2"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"validators": [SizeValidator]}, r"give SizeValidator\(...\), not SizeValidator"),
        ({"processors": [ThumbnailGenerator]}, "processors are objects, not classes"),
        ({"validators": [len]}, "validators are objects with a method process, not <built-in"),
        ({"validators": SizeValidator("1k")}, r"validators is a list: give \[SizeValidator"),
        ({"headers": [("Cache-Control", "no-store")]}, "headers is a dict of names and values"),
        ({"extra": "acl"}, "extra is a dict of names and values, not 'acl'"),
        ({"upload_type": dict}, "upload_type is a subclass of File, not <class 'dict'>"),
    ],
)
def test_settings_that_are_none_are_refused_where_the_field_is_declared(
    settings: dict[str, Any], said: str
) -> None:
    for kind in (FileField, ImageField):
        with pytest.raises(TypeError, match=said):
            kind(**settings)


def test_a_class_whose_process_needs_no_instance_may_validate() -> None:
    class Checks:
        @staticmethod
        def process(file: File, attr_key: str) -> None: ...

    assert FileField(validators=[Checks]).validators == [Checks]


@pytest.mark.parametrize("size", [5, (5,), (1, 2, 3), "ab", (0, 1)])
def test_a_size_that_is_no_pair_is_refused(size: Any) -> None:
    for make in (ThumbnailGenerator, lambda size: Variants(small=size)):
        with pytest.raises(ValueError, match=r"size is \(width, height\) in pixels, not"):
            make(size)


def test_a_key_that_is_no_text_is_refused() -> None:
    add_memory()
    with pytest.raises(TypeError, match="key= returns a prefix, ending with a slash, or a key"):
        FileField(key=lambda file: None).place(File(b"x"))
