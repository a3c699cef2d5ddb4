"""Each object stored, copied, released and deleted is told of once, and so is each failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from sqlalchemy_file import File, StorageManager, observing
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.observing import Count, Task
from tests.asynchronous import add_flaky, both, delete_all, play_stories
from tests.models import Paper
from tests.scenarios.flaky import FlakyStorage
from tests.stores import keys


@pytest.fixture
def storage() -> FlakyStorage:
    return add_flaky()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "sqlalchemy_file")
    return caplog


def events(log: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [record for record in log.records if record.name == "sqlalchemy_file"]
    return [vars(record) for record in records]


def told(log: pytest.LogCaptureFixture, *events_: str) -> list[str]:
    return sorted(each["key"] for each in events(log) if each["event"] in events_)


def save_three(session: Session) -> None:
    session.add_all([Paper(id=number, body=File(b"x" * number)) for number in (1, 2, 3)])
    session.commit()


@both
def test_every_object_is_told_of_from_its_store_to_its_deletion(
    way: str, tmp_path: Path, storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    stored: list[str] = []
    play_stories(
        way, tmp_path, save_three, lambda _: stored.extend(keys(storage.inner)), delete_all
    )
    assert told(log, "store") == told(log, "release") == told(log, "delete") == sorted(stored)
    assert {each["event"] for each in events(log)} == {"store", "release", "delete"}
    stores = [each for each in events(log) if each["event"] == "store"]
    assert sorted(each["size"] for each in stores) == [1, 2, 3]
    assert all(each["storage"] == "main" and each["duration"] >= 0 for each in stores)
    assert {each["levelno"] for each in events(log)} == {logging.DEBUG}


@both
def test_a_copy_is_told_of_with_what_it_is_a_copy_of(
    way: str, tmp_path: Path, storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    def copy(session: Session) -> None:
        session.add(Paper(id=4, body=session.get_one(Paper, 3).body))
        session.commit()

    play_stories(way, tmp_path, save_three, copy)
    (copied,) = [each for each in events(log) if each["event"] == "copy"]
    assert copied["size"] == 3
    assert copied["source"] in told(log, "store")
    assert {copied["key"], *told(log, "store")} == set(keys(storage.inner))


@both
def test_what_is_rolled_back_is_deleted_and_was_never_released(
    way: str, tmp_path: Path, storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    def change_the_mind(session: Session) -> None:
        session.add_all([Paper(body=File(b"x")) for _ in range(20)])
        session.flush()
        session.rollback()

    play_stories(way, tmp_path, change_the_mind)
    assert len(told(log, "store")) == 20
    assert told(log, "delete") == told(log, "store")
    assert told(log, "release") == []


def test_what_is_stored_and_deleted_outside_of_sessions_is_told_of_too(
    storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    async def coroutines() -> None:
        await StorageManager.asave_file("b", b"xyz")
        await StorageManager.adelete_file("main/b")

    StorageManager.save_file("a", b"x")
    StorageManager.delete_file("main/a")
    asyncio.run(coroutines())
    assert [(each["event"], each["key"], each["size"]) for each in events(log)] == [
        ("store", "a", 1),
        ("delete", "a", None),
        ("store", "b", 3),
        ("delete", "b", None),
    ]


@both
def test_a_failed_upload_is_a_warning_and_the_error_is_raised(
    way: str, tmp_path: Path, storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    storage.fail("put")

    def try_to_save(session: Session) -> None:
        session.add(Paper(body=File(b"x", filename="whose name nobody needs to know")))
        with pytest.raises(StorageError):
            session.commit()

    play_stories(way, tmp_path, try_to_save)
    failure, *_ = [each for each in events(log) if each["event"] == "failure"]
    assert (failure["operation"], failure["error"]) == ("store", "StorageError")
    assert failure["levelno"] == logging.WARNING
    assert failure["size"] is None
    assert "could not store main/" in log.text
    assert "nobody needs" not in log.text


@both
def test_a_failed_deletion_is_an_error_and_the_others_are_told_of_as_done(
    way: str, tmp_path: Path, storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    def delete(session: Session) -> None:
        storage.fail("delete", at=2)
        delete_all(session)

    play_stories(way, tmp_path, save_three, delete)
    (left,) = keys(storage.inner)
    assert told(log, "failure") == [left]
    assert len(told(log, "delete")) == 2
    (failure,) = [each for each in events(log) if each["event"] == "failure"]
    assert failure["levelno"] == logging.ERROR
    assert f"could not delete main/{left}: " in log.text


def test_by_default_only_failures_are_logged(
    tmp_path: Path, storage: FlakyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    play_stories("Session", tmp_path, save_three, delete_all)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("what", "number", "level"),
    [
        ("orphans", 2, logging.WARNING),
        ("orphans", 0, logging.INFO),
        ("dangling", 1, logging.WARNING),
        ("pending releases", 7, logging.INFO),
    ],
)
def test_a_count_is_logged_as_a_warning_where_it_is_alarming(
    log: pytest.LogCaptureFixture, what: Count, number: int, level: int
) -> None:
    observing.counted(what, number, "main")
    (count,) = events(log)
    assert (count["operation"], count["count"], count["levelno"]) == (what, number, level)
    assert log.messages == [f"{what} in main: {number}"]


class Broken:
    def begin(self, task: Task) -> Callable[[], object]:
        if task.verb == "store":
            raise RuntimeError("broken at the begin")
        return self.end

    def end(self) -> None:
        raise RuntimeError("broken at the end")

    def count(self, what: Count, number: int, storage: str) -> None:
        raise RuntimeError("broken while counting")


def test_an_observer_that_fails_breaks_nothing(
    tmp_path: Path, storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    observing.observe(broken)
    try:
        play_stories("Session", tmp_path, save_three, delete_all)
        observing.counted("orphans", 0, "main")
    finally:
        observing.forget(broken)
    assert keys(storage.inner) == []
    for moment in ("at the begin", "at the end", "while counting"):
        assert f"broken {moment}" in log.text


def test_an_observer_without_its_methods_breaks_nothing(
    tmp_path: Path, storage: FlakyStorage, log: pytest.LogCaptureFixture
) -> None:
    lacking: Any = object()
    observing.observe(lacking)
    try:
        play_stories("Session", tmp_path, save_three, delete_all)
        observing.counted("orphans", 0, "main")
    finally:
        observing.forget(lacking)
    assert keys(storage.inner) == []
    for method in ("begin", "count"):
        assert f"no attribute '{method}'" in log.text
