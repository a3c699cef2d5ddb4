"""Large contents of libcloud's S3 containers, through obstore: parts in parallel, few in memory."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from libcloud.storage.base import Container
from libcloud.storage.drivers.minio import MinIOStorageDriver
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage import Limits, Storage, adapt
from sqlalchemy_file.storage.common.streams import PART_SIZE
from sqlalchemy_file.storage.obstore.client import READ_SIZE
from sqlalchemy_file.testing.objects import MEGABYTE
from tests.storage.helpers import PLAIN, put, read
from tests.storage.server import Answer, Request, answering

WAIT = 10
"""Seconds after which a test has failed that waits for what does not come."""


UPLOAD = b"<R><Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId></R>"
COMPLETED = b"<R><Location>l</Location><Bucket>b</Bucket><Key>k</Key><ETag>whole</ETag></R>"


class Base(DeclarativeBase):
    pass


class Attachment(Base):
    __tablename__ = "attachment"
    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[File] = mapped_column(FileField)


class Bucket:
    """What an S3 server is asked about one upload in parts; parts are answered by ``answer``."""

    def __init__(self, answer: Callable[[int], Answer | None]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._under_way = 0
        self.log: list[str] = []
        self.bodies: dict[int, int] = {}
        self.most = 0

    def __call__(self, request: Request) -> Answer:
        number = re.search(r"partNumber=(\d+)", request.path)
        if number is None:
            self.log.append(request.method)
            return Answer(200, UPLOAD if "uploads" in request.path else COMPLETED)
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        part = int(number[1])
        try:
            return self._answer(part) or Answer(200, headers={"ETag": f'"part {part}"'})
        finally:
            with self._lock:
                self._under_way -= 1
                self.bodies[part] = len(request.body)
                self.log.append(f"part {part}")


def after(seconds: float) -> Callable[[int], None]:
    """Return an answer to parts that takes a while."""
    return lambda _: time.sleep(seconds)


class Source(io.BytesIO):
    """Bytes that know how far they were read, and may fail at some point of the reading."""

    def __init__(self, size: int, fails_at: int | None = None) -> None:
        super().__init__(bytes(size))
        self._fails_at = fails_at

    def read(self, count: int | None = -1, /) -> bytes:
        if self._fails_at is not None and self.tell() >= self._fails_at:
            raise KeyboardInterrupt
        return super().read(count)


Serve = Callable[[Callable[[Request], Answer]], Storage]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that makes a storage of a server that answers like its argument."""
    with ExitStack() as servers:

        def make(answer: Callable[[Request], Answer]) -> Storage:
            port = servers.enter_context(answering(answer))
            driver = MinIOStorageDriver("key", "secret", False, "127.0.0.1", port)
            return adapt(Container("bucket", {}, driver), max_retries=0)

        yield make


@pytest.fixture
def storage(bucket: Container) -> Storage:
    return adapt(bucket)


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    yield StorageManager.set_limit
    StorageManager.set_limit(None)


@pytest.mark.parametrize("limits", [Limits(), Limits(parts=6), Limits(parts=2)])
def test_parts_are_sent_at_the_same_time(serve: Serve, limits: Limits) -> None:
    StorageManager.set_limit(limits)
    together = threading.Barrier(limits.parts)

    def meet(_: int) -> None:
        together.wait(WAIT)

    count = 2 * limits.parts
    bucket = Bucket(meet)
    info = put(serve(bucket), "key", bytes(count * PART_SIZE))
    assert (info.size, info.etag) == (count * PART_SIZE, "whole")
    assert bucket.bodies == dict.fromkeys(range(1, count + 1), PART_SIZE)


