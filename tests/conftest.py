"""What every test may ask for: real servers, started at first use, one set a test process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from tests.services import ceph, mariadb, postgresql
from tests.services.required import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.register_assert_rewrite("sqlalchemy_file.testing")  # before anything imports it
pytest_plugins = ["tests.completeness"]


def pytest_configure() -> None:
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that a terminated run stops its servers and removes their folders."""
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def no_storages_left() -> Iterator[None]:
    """Forget after each test which storages it added."""
    yield
    from sqlalchemy_file.storage import StorageManager  # the services work without it

    StorageManager.clear()


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
