"""Servers that crash and lines that break, while a writer goes on, and is killed in the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from random import Random

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tests.services import mariadb, postgresql
from tests.services.ceph import S3Server
from tests.services.required import require

from .faulty_line import FaultyLine
from .scene import PATIENCE, Nursery, Scene, opened

OpenScene = Callable[[str], AbstractContextManager[Scene]]


@contextmanager
def crashing_postgresql() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield an address, and what makes the server at it crash."""
    with postgresql.running() as server:
        # Else the server itself would lose what it has confirmed.
        durable = make_url(server.url).update_query_dict({"options": "-csynchronous_commit=on"})
        address = durable.render_as_string(False)
        yield address, partial(crash, address)


@contextmanager
def crashing_mariadb() -> Iterator[tuple[str, Callable[[], None]]]:
    require(mariadb)
    with mariadb.crashing() as server:
        yield server.url, server.crash


@pytest.mark.parametrize("database", [crashing_postgresql, crashing_mariadb])
def test_a_database_server_that_crashes_again_and_again(
    tmp_path: Path,
    nursery: Nursery,
    database: Callable[[], AbstractContextManager[tuple[str, Callable[[], None]]]],
) -> None:
    dice = Random(1)
    (tmp_path / "objects").mkdir()
    place = (tmp_path / "objects").as_uri()
    with (
        database() as (address, make_it_crash),
        opened(Scene(nursery, address, place, address)) as scene,
    ):
        for seed in range(8):
            writer = scene.start("write", seed=seed, stubborn=True)
            for _ in range(2):
                time.sleep(dice.uniform(0.1, 0.4))
                make_it_crash()
            time.sleep(dice.uniform(0.1, 0.4))
            scene.kill(writer)
            scene.nothing_dangles()
            scene.nothing_is_left_over()


def crash(address: str) -> None:
    """Kill a process of the server: it ends all connections, and recovers as after a crash."""
    with psycopg.connect(address.replace("+psycopg", "")) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        connection.close()
    engine = create_engine(address, poolclass=NullPool)
    deadline = time.monotonic() + PATIENCE
    while not answers(engine):
        assert time.monotonic() < deadline, "the server has not come back"
        time.sleep(0.02)


def answers(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT 1")) == 1
    except DBAPIError:
        return False


def test_a_line_to_the_storage_that_breaks(
    tmp_path: Path, nursery: Nursery, new_bucket: str, s3_server: S3Server
) -> None:
    address = f"sqlite:///{tmp_path / 'crash.db'}"
    with (
        FaultyLine(s3_server.host, s3_server.port, seed=1, cuts=0.03, delay=0.005) as line,
        opened(Scene(nursery, address, new_bucket, address)) as scene,
    ):
        far = new_bucket.replace(f"%3A{s3_server.port}", f"%3A{line.port}")
        assert far != new_bucket
        for seed in range(6):
            writer = scene.start("write", seed=seed, stubborn=True, large=True, storage=far)
            time.sleep(1.5)
            scene.kill(writer)
            scene.nothing_dangles()
            scene.nothing_is_left_over()
