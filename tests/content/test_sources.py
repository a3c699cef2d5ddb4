"""Content of every kind is stored whole, and the caller's handle stays the caller's."""

from __future__ import annotations

import asyncio
import gc
import io
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sqlalchemy.orm import Session
from starlette.datastructures import Headers, UploadFile
from werkzeug.datastructures import FileStorage

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.content import sources
from sqlalchemy_file.content.sources import StreamContent, content_of
from sqlalchemy_file.storage.common import streams
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.content.samples import DATA, assert_holds
from tests.models import Base, Paper
from tests.scenarios.content import OneWayStream
from tests.stores import contents, no_warnings, sqlite


def save(session: Session, content: Any, **options: Any) -> File:
    paper = Paper(body=File(content, **options))
    session.add(paper)
    session.commit()
    assert paper.body is not None
    return paper.body


def handle_at(position: int) -> BinaryIO:
    handle = io.BytesIO(DATA)
    handle.seek(position)
    return handle


class DjangoUpload:
    """What Django's ``UploadedFile`` looks like."""

    name = "django.txt"
    content_type = "text/css"
    size = 5

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)


class Reader:
    """A handle that can be read, and nothing else."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)


class OldHandle(Reader):
    """A handle that can seek, though no ``seekable`` says so, and whose ``seek`` returns None."""

    def seek(self, position: int, whence: int = 0) -> None:
        self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _starlette(data: bytes) -> UploadFile:
    headers = Headers({"content-type": "text/css"})
    return UploadFile(io.BytesIO(data), filename="star.txt", headers=headers)


def _werkzeug(data: bytes) -> FileStorage:
    return FileStorage(io.BytesIO(data), filename="werk.txt", content_type="text/css")


KINDS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: DATA,
    "bytearray": lambda: bytearray(DATA),
    "memoryview": lambda: memoryview(DATA),
    "handle at its start": lambda: handle_at(0),
    "handle in the middle": lambda: handle_at(7),
    "handle at its end": lambda: handle_at(len(DATA)),
    "handle without seekable": lambda: OldHandle(DATA),
    "buffered handle": lambda: io.BufferedReader(io.BytesIO(DATA)),
    "stream": lambda: OneWayStream(DATA),
    "reader": lambda: Reader(DATA),
    "iterator": lambda: iter([DATA[:5], b"", DATA[5:]]),
    "generator": lambda: (DATA[start : start + 3] for start in range(0, len(DATA), 3)),
    "iterator of bytearrays": lambda: iter([bytearray(DATA)]),
    "Starlette upload": lambda: _starlette(DATA),
    "Werkzeug upload": lambda: _werkzeug(DATA),
    "Django upload": lambda: DjangoUpload(DATA),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_bytes_are_stored_and_counted(session: Session, kind: str) -> None:
    with no_warnings():
        assert_holds(save(session, KINDS[kind]()))


def test_text_is_stored_as_utf_8(session: Session) -> None:
    assert_holds(save(session, "déjà vu ☕"), "déjà vu ☕".encode())


def test_a_path_object_is_read_from_disk_and_closed(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "paper.txt"
    path.write_bytes(DATA)
    with no_warnings():
        file = save(session, path)
    assert_holds(file)
    assert file["filename"] == "paper.txt"


def test_a_content_path_is_read_from_disk_and_kept_in_the_record(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "paper.txt"
    path.write_bytes(DATA)
    file = save(session, None, content_path=str(path))
    assert_holds(file)
    assert (file["filename"], file["content_path"]) == ("paper.txt", str(path))


def test_a_handle_on_disk_is_left_open(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "paper.txt"
    path.write_bytes(DATA)
    with path.open("rb") as handle:
        handle.read(9)
        assert_holds(save(session, handle))
        assert not handle.closed
        handle.seek(0)
        assert handle.read() == DATA


@pytest.mark.parametrize("kind", ["handle in the middle", "buffered handle", "stream", "reader"])
def test_the_callers_handle_is_never_closed(session: Session, kind: str) -> None:
    handle = KINDS[kind]()
    save(session, handle)
    session.rollback()
    assert not getattr(handle, "closed", False)


@pytest.mark.parametrize("kind", ["Starlette upload", "Werkzeug upload", "Django upload"])
def test_an_upload_is_never_closed_and_gives_its_name_and_type(session: Session, kind: str) -> None:
    upload = KINDS[kind]()
    file = save(session, upload)
    inner = getattr(upload, "stream", None) or upload.file
    assert not inner.closed
    assert file["filename"] in {"star.txt", "werk.txt", "django.txt"}
    assert file["declared_content_type"] == "text/css"


def test_a_file_of_another_row_is_content_too(session: Session, storage: MemoryStorage) -> None:
    first = save(session, DATA, filename="first.txt")
    second = save(session, first.file)
    assert_holds(second)
    assert second["filename"] == "first.txt"
    assert second["path"] != first["path"]
    assert contents(storage) == [DATA, DATA]


def test_making_a_file_leaves_the_handle_where_it_stands() -> None:
    handle = handle_at(7)
    file = File(handle)
    assert handle.tell() == 7
    assert file["size"] == len(DATA)


def test_a_stream_is_stored_from_where_it_stands(session: Session) -> None:
    stream = OneWayStream(DATA)
    stream.read(4)
    assert_holds(save(session, stream), DATA[4:])


def test_an_iterator_is_stored_from_where_it_stands(session: Session) -> None:
    parts = iter([b"first", b"second", b"third"])
    next(parts)
    assert_holds(save(session, parts), b"secondthird")


@pytest.mark.parametrize(
    "empty", [b"", "", io.BytesIO(), iter(())], ids=lambda empty: repr(empty)[:9]
)
def test_empty_content_is_an_empty_object(session: Session, empty: Any) -> None:
    assert_holds(save(session, empty), b"")


def test_bytes_that_change_later_are_stored_as_they_were(session: Session) -> None:
    data = bytearray(b"before")
    file = File(data)
    data[:] = b"after!"
    assert_holds(save_file(session, file), b"before")


def save_file(session: Session, file: File) -> File:
    session.add(Paper(body=file))
    session.commit()
    return file


def test_the_size_is_what_was_read_not_what_the_disk_said_before(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "growing.txt"
    path.write_bytes(b"short")
    file = File(path)
    path.write_bytes(DATA)
    assert_holds(save_file(session, file))


def test_one_handle_in_several_files_is_read_whole_for_each(
    session: Session, storage: MemoryStorage
) -> None:
    handle = io.BytesIO(DATA * 1000)
    session.add_all([Paper(body=File(handle)) for _ in range(10)])
    session.commit()
    assert contents(storage) == [DATA * 1000] * 10


# --- spooling


def chunks(count: int, size: int = 64 * 1024) -> Iterator[bytes]:
    for _ in range(count):
        yield b"z" * size


def test_a_short_stream_is_kept_in_memory_and_a_long_one_on_disk() -> None:
    short, long = StreamContent(chunks(1)), StreamContent(chunks(17))
    assert short.open()._rolled is False  # type: ignore[attr-defined]
    assert long.open()._rolled is True  # type: ignore[attr-defined]
    assert long.size() == 17 * 64 * 1024


async def _sent() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.mark.parametrize("is_async", [False, True])
def test_the_copy_of_a_stream_in_a_reference_cycle_is_closed_before_its_own_finalizer_warns(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    were_closed = []

    class Watched(streams.tempfile.SpooledTemporaryFile):  # type: ignore[type-arg, name-defined]
        def __del__(self) -> None:
            were_closed.append(self.closed)

    older = [Watched()]  # than the content, and so finalized before it
    monkeypatch.setattr(streams, "new_spool", older.pop)
    monkeypatch.setattr(sources, "new_spool", older.pop)
    content: Any = content_of(_sent() if is_async else chunks(1))
    if is_async:
        asyncio.run(content.afetch())
    content.open()
    content.itself = content
    del content
    gc.collect()
    assert were_closed == [True]


def test_a_long_iterator_is_never_whole_in_memory(tmp_path: Path) -> None:
    root = tmp_path / "root"
    StorageManager.add_storage("disk", root.as_uri() if root.mkdir() is None else "")
    engine = sqlite(Base)
    with Session(engine) as session:
        save(session, b"warm up")
        tracemalloc.start()
        try:
            file = save(session, chunks(512))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    engine.dispose()
    assert file["size"] == 32 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


def test_the_size_of_a_stream_is_unknown_until_it_was_read() -> None:
    content = content_of(iter([b"abc"]))
    assert content.size() is None
    content.open()
    assert content.size() == 3


def test_original_content_can_be_read_again_and_again() -> None:
    file = File(iter([b"abc"]))
    assert file.original_content.read() == b"abc"
    assert file.original_content.read() == b"abc"
    assert file["original_content"].read() == b"abc"
