"""Which errors of a query say that a table cannot be read, on each database and driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sqlalchemy_file.ledger.connections import is_unreadable
from tests.databases import on_servers, sqlite_only


def stop_soon(connection: Connection) -> str:
    """Let queries take 10 ms at most; return one that takes longer."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET statement_timeout = 10"))
        return "SELECT pg_sleep(5)"
    connection.execute(text("SET SESSION max_statement_time = 0.01"))
    return "SELECT sleep(5) FROM (SELECT 1) AS t"


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def error_of(connection: Connection, statement: str) -> DBAPIError:
    with pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    return caught.value


@pytest.mark.parametrize(
    "query", ["SELECT 1 FROM no_such_table", "SELECT no_such_column FROM (SELECT 1 AS one) AS t"]
)
def test_a_missing_table_or_column(connection: Connection, query: str) -> None:
    assert is_unreadable(error_of(connection, query))


def test_a_lost_connection_says_nothing(connection: Connection) -> None:
    def close(conn: Any, cursor: Any, *others: Any) -> None:
        cursor.connection.close()

    event.listen(connection, "before_cursor_execute", close)
    error = error_of(connection, "SELECT 1")
    assert error.connection_invalidated
    assert not is_unreadable(error)


@on_servers
def test_a_query_that_takes_too_long_says_nothing(connection: Connection) -> None:
    error = error_of(connection, stop_soon(connection))
    assert not error.connection_invalidated
    assert not is_unreadable(error)


@sqlite_only
def test_a_query_that_is_interrupted_says_nothing(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: 1, 1)
    assert not is_unreadable(error_of(connection, "SELECT 1"))


@pytest.mark.parametrize(
    ("url", "driver"),
    [("postgresql", "postgresql+psycopg2"), ("mariadb", "mysql+mysqlconnector")],
    indirect=["url"],
)
def test_each_driver_tells_it(url: str, driver: str) -> None:
    engine = create_engine(make_url(url).set(drivername=driver), poolclass=NullPool)
    with engine.connect() as connection:
        assert is_unreadable(error_of(connection, "SELECT 1 FROM no_such_table"))
        connection.rollback()
        assert not is_unreadable(error_of(connection, stop_soon(connection)))
