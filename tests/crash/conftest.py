"""The scenes of the crash tests: real databases and storages, and a nursery of workers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from libcloud.storage.drivers.minio import MinIOStorageDriver
from sqlalchemy import make_url

from tests.services.ceph import S3Server

from .scene import Nursery, Scene, opened

SCENES = (
    "sqlite local",
    "sqlite s3",
    "sqlite-async local",
    "postgresql local",
    "postgresql s3",
    "postgresql-async local",
    "mariadb local",
    "mariadb s3",
)
"""A database, with ``-async`` one whose writer is a program of coroutines, and a storage."""

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("nursery"))
    yield nursery
    nursery.close()


@pytest.fixture
def open_scene(
    request: pytest.FixtureRequest, tmp_path: Path, nursery: Nursery
) -> Callable[[str], AbstractContextManager[Scene]]:
    """Return a function that opens a scene by its name."""

    def open_(name: str) -> AbstractContextManager[Scene]:
        database, storage = name.split()
        kind, _, is_async = database.partition("-")
        address = (
            f"sqlite:///{tmp_path / 'crash.db'}"
            if kind == "sqlite"
            else request.getfixturevalue(f"{kind}_server")
        )
        worker = make_url(address)
        if is_async:
            worker = worker.set(drivername=_DRIVERS[kind])
        (tmp_path / "objects").mkdir(exist_ok=True)
        place = (tmp_path / "objects").as_uri()
        if storage == "s3":
            place = request.getfixturevalue("new_bucket")
        return opened(Scene(nursery, address, place, worker.render_as_string(False)))

    return open_


@pytest.fixture
def new_bucket(s3_server: S3Server) -> Iterator[str]:
    """Return the address of a new bucket."""
    driver = MinIOStorageDriver(
        s3_server.access_key,
        secret=s3_server.secret_key,
        host=s3_server.host,
        port=s3_server.port,
        secure=False,
    )
    container = driver.create_container(f"crash-{uuid.uuid4().hex[:12]}")
    query = urlencode(
        {
            "endpoint": s3_server.url,
            "region": "us-east-1",
            "access_key_id": s3_server.access_key,
            "secret_access_key": s3_server.secret_key,
        }
    )
    yield f"s3://{container.name}?{query}"
    for left in container.list_objects():  # the signatures of ledgers
        left.delete()
    driver.delete_container(container)
