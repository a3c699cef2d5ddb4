"""Connections that are lost, forgotten, or open when the program ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, delete, insert
from sqlalchemy.exc import PendingRollbackError

from sqlalchemy_file import File, FileField
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.transfer import run_in_background, wait_for_background
from tests.stores import contents

metadata = MetaData()
paper = Table(
    "abandoned_paper",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("body", FileField()),
)


@pytest.fixture
def engine(postgresql_server: str) -> Engine:
    return create_engine(postgresql_server)


def test_a_connection_that_was_lost_and_is_used_again_deletes_in_time(
    engine: Engine, storage: MemoryStorage
) -> None:
    metadata.create_all(engine)
    gc.disable()  # nothing may depend on it
    try:
        with engine.connect() as connection:
            connection.execute(insert(paper).values(id=1, body=File(b"kept")))
            connection.commit()
            connection.execute(insert(paper).values(id=2, body=File(b"lost")))
            connection.invalidate()
            connection.rollback()
            assert contents(storage) == [b"kept"]
            connection.execute(insert(paper).values(id=3, body=File(b"new")))
            connection.commit()
            connection.execute(delete(paper).where(paper.c.id == 1))
            connection.commit()
        assert contents(storage) == [b"new"]
    finally:
        gc.enable()
        metadata.drop_all(engine)
        engine.dispose()


def test_a_connection_that_was_lost_before_its_first_file_is_forgotten_quietly(
    storage: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    engine = create_engine(f"sqlite:///{tmp_path}/paper.db")
    metadata.create_all(engine)
    with engine.connect() as connection:
        connection.begin()
        connection.invalidate()
        with pytest.raises(PendingRollbackError):
            connection.execute(insert(paper).values(id=1, body=File(b"never")))
    del connection
    gc.collect()
    engine.dispose()
    assert unraisable == []
    assert contents(storage) == []


def test_jobs_of_many_threads_are_all_done() -> None:
    done: list[int] = []
    start = threading.Barrier(8)

    def give(number: int) -> None:
        start.wait()
        for _ in range(200):
            run_in_background(lambda: done.append(number))

    threads = [threading.Thread(target=give, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for_background()
    assert len(done) == 1600


PROGRAM = """
import sys
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, delete, insert
from sqlalchemy_file import File, FileField, StorageManager

StorageManager.add_storage("main", f"file://{sys.argv[1]}")
metadata = MetaData()
key = Column("id", Integer, primary_key=True)
paper = Table("paper", metadata, key, Column("body", FileField()))
engine = create_engine("sqlite://")
metadata.create_all(engine)
connection = engine.connect()
connection.execute(insert(paper), [{"body": File(b"x")} for _ in range(5)])
connection.commit()
connection.execute(delete(paper).where(paper.c.id > 1))
connection.commit()
"""


def test_a_program_that_ends_with_an_open_connection_deletes_what_it_has_released(
    tmp_path: Path,
) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
