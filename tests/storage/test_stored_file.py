"""Stored files are files: read by whatever reads files, and by no more requests than needed."""

from __future__ import annotations

import copy
import csv
import gc
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from libcloud.storage.base import Container
from libcloud.storage.drivers.local import LocalStorageDriver
from PIL import Image

from sqlalchemy_file.exceptions import ObjectNotFoundError, StorageError
from sqlalchemy_file.storage import (
    Attributes,
    LocalStorage,
    MemoryStorage,
    ObjectInfo,
    Storage,
    StorageManager,
    StoredFile,
    adapt,
)
from sqlalchemy_file.testing.objects import MEGABYTE
from tests.storage.helpers import put

TEXT = b"first\nsecond\r\n\nlast"


class Watched:
    """A storage that notes what is asked of another one."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.asked: list[object] = []
        self.fetched = 0

    def put(
        self, key: str, content: BinaryIO, attributes: Attributes, *, exclusive: bool = False
    ) -> ObjectInfo:
        return self._storage.put(key, content, attributes, exclusive=exclusive)

    def stat(self, key: str) -> ObjectInfo:
        self.asked.append("stat")
        return self._storage.stat(key)

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.asked.append((start, end))
        for chunk in self._storage.stream(key, start, end):
            self.fetched += len(chunk)
            yield chunk

    def delete(self, keys: Sequence[str]) -> None:
        self._storage.delete(keys)

    def copy(self, key: str, new_key: str) -> ObjectInfo:
        return self._storage.copy(key, new_key)

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        return self._storage.list(prefix, start_after)


@pytest.fixture
def memory() -> Watched:
    return Watched(MemoryStorage())


@pytest.fixture(params=["folder", "memory", "libcloud local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return LocalStorage(tmp_path / "folder")
    if request.param == "memory":
        return MemoryStorage()
    if request.param == "libcloud local":
        (tmp_path / "container").mkdir()
        return adapt(LocalStorageDriver(str(tmp_path)).get_container("container"))
    return adapt(request.getfixturevalue("bucket"))


@pytest.fixture
def text(storage: Storage) -> StoredFile:
    put(storage, "text", TEXT)
    return StoredFile(storage, "text", storage_name="store")


class TestReading:
    def test_read_advances(self, text: StoredFile) -> None:
        assert [text.read(4), text.read(4), text.tell()] == [b"firs", b"t\nse", 8]
        assert text.read() == TEXT[8:]
        assert text.read() == text.read(5) == b""

    def test_more_than_there_is_reads_what_there_is(self, text: StoredFile) -> None:
        assert text.read(8192) == TEXT

    def test_the_chunk_size_of_older_releases_is_taken(self, text: StoredFile) -> None:
        assert text.read(5, chunk_size=2) == b"first"
        assert text.read(-1, 1024) == TEXT[5:]

    def test_seek_knows_all_origins(self, text: StoredFile) -> None:
        assert (text.seek(6), text.read(6)) == (6, b"second")
        assert (text.seek(-4, os.SEEK_END), text.read()) == (len(TEXT) - 4, b"last")
        assert (text.seek(-2, os.SEEK_CUR), text.read(1)) == (len(TEXT) - 2, b"s")
        assert (text.seek(0), text.read(5)) == (0, b"first")
        assert (text.seek(1000), text.read(5)) == (1000, b"")

    @pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-1000, 2), (-1000, 1), (0, 7)])
    def test_a_position_that_there_is_not_is_refused(
        self, text: StoredFile, offset: int, whence: int
    ) -> None:
        with pytest.raises((OSError, ValueError)):
            text.seek(offset, whence)
        assert text.read(5) == b"first"

    def test_only_files_on_disk_know_where_their_data_are(self) -> None:
        storage = MemoryStorage()
        put(storage, "key", TEXT)
        file = StoredFile(storage, "key")
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, 3)  # Linux's SEEK_DATA
        assert file.read(5) == b"first"

    def test_lines_are_those_of_any_file(self, text: StoredFile) -> None:
        assert list(text) == TEXT.splitlines(keepends=True)
        text.seek(0)
        assert [text.readline(), text.readline(3)] == [b"first\n", b"sec"]
        assert text.readlines() == [b"ond\r\n", b"\n", b"last"]

    def test_readinto_fills_a_buffer(self, text: StoredFile) -> None:
        buffer = bytearray(5)
        assert (text.readinto(buffer), bytes(buffer)) == (5, b"first")

    def test_what_was_read_at_one_go_can_be_read_again(self, text: StoredFile) -> None:
        assert (text.read(), text.tell(), text.read(), text.size) == (TEXT, 19, b"", 19)
        assert (text.seek(-4, os.SEEK_CUR), text.read()) == (15, b"last")
        assert (text.seek(6), text.read(6), text.tell()) == (6, b"second", 12)
        assert (text.seek(0), text.read()) == (0, TEXT)

    def test_stream_yields_what_is_left_in_chunks(self, text: StoredFile) -> None:
        text.read(6)
        assert list(text.stream(5)) == [b"secon", b"d\r\n\nl", b"ast"]

    def test_an_empty_object_reads_as_empty(self, storage: Storage) -> None:
        put(storage, "empty", b"")
        file = StoredFile(storage, "empty")
        assert (file.read(), file.read(5), file.size, list(file)) == (b"", b"", 0, [])
        assert (file.seek(0, os.SEEK_END), file.read(), list(file.stream())) == (0, b"", [])

    def test_it_copies_as_any_file_does(self, storage: Storage) -> None:
        data = os.urandom(300_000)
        put(storage, "key", data)
        copied = io.BytesIO()
        shutil.copyfileobj(StoredFile(storage, "key"), copied)
        assert copied.getvalue() == data

    def test_it_can_be_stored_again_elsewhere(self, text: StoredFile) -> None:
        other = MemoryStorage()
        text.read(6)
        other.put("key", text, Attributes())
        assert b"".join(other.stream("key")) == TEXT[6:]

    def test_it_is_readable_seekable_and_nothing_else(self, text: StoredFile) -> None:
        assert (text.readable(), text.seekable(), text.writable()) == (True, True, False)
        assert text.mode == "rb"
        assert isinstance(text, io.BufferedIOBase)
        with pytest.raises(io.UnsupportedOperation):
            text.write(b"x")  # type: ignore[attr-defined]

    def test_a_closed_one_reads_no_more(self, text: StoredFile) -> None:
        with text as file:
            file.read(2)
        assert text.closed
        with pytest.raises(ValueError, match="closed"):
            text.read()

    def test_one_that_is_forgotten_open_warns_of_nothing(self, storage: Storage) -> None:
        put(storage, "text", TEXT)
        StoredFile(storage, "text").read(3)
        gc.collect()


class TestReaders:
    """Programs that open files."""

    def test_pil(self, storage: Storage) -> None:
        picture = io.BytesIO()
        Image.effect_noise((700, 500), 80).convert("RGB").save(picture, "PNG")
        put(storage, "picture", picture.getvalue())
        with StoredFile(storage, "picture") as file, Image.open(file) as image:
            image.load()
            assert (image.format, image.size) == ("PNG", (700, 500))

    def test_zipfile(self, storage: Storage) -> None:
        put(storage, "archive", archive())
        with StoredFile(storage, "archive") as file, zipfile.ZipFile(file) as opened:
            assert opened.testzip() is None
            assert opened.read("member 7") == member(7)

    def test_pandas(self, storage: Storage) -> None:
        pandas = pytest.importorskip("pandas", reason="pandas is in the extra [dev]")
        rows = [f"{number},{number * 2}\n" for number in range(5000)]
        put(storage, "table", "".join(["a,b\n", *rows]).encode())
        frame = pandas.read_csv(StoredFile(storage, "table"))
        assert (len(frame), int(frame["b"].sum())) == (5000, 24_995_000)

    def test_text_wrappers(self, text: StoredFile) -> None:
        with io.TextIOWrapper(text, encoding="ascii", newline="") as wrapped:
            assert next(csv.reader(wrapped)) == ["first"]


class TestRequests:
    """What is asked of a storage that is not on this machine's disk."""

    def test_nothing_before_it_is_needed(self, memory: Watched) -> None:
        file = StoredFile(memory, "missing", filename="name", content_type="text/plain")
        assert (file.name, file.filename, file.content_type) == ("missing", "name", "text/plain")
        assert memory.asked == []
        with pytest.raises(ObjectNotFoundError):
            file.read()

    def test_reading_in_order_is_one_request(self, memory: Watched) -> None:
        put(memory, "key", b"x" * MEGABYTE)
        file = StoredFile(memory, "key")
        while file.read(1000):
            pass
        assert memory.asked == [(0, None)]

    def test_the_end_is_not_asked_for_again(self, memory: Watched) -> None:
        put(memory, "key", b"x" * 10)
        file = StoredFile(memory, "key")
        assert [file.read(), file.read(), file.size] == [b"x" * 10, b"", 10]
        assert memory.asked == [(0, None)]

    @pytest.mark.parametrize("size", [-1, 700_000])
    def test_a_request_that_fails_is_not_the_end(self, size: int) -> None:
        class Failing(MemoryStorage):
            fails = True

            def stream(self, *arguments: Any, **options: Any) -> Iterator[bytes]:
                chunks = super().stream(*arguments, **options)
                yield next(chunks)
                if self.fails:
                    raise StorageError("the connection was lost")
                yield from chunks

        storage, content = Failing(), os.urandom(MEGABYTE)
        put(storage, "key", content)
        file = StoredFile(storage, "key")
        for _ in range(2):
            with pytest.raises(StorageError, match="lost"):
                file.read(size)
        storage.fails = False
        begin = file.tell()
        assert file.read() == content[begin:]

    def test_what_is_known_is_not_asked_for(self, memory: Watched) -> None:
        info = put(memory, "key", b"x" * 10, filename="name", content_type="text/plain")
        file = StoredFile(memory, "key", info=info)
        assert (file.size, file.filename, file.content_type) == (10, "name", "text/plain")
        file.seek(-2, os.SEEK_END)
        assert memory.asked == []

    def test_after_a_seek_only_what_is_needed(self, memory: Watched) -> None:
        put(memory, "key", b"x" * MEGABYTE)
        file = StoredFile(memory, "key")
        file.seek(500_000)
        file.read(10)
        assert memory.asked == [(500_000, 500_000 + 64 * 1024)]
        file.seek(900_000)
        file.read(100_000)
        assert memory.fetched < 300_000

    def test_ranges_grow_while_reading_goes_on(self, memory: Watched) -> None:
        put(memory, "key", b"x" * 12 * MEGABYTE)
        file = StoredFile(memory, "key")
        file.seek(1)
        while file.read(100_000):
            pass
        assert memory.fetched == 12 * MEGABYTE - 1
        assert len(memory.asked) <= 6
        assert memory.asked[-1][1] is None  # type: ignore[index]

    def test_one_member_of_an_archive_is_not_the_whole_archive(self, memory: Watched) -> None:
        put(memory, "archive", archive())
        with zipfile.ZipFile(StoredFile(memory, "archive")) as opened:
            assert opened.read("member 7") == member(7)
        assert memory.fetched < 400_000 < len(archive()) / 10
        assert len(memory.asked) < 10


