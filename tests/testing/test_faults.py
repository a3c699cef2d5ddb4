"""Whatever goes wrong on the way to a storage: what then holds, and what nobody notices."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.storage import MemoryStorage, Storage, adapt
from sqlalchemy_file.storage.common.calling import is_native
from sqlalchemy_file.testing import (
    AsyncStorageConformance,
    Fault,
    FaultyStorage,
    StorageConformance,
    delays,
    fails,
    flips_a_bit,
    hangs,
    loses_reply,
    repeats,
    tears,
)
from sqlalchemy_file.testing.faults import Verb
from sqlalchemy_file.testing.objects import PLAIN, keys_of, put, read
from tests.stores import contents, named, sqlite


class TestWithoutFaults(StorageConformance):
    keeps_bytes_in_memory = True

    @pytest.fixture
    def storage(self) -> Storage:
        return FaultyStorage(MemoryStorage())


class TestCoroutinesWithoutFaults(StorageConformance, AsyncStorageConformance):
    keeps_bytes_in_memory = True

    @pytest.fixture
    def storage(self) -> Storage:
        return FaultyStorage(adapt(MemoryStore()))


class Base(DeclarativeBase):
    pass


class Paper(Base):
    __tablename__ = "faulty_paper"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[File | None] = mapped_column(FileField())
    chosen: Mapped[File | None] = mapped_column(FileField(key=lambda file: "chosen"))


@pytest.fixture(params=["threads", "coroutines"])
def storage(request: pytest.FixtureRequest) -> FaultyStorage:
    inner = MemoryStorage() if request.param == "threads" else adapt(MemoryStore())
    storage = FaultyStorage(inner)
    StorageManager.add_storage("main", storage)
    return storage


@pytest.fixture
def engine(tmp_path: Path, storage: FaultyStorage) -> Iterator[Engine]:
    engine = sqlite(Base, f"sqlite:///{tmp_path}/x.db")
    yield engine
    engine.dispose()


def play(engine: Engine, storage: FaultyStorage, story: Callable[[Session], None]) -> None:
    """Play a story in a session; where the storage has coroutines, in an `AsyncSession`."""
    if not is_native(storage):
        with Session(engine) as session:
            story(session)
        return

    async def main() -> None:
        asynchronous = create_async_engine(engine.url.set(drivername="sqlite+aiosqlite"))
        try:
            async with AsyncSession(asynchronous) as session:
                await session.run_sync(story)
        finally:
            await asynchronous.dispose()

    asyncio.run(main())


def save(*bodies: bytes) -> Callable[[Session], None]:
    def story(session: Session) -> None:
        session.add_all([Paper(body=File(body)) for body in bodies])
        session.commit()

    return story


def copy_first(session: Session) -> None:
    for paper in session.scalars(select(Paper).limit(1)):
        session.add(Paper(body=paper.body))
    session.commit()


def delete_all(session: Session) -> None:
    for paper in session.scalars(select(Paper)):
        session.delete(paper)
    session.commit()


def is_right(engine: Engine, storage: FaultyStorage) -> bool:
    """Tell whether the storage holds exactly what committed rows name."""
    paths = named(engine, "faulty_paper", "body", "chosen")
    return sorted(paths) == sorted(f"main/{key}" for key in keys_of(storage.inner))


HARMLESS = {"delays": delays(0.001), "repeats": repeats()}
FAILING = {"fails": fails(), "loses_reply": loses_reply(), "tears": tears()}


@pytest.mark.parametrize("fault", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_slow_or_repeated_upload_ends_with_everything_right(
    engine: Engine, storage: FaultyStorage, fault: Fault, at: int
) -> None:
    storage.inject("put", fault, at=at)
    play(engine, storage, save(b"a", b"b", b"c"))
    assert contents(storage.inner) == [b"a", b"b", b"c"]
    assert is_right(engine, storage)


@pytest.mark.parametrize("fault", FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_upload_that_fails_leaves_nothing_even_where_bytes_got_through(
    engine: Engine, storage: FaultyStorage, fault: Fault, at: int
) -> None:
    storage.inject("put", fault, at=at)
    with pytest.raises(StorageError, match="does not answer"):
        play(engine, storage, save(b"aa", b"bb", b"cc"))
    assert keys_of(storage.inner) == []
    assert is_right(engine, storage)


@pytest.mark.parametrize("name", ["fails", "loses_reply"])
def test_a_copy_that_fails_leaves_the_original_alone(
    engine: Engine, storage: FaultyStorage, name: str
) -> None:
    play(engine, storage, save(b"a"))
    storage.inject("copy", FAILING[name])
    with pytest.raises(StorageError, match="does not answer"):
        play(engine, storage, copy_first)
    assert contents(storage.inner) == [b"a"]
    assert is_right(engine, storage)


def test_a_repeated_copy_is_one_copy(engine: Engine, storage: FaultyStorage) -> None:
    play(engine, storage, save(b"a"))
    storage.inject("copy", repeats())
    play(engine, storage, copy_first)
    assert contents(storage.inner) == [b"a", b"a"]
    assert is_right(engine, storage)


@pytest.mark.parametrize(("fault", "left"), [(fails(), 1), (loses_reply(), 0)])
def test_a_deletion_that_fails_is_logged_and_left_and_the_commit_stands(
    engine: Engine,
    storage: FaultyStorage,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    left: int,
) -> None:
    play(engine, storage, save(b"a", b"b", b"c"))
    storage.inject("delete", fault, at=2)
    play(engine, storage, delete_all)
    assert named(engine, "faulty_paper", "body") == []
    assert len(keys_of(storage.inner)) == left
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert keys_of(storage.inner) in ([], [vars(record)["key"]])


def test_a_repeated_deletion_is_one(
    engine: Engine, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    play(engine, storage, save(b"a", b"b"))
    storage.inject("delete", repeats())
    play(engine, storage, delete_all)
    assert keys_of(storage.inner) == []
    assert caplog.records == []


@pytest.mark.parametrize("verb", ["put", "delete"])
def test_what_hangs_goes_on_once_the_storage_is_mended(
    engine: Engine, storage: FaultyStorage, verb: Verb
) -> None:
    play(engine, storage, save(b"old"))
    storage.inject(verb, hangs(), at=1)
    stories = threading.Thread(target=_replace, args=(engine, storage))
    stories.start()
    stories.join(0.05)
    assert stories.is_alive()
    storage.mend()
    stories.join(20)
    assert contents(storage.inner) == [b"new"]
    assert is_right(engine, storage)


def _replace(engine: Engine, storage: FaultyStorage) -> None:
    def story(session: Session) -> None:
        session.scalars(select(Paper)).one().body = File(b"new")
        session.commit()

    play(engine, storage, story)


def test_what_hangs_may_end_with_a_timeout(engine: Engine, storage: FaultyStorage) -> None:
    timer = threading.Timer(0.02, storage.mend)
    fault = replace(hangs(TimeoutError("it took too long")), before=timer.start)
    storage.inject("put", fault, at=2)
    with pytest.raises(StorageError, match="it took too long"):
        play(engine, storage, save(b"a", b"b", b"c"))
    timer.join()
    assert keys_of(storage.inner) == []


def test_a_cancelled_call_does_not_wait_for_what_was_to_be_called_first() -> None:
    storage: Any = FaultyStorage(adapt(MemoryStore()))
    begun, ended = threading.Event(), threading.Event()

    def before() -> None:
        begun.set()
        ended.wait(20)

    storage.inject("stat", Fault(before=before))

    async def main() -> None:
        call = asyncio.create_task(storage.astat("key"))
        try:
            await asyncio.to_thread(begun.wait, 20)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(asyncio.shield(call), 10)
            assert call.cancelled()
        finally:
            ended.set()

    asyncio.run(main())


def test_a_bit_that_a_storage_flips_in_silence_only_the_record_can_tell(
    engine: Engine, storage: FaultyStorage
) -> None:
    """The record has the checksum of what was sent; comparing it would need another request."""
    storage.inject("put", flips_a_bit())
    play(engine, storage, save(b"abcd"))
    assert contents(storage.inner) == [b"abbd"]
    with Session(engine) as session:
        file = session.scalars(select(Paper)).one().body
        assert file is not None
        assert file.size == 4
        assert file.checksum == f"sha256:{hashlib.sha256(b'abcd').hexdigest()}"
        with file.file as stream:
            assert stream.read() == b"abbd"


def test_bytes_that_a_storage_drops_in_silence_never_become_a_row(
    engine: Engine, storage: FaultyStorage
) -> None:
    storage.inject("put", tears(in_silence=True))
    with pytest.raises(StorageError, match="was given 4 bytes and has 2"):
        play(engine, storage, save(b"abcd"))
    assert contents(storage.inner) == []
    with Session(engine) as session:
        assert session.scalars(select(Paper)).all() == []


def test_what_was_stored_under_a_chosen_key_without_a_reply_stays(
    engine: Engine, storage: FaultyStorage
) -> None:
    """It may be somebody else's, as far as this program knows."""
    storage.inject("put", loses_reply())

    def story(session: Session) -> None:
        session.add(Paper(chosen=File(b"unanswered")))
        session.commit()

    with pytest.raises(StorageError, match="does not answer"):
        play(engine, storage, story)
    assert contents(storage.inner) == [b"unanswered"]
    storage.mend()
    with pytest.raises(ObjectExistsError):
        play(engine, storage, story)


