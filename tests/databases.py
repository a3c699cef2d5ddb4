"""For tests on each database: its tables, for as long as a test lasts, and marks that choose one.

The fixture `url` is the URL of each database in turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine
from sqlalchemy.exc import OperationalError

DATABASES = ("sqlite", "postgresql", "mariadb")

sqlite_only = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("url", ["postgresql"], indirect=True)
mariadb_only = pytest.mark.parametrize("url", ["mariadb"], indirect=True)
on_sqlite_and_postgresql = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
on_servers = pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)


def url_of(name: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the URL of a database, which is started if it is a server."""
    if name == "sqlite":
        return f"sqlite:///{folder}/x.db"
    return str(request.getfixturevalue(f"{name}_server"))


@contextmanager
def tables_on(
    url: str, metadata: MetaData, *, tables: Sequence[Table] | None = None, **options: Any
) -> Iterator[Engine]:
    """Make the tables, empty, and drop them at the end."""
    engine = create_engine(url, **options)
    metadata.drop_all(engine, tables)
    metadata.create_all(engine, tables)
    yield engine
    engine.dispose()  # a test that failed may have left a transaction open, which holds locks
    metadata.drop_all(engine, tables)
    engine.dispose()


def end_prepared(connection: Connection, sql: str) -> None:
    """End a prepared transaction, once the server has seen that its own connection is gone."""
    deadline = time.monotonic() + 30
    while True:
        try:
            connection.exec_driver_sql(sql)
        except OperationalError as error:
            is_unknown = error.orig is not None and error.orig.args[0] == 1397  # MariaDB
            if not is_unknown or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
