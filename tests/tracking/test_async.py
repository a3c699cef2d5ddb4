"""`AsyncSession` keeps the promise as `Session` does, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sqlalchemy_file import File
from tests.asynchronous import (
    DRIVERS,
    Story,
    add_flaky,
    address_for,
    database,
    files,
    play,
)
from tests.models import Paper
from tests.scenarios.content import FailingStream
from tests.scenarios.flaky import FlakyStorage


@pytest.fixture
def storage() -> FlakyStorage:
    return add_flaky()


@pytest.fixture(params=DRIVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address_for(request, tmp_path)


# --- the basics


async def insert_one(session: AsyncSession) -> None:
    session.add(Paper(id=2, body=File(b"new"), pages=[File(iter([b"p1"])), File(b"p2")]))
    await session.commit()


async def replace(session: AsyncSession) -> None:
    paper = await session.get_one(Paper, 1)
    paper.body = File(b"new")
    assert paper.pages is not None
    paper.pages[0] = File(b"p1")
    await session.commit()


async def replace_what_was_expired(session: AsyncSession) -> None:
    paper = await session.get_one(Paper, 1)
    session.expire(paper)
    paper.body = File(b"new")  # does no I/O, which would fail here
    await session.commit()


async def delete_one(session: AsyncSession) -> None:
    await session.delete(await session.get_one(Paper, 1))
    await session.commit()


async def roll_back(session: AsyncSession) -> None:
    await session.delete(await session.get_one(Paper, 1))
    session.add(Paper(id=2, body=File(b"new")))
    await session.flush()
    await session.rollback()


async def leave_without_commit(session: AsyncSession) -> None:
    session.add(Paper(id=2, body=File(b"new")))
    await session.flush()


async def savepoints(session: AsyncSession) -> None:
    async with session.begin_nested():
        session.add(Paper(id=2, body=File(b"kept")))
    undone = await session.begin_nested()
    (await session.get_one(Paper, 1)).body = File(b"undone")
    await session.flush()
    await undone.rollback()
    await session.commit()


async def bulk(session: AsyncSession) -> None:
    await session.execute(insert(Paper), [{"id": 2, "body": b"a"}, {"id": 3, "body": File(b"b")}])
    await session.execute(update(Paper).where(Paper.id == 2).values(body=File(b"c")))
    await session.execute(delete(Paper).where(Paper.id == 1))
    await session.commit()


def _broken() -> FailingStream:
    return FailingStream(b"x" * 99)


async def a_refused_row(session: AsyncSession) -> None:
    with pytest.raises(ConnectionResetError):
        session.add_all([Paper(id=2, body=File(b"x")), Paper(id=3, body=File(_broken()))])
        await session.commit()
    await session.rollback()


STORIES: dict[Story, list[bytes]] = {
    insert_one: [b"new", b"old", b"p1", b"p2", b"page"],
    replace: [b"new", b"p1"],
    replace_what_was_expired: [b"new", b"page"],
    delete_one: [],
    roll_back: [b"old", b"page"],
    leave_without_commit: [b"old", b"page"],
    savepoints: [b"kept", b"old", b"page"],
    bulk: [b"b", b"c"],
    a_refused_row: [b"old", b"page"],
}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_storage_holds_what_rows_name(url: str, storage: FlakyStorage, story: Story) -> None:
    assert play(url, storage, story) == STORIES[story]


# --- the event loop


def test_the_event_loop_goes_on_while_files_are_stored_and_deleted(
    url: str, storage: FlakyStorage
) -> None:
    ticks = 0
    ticks_of: dict[str, int] = {}

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    def slow(verb: str) -> None:
        before, end = ticks, time.monotonic() + 20
        while ticks < before + 5 and time.monotonic() < end:
            time.sleep(0.01)
        ticks_of[verb] = ticks - before

    async def story(session: AsyncSession) -> None:
        paper = await session.get_one(Paper, 1)
        storage.before("put", partial(slow, "put"))
        storage.before("delete", partial(slow, "delete"))
        storage.before("copy", partial(slow, "copy"))
        ticking = asyncio.create_task(tick())
        session.add(Paper(id=2, pages=list(paper.pages or ())))
        paper.body = File(b"new")
        await session.commit()
        ticking.cancel()

    assert play(url, storage, story) == [b"new", b"page", b"page"]
    assert ticks_of.keys() == {"put", "copy", "delete"}
    assert min(ticks_of.values()) >= 5, ticks_of


def test_several_files_are_stored_at_the_same_time(url: str, storage: FlakyStorage) -> None:
    meeting = threading.Barrier(4, timeout=20)

    async def story(session: AsyncSession) -> None:
        storage.before("put", meeting.wait)  # type: ignore[arg-type]
        session.add_all([Paper(id=10 + number, body=File(b"x")) for number in range(4)])
        await session.commit()
        storage.mend()

    assert play(url, storage, story) == [b"old", b"page", *[b"x"] * 4]


def test_sessions_of_one_loop_do_not_wait_for_each_others_uploads(
    url: str, storage: FlakyStorage
) -> None:
    async def main() -> list[bytes]:
        async with database(url) as engine:

            async def one(number: int) -> None:
                async with AsyncSession(engine) as session:
                    session.add(Paper(id=number, body=File(str(number))))
                    await session.commit()

            meeting = threading.Barrier(3, timeout=20)
            storage.before("put", meeting.wait)  # type: ignore[arg-type]
            await asyncio.gather(*(one(number) for number in range(1, 4)))
            storage.mend()
            return await files(engine, storage)

    assert asyncio.run(main()) == [b"1", b"2", b"3"]


def test_a_row_can_be_read_and_its_file_opened(url: str, storage: FlakyStorage) -> None:
    async def story(session: AsyncSession) -> None:
        session.expire_all()
        paper = (await session.scalars(select(Paper))).one()
        assert paper.body is not None
        assert await asyncio.to_thread(paper.body.file.read) == b"old"

    play(url, storage, story)
