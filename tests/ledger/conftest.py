"""An empty database for each test of the ledger, on each kind of server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, make_url

from tests.services.databases import database_on

NAMES = ("sqlite", "postgresql", "mariadb")


@pytest.fixture(scope="session")
def own_postgresql(postgresql_server: str) -> Iterator[str]:
    """Return the URL of a database that only these tests use."""
    with database_on(postgresql_server, "postgresql+psycopg") as server:
        yield server.url


@pytest.fixture(scope="session")
def own_mariadb(mariadb_server: str) -> Iterator[str]:
    """Return the URL of a database that only these tests use."""
    with database_on(mariadb_server, "mariadb+pymysql") as server:
        yield server.url


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")

    @event.listens_for(engine, "connect")
    def enforce(connection, record) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    yield engine
    engine.dispose()


@pytest.fixture
def postgresql(own_postgresql: str) -> Iterator[Engine]:
    engine = create_engine(own_postgresql)
    yield engine
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS other CASCADE")
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


@pytest.fixture
def mariadb(own_mariadb: str) -> Iterator[Engine]:
    engine = create_engine(own_mariadb)
    yield engine
    name = make_url(own_mariadb).database
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
        connection.exec_driver_sql("DROP DATABASE IF EXISTS other")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return an engine on an empty database of each kind in turn."""
    engine: Engine = request.getfixturevalue(request.param)
    return engine