@pytest.mark.parametrize("seed", range(4))
def test_strewn_faults_leave_nothing_but_what_the_log_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    faults = [fails(), loses_reply(), tears(), repeats(), delays(0)]
    storage = FaultyStorage(MemoryStorage(), faults=faults, rate=0.3, seed=seed)
    storage.concurrency = 4
    StorageManager.add_storage("main", storage)
    engine = sqlite(Base, f"sqlite:///{tmp_path}/x.db")
    failures = 0
    for number in range(40):
        story = (save(b"%d" % number, b"x"), save(b"y"), copy_first, delete_all)[number % 4]
        try:
            with Session(engine) as session:
                story(session)
        except StorageError:
            failures += 1
    assert 0 < failures < 40
    left = {vars(each)["key"] for each in caplog.records if vars(each)["operation"] == "delete"}
    paths = set(named(engine, "faulty_paper", "body", "chosen"))
    stored = {f"main/{key}" for key in keys_of(storage.inner)}
    assert paths <= stored
    assert stored - paths <= {f"main/{key}" for key in left}
    assert left
    engine.dispose()


# --- the storage itself


def test_the_same_seed_strikes_the_same_calls() -> None:
    def struck(seed: int) -> list[int]:
        storage = FaultyStorage(MemoryStorage(), faults=[fails()], rate=0.3, seed=seed)
        numbers = []
        for number in range(50):
            try:
                put(storage, f"key-{number}", b"x")
            except StorageError:
                numbers.append(number)
        return numbers

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 5 < len(struck(1)) < 25


