"""How many bytes a content still has, as far as that is known without reading it."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_file.storage import MemoryStorage
from sqlalchemy_file.storage.common.streams import ChunkReader, reader_of, size_left
from sqlalchemy_file.storage.stored_file import StoredFile
from sqlalchemy_file.values.records import Measured
from tests.storage.helpers import put


def _filled(make: Callable[..., Any], **options: Any) -> Any:
    file = make(**options)
    file.write(b"0123456789")
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "make",
    [
        lambda: io.BytesIO(b"0123456789"),
        lambda: _filled(tempfile.TemporaryFile),
        lambda: _filled(tempfile.NamedTemporaryFile),
        lambda: _filled(tempfile.SpooledTemporaryFile),
        lambda: _filled(tempfile.SpooledTemporaryFile, max_size=1),
        lambda: Measured(io.BytesIO(b"0123456789")),
    ],
    ids=["bytes", "file", "named", "spooled", "rolled over", "measured"],
)
def test_a_file_tells_what_is_left_and_stays_where_it_is(make: Callable[[], Any]) -> None:
    with make() as file:
        assert size_left(file) == 10
        assert file.read(4) == b"0123"
        assert size_left(file) == 6
        assert file.read() == b"456789"
        assert size_left(file) == 0


def test_an_iterator_and_a_pipe_do_not_tell() -> None:
    assert size_left(reader_of(iter([b"bytes"]))) is None
    end, other_end = os.pipe()
    with os.fdopen(other_end, "wb"), os.fdopen(end, "rb") as pipe:
        assert size_left(pipe) is None


def test_a_file_that_is_closed_does_not_tell(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        pass
    assert size_left(file) is None
    assert size_left(Measured(file)) is None


def test_a_stored_file_is_not_asked_and_goes_on_reading_by_one_request() -> None:
    class Counting(MemoryStorage):
        streams = 0

        def stream(self, *arguments: Any, **options: Any) -> Any:
            self.streams += 1
            return super().stream(*arguments, **options)

    storage = Counting()
    put(storage, "key", b"x" * 1_000_000)
    stored = StoredFile(storage, "key")
    first = stored.read(10)
    assert size_left(stored) is None
    assert len(first + stored.read()) == 1_000_000
    assert storage.streams == 1


def test_chunks_are_a_stream_that_is_read_once() -> None:
    assert io.BufferedReader(ChunkReader([b"ab", b"", b"cde"])).read() == b"abcde"
    stream = ChunkReader([b"ab", b"cde"])
    buffer = bytearray(10)
    assert stream.readable()
    assert (stream.read(1), stream.readinto(memoryview(buffer)), buffer[:1]) == (b"a", 1, b"b")
    assert (stream.read(2), stream.read(-1), stream.read()) == (b"cd", b"e", b"")


def test_what_is_measured_is_a_stream_like_the_content() -> None:
    measured = Measured(io.BytesIO(b"abcde"))
    buffer = bytearray(2)
    assert measured.readable()
    assert (measured.readinto(buffer), bytes(buffer)) == (2, b"ab")
    assert (measured.readall(), measured.size) == (b"cde", 5)