def test_a_content_is_read_no_further_ahead_than_four_parts(serve: Serve) -> None:
    four, answers = threading.Semaphore(0), threading.Event()

    def hold(_: int) -> None:
        four.release()
        answers.wait(WAIT)

    bucket, source = Bucket(hold), Source(10 * PART_SIZE)
    storage = serve(bucket)
    with ThreadPoolExecutor(1) as thread:
        storing = thread.submit(storage.put, "key", source, PLAIN)
        try:
            assert all(four.acquire(timeout=WAIT) for _ in range(4))
            time.sleep(0.1)
            assert source.tell() <= 4 * PART_SIZE + READ_SIZE
        finally:
            answers.set()
        assert storing.result().size == 10 * PART_SIZE
    assert bucket.most == 4


def test_of_many_contents_four_are_sent_at_a_time(serve: Serve) -> None:
    bucket, begin = Bucket(after(0.1)), threading.Barrier(6)
    storage = serve(bucket)

    def store(key: str) -> None:
        begin.wait(WAIT)
        put(storage, key, bytes(3 * PART_SIZE))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(store, "abcdef"))
    assert bucket.most <= 4 * 3


@pytest.mark.parametrize("most", [1, 2])
def test_a_limit_holds_for_parts_too(serve: Serve, limit: Callable[[int], None], most: int) -> None:
    limit(most)
    bucket = Bucket(after(0.2))
    put(serve(bucket), "key", bytes(4 * PART_SIZE))
    assert bucket.most == most


def test_the_answers_are_collected_in_order(serve: Serve) -> None:
    completed: list[bytes] = []

    def answer(request: Request) -> Answer:
        if request.method == "POST" and request.body:
            completed.extend(re.findall(rb"part \d", request.body))
        return bucket(request)

    bucket = Bucket(lambda part: time.sleep(0.5 / part))
    put(serve(answer), "key", bytes(5 * PART_SIZE))
    assert bucket.log[1] != "part 1"
    assert completed == [b"part 1", b"part 2", b"part 3", b"part 4", b"part 5"]


def test_the_first_error_ends_the_reading_and_takes_the_parts_back(serve: Serve) -> None:
    def refuse_the_second(part: int) -> Answer | None:
        time.sleep(0 if part == 2 else 0.2)
        return Answer(403, b"<Error><Code>AccessDenied</Code></Error>") if part == 2 else None

    bucket, source = Bucket(refuse_the_second), Source(12 * PART_SIZE)
    with pytest.raises(StorageError, match=r"403.*AccessDenied") as caught:
        serve(bucket).put("key", source, PLAIN)
    assert caught.value.key == "key"
    assert source.tell() <= 4 * PART_SIZE + READ_SIZE
    assert (bucket.log.count("DELETE"), bucket.log.count("POST")) == (1, 1)  # never completed


def test_ctrl_c_takes_the_parts_back(serve: Serve) -> None:
    bucket = Bucket(after(0.3))
    with pytest.raises(KeyboardInterrupt):
        serve(bucket).put("key", Source(8 * PART_SIZE, fails_at=3 * PART_SIZE), PLAIN)
    assert (bucket.log.count("DELETE"), bucket.log.count("POST")) == (1, 1)


def test_what_goes_out_in_parts_comes_back_whole(storage: Storage) -> None:
    content = os.urandom(17 * MEGABYTE)
    assert put(storage, "key", content).size == len(content)
    assert read(storage, "key") == content


def test_workers_of_one_flush_send_parts_too(storage: Storage) -> None:
    StorageManager.add_storage("main", storage)
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    contents = [os.urandom(11 * MEGABYTE), os.urandom(17 * MEGABYTE)]
    with Session(engine) as session:
        rows = [Attachment(content=File(content)) for content in contents]
        session.add_all(rows)
        session.commit()
        assert [row.content.file.read() for row in rows] == contents
    engine.dispose()


def test_a_forked_child_stores_through_libcloud(storage: Storage) -> None:
    put(storage, "before", bytes(11 * MEGABYTE))
    child = os.fork()
    if not child:
        right = put(storage, "child", bytes(12 * MEGABYTE)).size == 12 * MEGABYTE
        os._exit(0 if right else 1)
    put(storage, "parent", bytes(13 * MEGABYTE))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [info.size // MEGABYTE for info in storage.list()] == [11, 12, 13]