@pytest.mark.parametrize(
    ("fault", "kept"), [(flips_a_bit(), b"abbd"), (tears(in_silence=True), b"ab")]
)
def test_what_is_read_may_be_spoiled_too(fault: Fault, kept: bytes) -> None:
    storage = FaultyStorage(MemoryStorage())
    put(storage, "key", b"abcd")
    storage.inject("stream", fault)
    assert read(storage, "key") == kept
    storage.mend()
    assert read(storage, "key") == b"abcd"


@pytest.mark.parametrize(
    ("fault", "kept"), [(flips_a_bit(), b"abbd"), (tears(0, in_silence=True), b"")]
)
def test_what_a_coroutine_reads_may_be_spoiled_too(fault: Fault, kept: bytes) -> None:
    storage: Any = FaultyStorage(adapt(MemoryStore()))
    put(storage, "key", b"abcd")
    storage.inject("stream", fault)

    async def read_all() -> bytes:
        return b"".join([chunk async for chunk in storage.astream("key")])

    assert asyncio.run(read_all()) == kept


def test_a_torn_read_fails_behind_the_bytes_that_came() -> None:
    storage = FaultyStorage(MemoryStorage())
    put(storage, "key", b"abcd")
    storage.inject("stream", tears())
    chunks = storage.stream("key")
    assert next(chunks) == b"ab"
    with pytest.raises(StorageError, match="does not answer"):
        next(chunks)


def test_calls_are_noted_with_their_keys() -> None:
    storage = FaultyStorage(MemoryStorage())
    put(storage, "a", b"")
    storage.delete(["a", "b"])
    assert storage.calls == [("put", "a"), ("delete", "a"), ("delete", "b")]
    assert storage.count("delete", "stat") == 2


def test_an_error_of_ones_own_is_raised_as_it_is() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.inject("put", fails(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        storage.put("key", io.BytesIO(b"x"), PLAIN)


def test_a_storage_that_deletes_nothing_at_all_raises_its_own_error() -> None:
    class Away(MemoryStorage):
        def delete(self, keys: Sequence[str]) -> None:
            raise StorageError("away")

    with pytest.raises(StorageError, match=r"^away$"):
        FaultyStorage(Away()).delete(["a", "b"])


@pytest.mark.parametrize("share", [-0.1, 1, 2])
def test_a_share_of_the_bytes_is_less_than_all(share: float) -> None:
    with pytest.raises(ValueError, match="less than 1"):
        tears(share)


def test_other_names_are_none_of_its_tools() -> None:
    from sqlalchemy_file import testing

    assert not hasattr(testing, "strikes")


@pytest.mark.parametrize(
    ("verb", "fault", "suitable"),
    [
        ("stat", flips_a_bit(), "put, stream"),
        ("delete", tears(), "put, stream"),
        ("stream", repeats(), "put, delete, copy"),
    ],
)
def test_a_fault_that_cannot_happen_to_a_verb_is_refused(
    verb: Verb, fault: Fault, suitable: str
) -> None:
    with pytest.raises(ValueError, match=f"happens to {suitable} only, not to '{verb}'"):
        FaultyStorage(MemoryStorage()).inject(verb, fault)


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(ValueError, match="a verb is one of put, stat"):
        FaultyStorage(MemoryStorage()).inject("get", fails())  # type: ignore[arg-type]


def test_it_is_imported_without_pytest() -> None:
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from sqlalchemy_file.testing import FaultyStorage, fails\n"
        "assert FaultyStorage.__name__ == 'FaultyStorage' and fails().fails"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
