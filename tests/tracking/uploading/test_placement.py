"""Where a file goes: which storage, under which key, and what is refused before any is stored."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import (
    InvalidKeyError,
    ObjectExistsError,
    SizeValidationError,
    UnknownStorageError,
)
from sqlalchemy_file.processors import ThumbnailGenerator, Variants
from sqlalchemy_file.storage.common.protocol import Attributes
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validators import SizeValidator
from tests.scenarios.flaky import FlakyStorage
from tests.stores import add_memory, contents, keys, sqlite

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00"
    b"\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\r\xefF\xb8\x00\x00"
    b"\x00\x00IEND\xaeB`\x82"
)


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[File | None] = mapped_column(FileField())
    fixed: Mapped[File | None] = mapped_column(FileField(upload_storage="other"))
    chosen: Mapped[File | None] = mapped_column(
        FileField(upload_storage=lambda file: "other" if file.size > 3 else None)
    )
    prefixed: Mapped[File | None] = mapped_column(
        FileField(key=lambda file: f"year/{file.content_type.split('/')[0]}/")
    )
    keyed: Mapped[File | None] = mapped_column(FileField(key=lambda file: file.filename))
    raw: Mapped[File | None] = mapped_column(FileField(key=lambda file: file["raw_key"]))
    thumbed: Mapped[File | None] = mapped_column(
        FileField(
            key=lambda file: "pictures/",
            processors=[ThumbnailGenerator((8, 8)), Variants(small=(4, 4))],
        )
    )
    strict: Mapped[File | None] = mapped_column(FileField(validators=[SizeValidator(3)]))
    loose: Mapped[File | None] = mapped_column(FileField())


@pytest.fixture
def main() -> MemoryStorage:
    return add_memory("main")


@pytest.fixture
def other(main: MemoryStorage) -> MemoryStorage:
    return add_memory("other")


@pytest.fixture
def session(main: MemoryStorage) -> Iterator[Session]:
    engine = sqlite(Base)
    with Session(engine) as session:
        yield session
    engine.dispose()


def save(session: Session, **values: Any) -> Paper:
    paper = Paper(**values)
    session.add(paper)
    session.commit()
    return paper


# --- storages


def test_a_file_goes_to_the_default_storage(session: Session, main: MemoryStorage) -> None:
    save(session, plain=File(b"x"))
    assert contents(main) == [b"x"]


def test_a_field_names_its_storage(session: Session, other: MemoryStorage) -> None:
    save(session, fixed=File(b"x"))
    assert contents(other) == [b"x"]


def test_the_storage_may_be_chosen_by_the_file(
    session: Session, main: MemoryStorage, other: MemoryStorage
) -> None:
    save(session, chosen=File(b"large"))
    save(session, chosen=File(b"s"))
    assert (contents(main), contents(other)) == ([b"s"], [b"large"])


def test_a_file_chooses_for_one_row(
    session: Session, main: MemoryStorage, other: MemoryStorage
) -> None:
    paper = save(session, fixed=File(b"x", storage="main"))
    assert (contents(main), contents(other)) == ([b"x"], [])
    assert paper.fixed is not None
    assert paper.fixed["upload_storage"] == "main"
    assert "storage" not in paper.fixed


@pytest.mark.parametrize(
    "values", [{"fixed": File(b"x")}, {"plain": File(b"x", storage="other")}], ids=["field", "file"]
)
def test_an_unknown_storage_is_an_error_before_anything_is_stored(
    session: Session, values: Any
) -> None:
    flaky = FlakyStorage(StorageManager.storage("main"))
    StorageManager.clear()
    StorageManager.add_storage("main", flaky)
    session.add_all([Paper(plain=File(b"good")), Paper(**values)])
    with pytest.raises(UnknownStorageError, match=r"other.*'main'"):
        session.flush()
    assert flaky.calls == []


def test_a_callable_that_names_an_unknown_storage_is_an_error_too(
    session: Session, main: MemoryStorage
) -> None:
    session.add_all([Paper(plain=File(b"good")), Paper(chosen=File(b"large"))])
    with pytest.raises(UnknownStorageError, match="other"):
        session.flush()
    assert keys(main) == []


# --- keys


def test_a_key_is_a_time_ordered_uuid(session: Session, main: MemoryStorage) -> None:
    for number in range(3):
        save(session, plain=File(str(number)))
    assert [uuid.UUID(key).version for key in keys(main)] == [7, 7, 7]
    stored = [b"".join(main.stream(key)) for key in sorted(keys(main))]
    assert stored == [b"0", b"1", b"2"]


def test_a_prefix_stands_before_the_id(session: Session, main: MemoryStorage) -> None:
    paper = save(session, prefixed=File(b"x", content_type="image/x-own"))
    (key,) = keys(main)
    prefix, _, last = key.rpartition("/")
    assert prefix in {"year/image", "year/text", "year/application"}
    assert uuid.UUID(last).version == 7
    assert paper.prefixed is not None
    assert paper.prefixed["file_id"] == key
    assert paper.prefixed.file.read() == b"x"


def test_derived_objects_lie_beside_their_file(session: Session, main: MemoryStorage) -> None:
    paper = save(session, thumbed=File(PNG, filename="a.png"))
    assert len(keys(main)) == 3
    assert all(key.startswith("pictures/") for key in keys(main))
    session.delete(paper)
    session.commit()
    assert keys(main) == []


def test_a_copy_lies_beside_its_original(session: Session, main: MemoryStorage) -> None:
    first = save(session, prefixed=File(b"x"))
    save(session, prefixed=first.prefixed)
    folders = {key.rpartition("/")[0] for key in keys(main)}
    assert len(keys(main)) == 2
    assert len(folders) == 1


def test_a_whole_key_is_taken_as_it_is(session: Session, main: MemoryStorage) -> None:
    paper = save(session, keyed=File(b"x", filename="report.txt"))
    assert keys(main) == ["report.txt"]
    assert paper.keyed is not None
    assert (paper.keyed["file_id"], paper.keyed["path"]) == ("report.txt", "main/report.txt")


def test_a_key_that_is_taken_is_refused_and_the_other_object_untouched(
    session: Session, main: MemoryStorage
) -> None:
    save(session, keyed=File(b"first", filename="report.txt"))
    session.add_all(
        [Paper(plain=File(b"bystander")), Paper(keyed=File(b"second", filename="report.txt"))]
    )
    with pytest.raises(ObjectExistsError, match=r"storage 'main', key 'report.txt'"):
        session.commit()
    session.rollback()
    assert contents(main) == [b"first"]
    assert main.stat("report.txt").size == 5


def test_two_files_of_one_flush_cannot_take_the_same_key(
    session: Session, main: MemoryStorage
) -> None:
    papers = [Paper(keyed=File(f"{number}", filename="same.txt")) for number in range(8)]
    session.add_all(papers)
    with pytest.raises(ObjectExistsError, match=r"same\.txt"):
        session.commit()
    session.rollback()
    assert keys(main) == []


def test_a_key_is_free_again_after_a_rollback(session: Session, main: MemoryStorage) -> None:
    session.add(Paper(keyed=File(b"first", filename="report.txt")))
    session.flush()
    session.rollback()
    save(session, keyed=File(b"second", filename="report.txt"))
    assert contents(main) == [b"second"]


def test_replacing_a_file_under_its_own_key_is_refused_and_loses_nothing(
    session: Session, main: MemoryStorage
) -> None:
    paper = save(session, keyed=File(b"first", filename="report.txt"))
    paper.keyed = File(b"second", filename="report.txt")
    with pytest.raises(ObjectExistsError):
        session.commit()
    session.rollback()
    assert contents(main) == [b"first"]
    assert paper.keyed.file.read() == b"first"


def test_a_copy_of_a_whole_key_is_not_stored_over_it(session: Session, main: MemoryStorage) -> None:
    first = save(session, keyed=File(b"first", filename="report.txt"))
    save(session, keyed=first.keyed)
    assert contents(main) == [b"first", b"first"]
    session.delete(first)
    session.commit()
    assert contents(main) == [b"first"]
    (left,) = session.scalars(select(Paper))
    assert left.keyed is not None
    assert left.keyed.file.read() == b"first"


@pytest.mark.parametrize(
    "key",
    ["../x", "/x", "a//b", "a/../b", "./a", "a\0b", "a\nb", "a\\b", "x" * 1025, "../", "a/.."],
)
def test_a_key_that_leaves_its_container_is_refused_before_anything_is_stored(
    session: Session, main: MemoryStorage, key: str
) -> None:
    session.add_all([Paper(plain=File(b"good")), Paper(raw=File(b"x", raw_key=key))])
    with pytest.raises(InvalidKeyError):
        session.flush()
    assert keys(main) == []


def test_a_storage_whose_name_holds_a_slash_finds_its_objects(session: Session) -> None:
    deep = add_memory("very/deep")
    paper = save(session, raw=File(b"x", raw_key="a/b", storage="very/deep"))
    assert keys(deep) == ["a/b"]
    assert paper.raw is not None
    assert paper.raw.file.read() == b"x"
    session.delete(paper)
    session.commit()
    assert keys(deep) == []


def test_a_key_that_is_no_text_is_refused(session: Session, main: MemoryStorage) -> None:
    session.add(Paper(raw=File(b"x", raw_key=42)))
    with pytest.raises((TypeError, InvalidKeyError, AttributeError)):
        session.flush()
    assert keys(main) == []


def test_an_empty_key_means_a_new_id(session: Session, main: MemoryStorage) -> None:
    save(session, raw=File(b"x", raw_key=""))
    assert uuid.UUID(keys(main)[0]).version == 7


def test_an_object_of_somebody_else_is_untouched_when_its_key_is_asked_for(
    session: Session, main: MemoryStorage
) -> None:
    main.put("logo.png", io.BytesIO(b"the company's"), Attributes())
    session.add(Paper(keyed=File(b"mine", filename="logo.png")))
    with pytest.raises(ObjectExistsError):
        session.flush()
    session.rollback()
    assert contents(main) == [b"the company's"]


# --- one File in several columns


@pytest.mark.parametrize("columns", [("strict", "loose"), ("loose", "strict")])
def test_a_file_given_to_two_columns_must_please_the_validators_of_both(
    session: Session, main: MemoryStorage, columns: tuple[str, str]
) -> None:
    file = File(b"too large")
    session.add(Paper(**dict.fromkeys(columns, file)))
    with pytest.raises(SizeValidationError, match="strict"):
        session.flush()
    assert keys(main) == []


def test_a_file_given_to_two_columns_becomes_two_objects(
    session: Session, main: MemoryStorage
) -> None:
    file = File(b"abc")
    paper = save(session, strict=file, loose=file)
    assert contents(main) == [b"abc", b"abc"]
    paper.strict = None
    session.commit()
    assert paper.loose is not None
    assert paper.loose.file.read() == b"abc"


# --- keys of a record given as extra keys


def test_the_keys_of_an_old_record_do_not_make_new_content_a_stored_one(
    session: Session, main: MemoryStorage
) -> None:
    old = save(session, plain=File(b"old", filename="a.txt")).plain
    assert old is not None
    new = save(session, plain=File(b"new", **old.encode()))
    assert new.plain is not None
    assert new.plain.file.read() == b"new"
    assert contents(main) == [b"new", b"old"]
