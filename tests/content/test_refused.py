"""Content that cannot be stored says so, leaves nothing, and keeps nothing open."""

from __future__ import annotations

import codecs
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField
from sqlalchemy_file.exceptions import (
    ContentSpentError,
    SizeValidationError,
    StorageError,
    ValidationError,
)
from sqlalchemy_file.storage.common.streams import SPOOL_SIZE
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validators import SizeValidator
from tests.content.samples import DATA, assert_holds
from tests.scenarios.content import FailingStream
from tests.stores import keys, no_warnings


class Base(DeclarativeBase):
    pass


class BrokenProcessor:
    def process(self, file: File, upload_storage: str | None = None) -> None:
        raise RuntimeError("no luck")


class Paper(Base):
    __tablename__ = "paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())
    small: Mapped[File | None] = mapped_column(FileField(validators=[SizeValidator(3)]))
    broken: Mapped[File | None] = mapped_column(FileField(processors=[BrokenProcessor()]))


def save(session: Session, content: Any, **options: Any) -> File:
    paper = Paper(body=File(content, **options))
    session.add(paper)
    session.commit()
    assert paper.body is not None
    return paper.body


@pytest.mark.parametrize("wrong", [42, 1.5, {"a": 1}, [b"x"], (b"x",), {b"x"}, ...], ids=repr)
def test_what_is_no_content_is_refused_when_the_file_is_made(wrong: Any) -> None:
    with pytest.raises(TypeError, match="content"):
        File(wrong)


TEXT_HANDLES: dict[str, Callable[[Path], Any]] = {
    "text file": lambda path: path.open(),
    "StringIO": lambda path: io.StringIO("text"),
    "named temporary file": lambda path: tempfile.NamedTemporaryFile("w+"),  # noqa: SIM115
    "spooled temporary file": lambda path: tempfile.SpooledTemporaryFile(mode="w+"),  # noqa: SIM115
    "codecs": lambda path: codecs.StreamReaderWriter(path.open("rb"), *codecs.lookup("utf-8")[2:4]),
}


@pytest.mark.parametrize("kind", TEXT_HANDLES)
def test_a_text_handle_is_refused(session: Session, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text("text")
    with TEXT_HANDLES[kind](path) as handle, pytest.raises(TypeError, match="binary"):
        save(session, handle)


def test_a_path_that_does_not_exist_raises_when_the_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        File(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        File(content_path=str(tmp_path / "nothing"))


def test_a_folder_raises_when_the_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        File(tmp_path)
    with pytest.raises(IsADirectoryError):
        File(content_path=tmp_path)


def test_neither_content_nor_path_raises() -> None:
    with pytest.raises(ValueError, match="Either content or content_path must be specified"):
        File()


def test_a_closed_handle_is_refused_when_the_file_is_made() -> None:
    handle = io.BytesIO(DATA)
    handle.close()
    with pytest.raises((ValueError, ContentSpentError), match="closed"):
        File(handle)


def test_a_handle_closed_before_the_flush_says_what_to_do(session: Session) -> None:
    handle = io.BytesIO(DATA)
    session.add(Paper(body=File(handle)))
    handle.close()
    with pytest.raises(ContentSpentError, match="closed before it could be read"):
        session.flush()


def test_a_path_gone_before_the_flush_raises_as_it_is(
    session: Session, storage: MemoryStorage, tmp_path: Path
) -> None:
    path = tmp_path / "gone.txt"
    path.write_bytes(DATA)
    session.add(Paper(body=File(path)))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        session.flush()
    assert keys(storage) == []


@pytest.mark.parametrize("make", [lambda: FailingStream(b"x" * 100), lambda: _failing_iterator()])  # noqa: PLW0108  defined below
def test_content_that_fails_raises_its_own_error_and_leaves_nothing(
    session: Session, storage: MemoryStorage, make: Callable[[], Any]
) -> None:
    session.add_all([Paper(body=File(DATA)), Paper(body=File(make()))])
    with pytest.raises(ConnectionResetError, match="went away"), no_warnings():
        session.flush()
    assert keys(storage) == []


def _failing_iterator() -> Iterator[bytes]:
    yield b"some"
    raise ConnectionResetError("the client went away")


def test_a_handle_that_fails_in_the_middle_is_not_taken_for_a_storage_error(
    session: Session, storage: MemoryStorage
) -> None:
    session.add(Paper(body=File(FailingHandle(DATA * 100_000))))
    with pytest.raises(OSError, match="bad sector") as caught:
        session.flush()
    assert not isinstance(caught.value, StorageError)
    assert keys(storage) == []


class FailingHandle(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 1_000_000:
            raise OSError("bad sector")
        return super().read(size)


def test_a_stream_that_failed_says_so_when_it_is_added_again(session: Session) -> None:
    paper = Paper(body=File(FailingStream(b"x" * 100)))
    session.add(paper)
    with pytest.raises(ConnectionResetError):
        session.flush()
    session.rollback()
    session.add(paper)
    with pytest.raises(ContentSpentError, match="cannot be read again"):
        session.flush()


def test_an_iterator_of_text_is_refused(session: Session, storage: MemoryStorage) -> None:
    with pytest.raises(TypeError, match="yield bytes, not str"):
        save(session, iter(["text"]))
    assert keys(storage) == []


# --- nothing stays open


def test_a_path_is_closed_when_the_file_is_refused(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "paper.txt"
    path.write_bytes(DATA)
    with no_warnings():
        session.add(Paper(small=File(path)))
        refused: type[Exception] | None = None
        try:
            session.flush()
        except ValidationError as error:
            refused = type(error)
        session.rollback()
        session.expunge_all()
    assert refused is SizeValidationError


def test_a_path_is_closed_when_a_processor_fails(
    session: Session, storage: MemoryStorage, tmp_path: Path
) -> None:
    path = tmp_path / "paper.txt"
    path.write_bytes(DATA)
    with no_warnings():
        session.add(Paper(broken=File(path)))
        message = ""
        try:
            session.flush()
        except RuntimeError as error:
            message = str(error)
        session.rollback()
        session.expunge_all()
    assert message == "no luck"
    assert keys(storage) == []


def test_a_temporary_file_lives_as_long_as_the_file_that_reads_it(session: Session) -> None:
    def upload() -> File:
        handle = tempfile.NamedTemporaryFile()  # noqa: SIM115 (its finalizer closes it)
        handle.write(DATA)
        handle.flush()
        return File(handle)

    paper = Paper(body=upload())
    session.add(paper)
    session.commit()
    assert paper.body is not None
    assert_holds(paper.body)


def test_a_file_that_is_never_stored_leaves_nothing_open() -> None:
    with no_warnings():
        file = File(iter([b"x" * (SPOOL_SIZE + 1)]))
        assert file.original_content.read(1) == b"x"
        del file
