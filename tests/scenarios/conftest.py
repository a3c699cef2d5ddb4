"""What the columns of the matrix are made of; each is closed before the server that it is on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from libcloud.storage.drivers.minio import MinIOStorageDriver
from libcloud.storage.drivers.s3 import S3StorageDriver

from tests.services.ceph import S3Server

from .databases import Database, LegacySQLite, MariaDB, PostgreSQL, Psycopg, SQLite, StaticSQLite
from .matrix import Matrix, Shared
from .places import S3, Dummy, Folder, FsspecFolder, LibcloudFolder, Memory, Native, Place
from .world import ARCHIVE, MAIN

Databases = Iterator[Shared[Database]]
Places = Iterator[Shared[Place]]


@pytest.fixture(scope="session")
def scenario_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenarios")


@pytest.fixture
def matrix(request: pytest.FixtureRequest, scenario_folder: Path) -> Matrix:
    """Return what enters the worlds of all columns."""
    return Matrix(request, scenario_folder)


@pytest.fixture(scope="session")
def sqlite_databases(scenario_folder: Path) -> Databases:
    with Shared[Database](lambda: SQLite(scenario_folder)) as databases:
        yield databases


@pytest.fixture(scope="session")
def legacy_databases(scenario_folder: Path) -> Databases:
    with Shared[Database](lambda: LegacySQLite(scenario_folder)) as databases:
        yield databases


@pytest.fixture(scope="session")
def static_databases(scenario_folder: Path) -> Databases:
    with Shared[Database](lambda: StaticSQLite(scenario_folder)) as databases:
        yield databases


@pytest.fixture(scope="session")
def postgresql_databases(postgresql_server: str) -> Databases:
    with Shared[Database](lambda: PostgreSQL("postgresql", postgresql_server)) as databases:
        yield databases


@pytest.fixture(scope="session")
def psycopg_databases(postgresql_server: str) -> Databases:
    with Shared[Database](lambda: Psycopg("postgresql", postgresql_server)) as databases:
        yield databases


@pytest.fixture(scope="session")
def mariadb_databases(mariadb_server: str) -> Databases:
    with Shared[Database](lambda: MariaDB("mariadb", mariadb_server)) as databases:
        yield databases


@pytest.fixture(scope="session")
def memory_places() -> Places:
    with Shared[Place](lambda _name: Memory()) as places:
        yield places


@pytest.fixture(scope="session")
def native_places() -> Places:
    with Shared[Place](lambda _name: Native()) as places:
        yield places


@pytest.fixture(scope="session")
def dummy_places() -> Places:
    with Shared[Place](lambda _name: Dummy()) as places:
        yield places


@pytest.fixture(scope="session")
def local_places(scenario_folder: Path) -> Places:
    with Shared[Place](lambda name: Folder(scenario_folder / "local" / name)) as places:
        yield places


@pytest.fixture(scope="session")
def libcloud_places(scenario_folder: Path) -> Places:
    with Shared[Place](lambda name: LibcloudFolder(scenario_folder / "cloud" / name)) as places:
        yield places


@pytest.fixture(scope="session")
def fsspec_places(scenario_folder: Path) -> Places:
    with Shared[Place](lambda name: FsspecFolder(scenario_folder / "fsspec" / name)) as places:
        yield places


@pytest.fixture(scope="session")
def s3_places(s3_server: S3Server) -> Places:
    drivers = {MAIN: MinIOStorageDriver, ARCHIVE: S3StorageDriver}
    with Shared[Place](lambda name: S3(s3_server, drivers[name])) as places:
        yield places