class TestTheObject:
    def test_its_attributes_are_those_it_was_stored_with(self, storage: Storage) -> None:
        put(storage, "key", filename="ü.txt", content_type="text/plain")
        file = StoredFile(storage, "key", storage_name="store")
        assert (file.name, file.size, file.storage_name) == ("key", 5, "store")
        if storage.stat("key").attributes.filename:
            assert (file.filename, file.content_type) == ("ü.txt", "text/plain")

    def test_without_attributes_it_has_the_names_of_older_releases(self, storage: Storage) -> None:
        put(storage, "key")
        file = StoredFile(storage, "key")
        assert (file.filename, file.content_type) == ("unnamed", "application/octet-stream")

    def test_what_the_row_says_goes_before(self, storage: Storage) -> None:
        put(storage, "key", filename="stored", content_type="text/stored")
        file = StoredFile(storage, "key", filename="row", content_type="text/row")
        assert (file.filename, file.content_type) == ("row", "text/row")

    def test_the_object_looks_like_libclouds(self, storage: Storage) -> None:
        put(storage, "key", b"bytes", filename="name")
        found = StoredFile(storage, "key", storage_name="store").object
        assert (found.name, found.size) == ("key", 5)
        assert isinstance(found.driver.name, str)
        assert isinstance(found.container.name, str)
        assert found.meta_data.get("filename", "name") == "name"
        assert isinstance(found.extra, dict)
        assert b"".join(found.as_stream()) == b"bytes"

    def test_files_on_this_disk_are_known_by_their_path(self, tmp_path: Path) -> None:
        (tmp_path / "container").mkdir()
        container = LocalStorageDriver(str(tmp_path)).get_container("container")
        for local in (LocalStorage(tmp_path / "folder"), adapt(container)):
            put(local, "a/key", b"bytes")
            file = StoredFile(local, "a/key")
            assert file.object.driver.name == "Local Storage"
            assert Path(file.get_cdn_url() or "").read_bytes() == b"bytes"
            assert Path(file.object.get_cdn_url()).read_bytes() == b"bytes"
            assert os.fstat(file.fileno()).st_size == 5

    def test_an_address_is_the_drivers_or_none(
        self, bucket: Container, s3_driver: Callable[..., object]
    ) -> None:
        container = s3_driver("s3").get_container(bucket.name)  # type: ignore[attr-defined]
        put(adapt(container), "key")
        address = StoredFile(adapt(container), "key").get_cdn_url()
        assert address is not None
        assert f"/{bucket.name}/key?" in address
        assert StoredFile(adapt(bucket), "key").get_cdn_url() is None
        assert StoredFile(MemoryStorage(), "key").get_cdn_url() is None

    def test_an_address_is_the_permanent_url_of_a_storage_that_has_one(self) -> None:
        class Public(MemoryStorage):
            def public_url(self, key: str) -> str | None:
                return f"https://files.example/{key}" if key == "public" else None

        storage = Public()
        put(storage, "public")
        put(storage, "private")
        addresses = [StoredFile(storage, key).get_cdn_url() for key in ("public", "private")]
        assert addresses == ["https://files.example/public", None]

    def test_a_missing_object_is_named_with_its_storage(self, storage: Storage) -> None:
        file = StoredFile(storage, "missing", storage_name="store")
        with pytest.raises(ObjectNotFoundError, match="storage 'store', key 'missing'"):
            file.read()
        with pytest.raises(ObjectNotFoundError, match="storage 'store', key 'missing'"):
            StoredFile(storage, "missing", storage_name="store").require()

    @pytest.mark.parametrize("action", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_it_can_be_neither_pickled_nor_copied(
        self, text: StoredFile, action: Callable[[object], object]
    ) -> None:
        with pytest.raises(TypeError, match=r"StorageManager\.get_file"):
            action(text)

    def test_its_repr_says_which_it_is(self, text: StoredFile) -> None:
        assert repr(text) == "<StoredFile 'text' in storage 'store'>"

    def test_the_old_import_path_leads_to_it(self) -> None:
        from sqlalchemy_file.stored_file import StoredFile as Old

        assert Old is StoredFile

    def test_a_file_of_the_manager_closes_what_it_opened(self, tmp_path: Path) -> None:
        StorageManager.add_storage("folder", LocalStorage(tmp_path))
        StorageManager.save_file("key", b"bytes")
        gc.collect()
        before = open_below(tmp_path)
        for _ in range(20):
            StorageManager.get_file("folder/key").close()
            StorageManager.get_file("folder/key").read()
        gc.collect()
        # Others are not counted: pools of other tests close idle connections meanwhile.
        assert open_below(tmp_path) == before


def open_below(folder: Path) -> list[Path]:
    """Return what this process has open in a folder."""
    paths = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            paths.append(each.readlink())
    return sorted(path for path in paths if path.is_relative_to(folder))


def member(number: int) -> bytes:
    return bytes([number]) * 100_000


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number in range(60):
            archive.writestr(f"member {number}", member(number))
    return packed.getvalue()
