"""What the database servers share: their address, and a database of our own on somebody else's."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Server:
    """A running database server. ``url`` names a database that is ours alone."""

    url: str


@contextmanager
def database_on(address: str, drivername: str) -> Iterator[Server]:
    """Make a database on a developer's own server, whose data stay untouched, and drop it."""
    url = sa.make_url(address).set(drivername=drivername)
    name = f"sqlalchemy_file_test_{secrets.token_hex(6)}"
    _execute(url, f"CREATE DATABASE {name}")
    try:
        yield Server(url.set(database=name).render_as_string(hide_password=False))
    finally:
        _execute(url, f"DROP DATABASE {name}")


def accepts_connections(url: str) -> bool:
    """Tell whether the server at ``url`` answers."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect():
            return True
    except sa.exc.OperationalError:
        return False


def _execute(url: sa.URL, statement: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
