"""What programs written for release 0.7.0 do to a `File`: records, replaced content, own keys."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import StorageError, ValidationError
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validation import validate
from sqlalchemy_file.validators import Validator
from tests.stores import contents, keys, sqlite

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


class Replacing(Validator):
    """Replaces what it is given."""

    def __init__(self) -> None:
        self.content: Any = None
        self.refuses = False

    def process(self, file: File, attr_key: str) -> None:
        if self.content is not None:
            file.original_content = self.content(file)
        if self.refuses:
            raise ValidationError(attr_key, "no")


REPLACING = Replacing()


class Named(File):
    """Chooses the key of everything that it stores."""

    def store_content(
        self,
        content: Any,
        upload_storage: str | None = None,
        name: str | None = None,
        metadata: Any = None,
        extra: Any = None,
        headers: Any = None,
        content_path: str | None = None,
    ) -> Any:
        name = f"docs/{self.filename}"
        return super().store_content(
            content, upload_storage, name, metadata, extra, headers, content_path
        )


class Elsewhere(File):
    """Stores on its own, as `ellar-sql` does."""

    def save_to_storage(self, upload_storage: str | None = None) -> None:
        key = f"own-{self.filename}"
        StorageManager.save_file(key, self.original_content, upload_storage)
        path = f"{upload_storage}/{key}"
        self.update(path=path, file_id=key, upload_storage=upload_storage, files=[path], saved=True)


class Nowhere(File):
    def save_to_storage(self, upload_storage: str | None = None) -> None:
        self.saved_by_hand = True


class Refusing(File):
    def apply_validators(self, validators: Any, key: str = "") -> None:
        raise ValidationError(key, "no")


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "old_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField(validators=[REPLACING]))
    named: Mapped[Named | None] = mapped_column(FileField(upload_type=Named))
    plain: Mapped[File | None] = mapped_column(FileField())


@pytest.fixture
def engine(storage: MemoryStorage) -> Iterator[Engine]:
    engine = sqlite(Base)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def replacing() -> Replacing:
    REPLACING.__init__()  # type: ignore[misc]
    return REPLACING


def stored(session: Session, file: File) -> File:
    session.add(Paper(body=file))
    session.commit()
    return file


# --- methods of a subclass


def test_a_subclass_may_refuse_files_of_a_field_without_validators(
    session: Session, storage: MemoryStorage
) -> None:
    paper = Paper(plain=Refusing(b"hello"))
    session.add(paper)
    with pytest.raises(ValidationError, match="no"):
        validate(session)
    with pytest.raises(ValidationError, match="no") as refused:
        session.commit()
    assert (refused.value.key, refused.value.instance) == ("plain", paper)
    assert keys(storage) == []


def test_content_that_is_refused_as_it_is_first_read_is_not_stored(
    session: Session, storage: MemoryStorage
) -> None:
    class Judging(io.BytesIO):
        is_read = False

        def read(self, size: int | None = -1, /) -> bytes:
            if not self.is_read:
                self.is_read = True
                raise ValidationError("plain", "no")
            return super().read(size)

    session.add(Paper(plain=File(Judging(b"hello"))))
    with pytest.raises(ValidationError, match="no"):
        session.commit()
    assert keys(storage) == []


# --- a saved file, or its record, as content


def test_a_file_made_from_a_record_is_that_saved_file(session: Session) -> None:
    file = stored(session, File(b"hello", filename="a.txt"))
    record = json.loads(json.dumps(file))
    for again in (File(record), File(file)):
        assert again.saved
        assert again == file
        assert again.file.read() == b"hello"
        with pytest.raises(TypeError, match="immutable"):
            again.filename = "b.txt"


def test_a_file_made_from_a_record_shares_nothing_with_it(session: Session) -> None:
    record = dict(stored(session, File(b"hello")))
    again = File(record)
    record["files"].append("main/other")
    assert again["files"] == [again["path"]]


def test_a_record_may_be_given_to_a_class_of_the_programs_own(session: Session) -> None:
    assert type(Named(dict(stored(session, File(b"hello"))))) is Named


def test_a_file_made_from_an_unsaved_one_has_its_content(session: Session) -> None:
    file = stored(session, File(File(b"hello", filename="a.txt")))
    assert (file.filename, file.file.read()) == ("a.txt", b"hello")


@pytest.mark.parametrize("record", [{}, {"filename": "a.txt"}, {"files": []}], ids=repr)
def test_a_dict_that_names_no_object_is_no_content(record: Any) -> None:
    with pytest.raises(TypeError, match="names no object"):
        File(record)


def test_a_record_of_old_that_does_not_say_so_is_saved(session: Session) -> None:
    file = stored(session, File(b"hello"))
    again = File({"path": file["path"], "filename": "a.txt"})
    assert again.saved
    again._thaw()
    assert again.saved


def test_a_saved_file_that_is_thawed_may_be_changed(session: Session) -> None:
    file = stored(session, File(b"hello", filename="a.txt"))
    file._thaw()
    file.filename = "b.txt"
    assert (file.filename, file.saved, file.file.read()) == ("b.txt", True, b"hello")


# --- metadata


def test_metadata_warns_and_goes_before_that_of_extra(
    session: Session, storage: MemoryStorage
) -> None:
    with pytest.warns(DeprecationWarning, match="metadata attribute is deprecated"):
        file = File(b"x", metadata={"a": "1"}, extra={"acl": "p", "meta_data": {"b": "2"}})
    stored(session, file)
    kept = storage.stat(file["file_id"]).attributes
    assert (kept.metadata, kept.extra) == ({"a": "1"}, {"acl": "p"})
    assert file.extra["meta_data"]["a"] == "1"


def test_metadata_of_the_manager_goes_before_that_of_extra(storage: MemoryStorage) -> None:
    with pytest.warns(DeprecationWarning, match="metadata attribute is deprecated"):
        StorageManager.save_file(
            "k", b"x", metadata={"a": "1"}, extra={"meta_data": {"a": "2", "b": "3"}}
        )
    assert storage.stat("k").attributes.metadata == {"a": "1"}


def test_metadata_that_is_no_dict_is_a_key_as_any_other(session: Session) -> None:
    assert stored(session, File(b"x", metadata="ours"))["metadata"] == "ours"


# --- content that a validator replaces


def test_a_validator_may_replace_the_content(
    session: Session, storage: MemoryStorage, replacing: Replacing
) -> None:
    replacing.content = lambda file: io.BytesIO(PNG)
    file = stored(session, File(b"hello", filename="a.txt"))
    assert (file["size"], file["content_type"]) == (len(PNG), "image/png")
    assert file["checksum"] == f"sha256:{hashlib.sha256(PNG).hexdigest()}"
    assert contents(storage) == [PNG]


@pytest.mark.parametrize(
    "content",
    [b"new", "new", io.BytesIO(b"new"), iter([b"n", b"ew"]), __file__],
    ids=["bytes", "text", "stream", "iterator", "path"],
)
def test_replaced_content_is_anything_that_a_file_takes(
    session: Session, storage: MemoryStorage, replacing: Replacing, content: Any
) -> None:
    content = Path(content) if content == __file__ else content
    replacing.content = lambda file: content
    file = stored(session, File(b"hello"))
    expected = content.read_bytes() if isinstance(content, Path) else b"new"
    assert contents(storage) == [expected]
    assert file["size"] == len(expected)


def test_a_replaced_path_is_closed(
    session: Session, replacing: Replacing, tmp_path: Path, storage: MemoryStorage
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    replacing.content = lambda file: gzip.compress(file.original_content.read(), mtime=0)
    file = stored(session, File(path))
    assert file["content_type"] == "application/gzip"
    assert contents(storage) == [gzip.compress(b"hello", mtime=0)]


def test_what_is_added_again_is_made_from_what_was_given(
    session: Session, storage: MemoryStorage, replacing: Replacing
) -> None:
    replacing.content = lambda file: file.original_content.read() + b"!"
    file = File(b"hello")
    session.add(Paper(body=file))
    session.flush()
    session.rollback()
    stored(session, file)
    assert contents(storage) == [b"hello!"]


def test_what_was_refused_is_made_from_what_was_given(
    session: Session, storage: MemoryStorage, replacing: Replacing
) -> None:
    replacing.content = lambda file: file.original_content.read() + b"!"
    replacing.refuses = True
    file = File(b"hello")
    with pytest.raises(ValidationError):
        stored(session, file)
    session.rollback()
    replacing.refuses = False
    stored(session, file)
    assert contents(storage) == [b"hello!"]


def test_a_program_may_replace_the_content_before_it_adds_the_file(
    session: Session, storage: MemoryStorage
) -> None:
    file = File(b"hello", filename="a")
    file.original_content = PNG
    assert (file.size, file.content_type) == (len(PNG), "image/png")
    stored(session, file)
    assert contents(storage) == [PNG]


def test_the_content_of_a_stored_file_is_not_replaced(session: Session) -> None:
    file = stored(session, File(b"hello"))
    with pytest.raises(TypeError, match="immutable"):
        file.original_content = b"new"
    by_hand = File(b"hello")
    by_hand.save_to_storage("main")
    with pytest.raises(TypeError, match="stored already"):
        by_hand.original_content = b"new"


# --- files that choose their keys


def test_an_overridden_store_content_names_the_main_object(
    session: Session, storage: MemoryStorage, tmp_path: Path
) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes(b"bee")
    paper = Paper(named=Named(b"hello", filename="a.txt"))
    session.add_all([paper, Paper(named=Named(content_path=str(path)))])
    session.commit()
    assert keys(storage) == ["docs/a.txt", "docs/b.txt"]
    assert paper.named is not None
    assert paper.named["path"] == "main/docs/a.txt"
    assert paper.named["files"] == [paper.named["path"]]
    assert paper.named["size"] == 5
    assert paper.named["checksum"].startswith("sha256:2cf24dba")
    assert storage.stat("docs/a.txt").attributes.filename == "a.txt"
    assert paper.named.file.read() == b"hello"
    session.delete(paper)
    session.commit()
    assert keys(storage) == ["docs/b.txt"]


@pytest.mark.parametrize("kind", [Named, Elsewhere])
def test_what_a_file_has_stored_its_own_way_goes_with_the_transaction(
    session: Session, storage: MemoryStorage, kind: type[File]
) -> None:
    session.add(Paper(body=kind(b"hello", filename="a.txt")))
    session.flush()
    assert len(keys(storage)) == 1
    session.rollback()
    assert keys(storage) == []


@pytest.mark.parametrize("kind", [Named, Elsewhere])
def test_a_file_stores_its_own_way_under_an_async_session(
    tmp_path: Path, storage: MemoryStorage, kind: type[File]
) -> None:
    async def story() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add(Paper(body=kind(b"hello", filename="a.txt")))
            await session.commit()
        await engine.dispose()

    asyncio.run(story())
    assert keys(storage) == ["docs/a.txt" if kind is Named else "own-a.txt"]


def test_a_file_that_names_no_object_after_it_was_stored_is_refused(
    session: Session, storage: MemoryStorage
) -> None:
    session.add(Paper(body=Nowhere(b"x")))
    with pytest.raises(StorageError, match=r"Nowhere\.save_to_storage"):
        session.flush()


def test_a_key_of_its_own_never_takes_the_place_of_another(
    session: Session, storage: MemoryStorage
) -> None:
    session.add(Paper(named=Named(b"one", filename="a.txt")))
    session.commit()
    session.add(Paper(named=Named(b"two", filename="a.txt")))
    with pytest.raises(FileExistsError):
        session.commit()
    session.rollback()
    assert contents(storage) == [b"one"]
