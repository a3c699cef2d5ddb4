"""What every test may ask for.

A storage in memory, a session on SQLite, and real servers: started at first use, one set a test
process.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from tests.databases import DATABASES, url_of
from tests.services import ceph, mariadb, postgresql
from tests.services.required import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from sqlalchemy_file.storage import MemoryStorage

pytest.register_assert_rewrite("sqlalchemy_file.testing")  # before anything imports it
pytest_plugins = ["tests.completeness"]

# How long an example takes is up to the machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that a terminated run stops its servers and removes their folders."""
    raise KeyboardInterrupt


@event.listens_for(Engine, "connect")
def _without_syncing(connection: Any, record: object) -> None:
    """Let SQLite not wait for the disk, as the servers of the tests do not."""
    is_open = getattr(connection, "in_transaction", False)  # from the start, with autocommit=False
    if "sqlite" in type(connection).__module__ and not is_open:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()


@pytest.fixture(autouse=True)
def no_storages_left() -> Iterator[None]:
    """Forget after each test which storages it added."""
    yield
    from sqlalchemy_file.storage import StorageManager  # the services work without it

    StorageManager.clear()


@pytest.fixture
def storage() -> MemoryStorage:
    """Return a storage in memory, which is the default one."""
    from tests.stores import add_memory

    return add_memory()


@pytest.fixture
def engine(request: pytest.FixtureRequest, storage: object) -> Iterator[Engine]:
    """Return an engine on SQLite, with the tables of the module's own `Base`, or the shared one."""
    from tests import models, stores

    engine = stores.sqlite(getattr(request.module, "Base", models.Base))
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of each database in turn."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Return the URL of a PostgreSQL database, for psycopg."""
    require(postgresql)
    with postgresql.running() as server:
        yield server.url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """Return the URL of a MariaDB database, for PyMySQL."""
    require(mariadb)
    with mariadb.running() as server:
        yield server.url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ceph.S3Server]:
    """Return the address and keys of an S3 server; each test makes a bucket of its own."""
    require(ceph)
    with ceph.running() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Chromium; tests of a module that asks for it cannot call ``asyncio.run``."""
    from tests.services import browser  # Playwright takes a moment to import

    require(browser)
    with browser.running() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return a page of a browser context of its own, without cookies or cache."""
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(60_000)  # CI has two cores
    yield context.new_page()
    context.close()
