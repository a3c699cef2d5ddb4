"""The databases of the matrix, each with a connection of its own that looks at it from outside.

The looking connection is a bare DBAPI connection in autocommit mode: what it reads is what is
committed, and nothing of the library under test has a hand in it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from sqlalchemy import URL, Engine, Table, create_engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateTable

from sqlalchemy_file import FileField

from .models import METADATA


@dataclass(frozen=True, kw_only=True)
class Named:
    """What one committed row says in one file column: nothing, a record, or a list of them."""

    table: str
    column: str
    primary_key: tuple[str, ...]
    value: Any

    @property
    def records(self) -> list[dict[str, Any]]:
        return [] if self.value is None else self.value if self.is_list else [self.value]

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of {', '.join(self.primary_key)}"


class Database:
    """One database with the tables of all models, empty at the start of each scenario."""

    text_type = "TEXT"

    def __init__(self, name: str, url: URL) -> None:
        self.name = name
        self.url = url
        self.tables = {
            table.name: table
            for metadata in METADATA
            for table in metadata.sorted_tables
            if name not in table.info.get("without", ())
        }
        self.looker = self._connect()

    # what a scenario uses

    def engine(self, **options: Any) -> Engine:
        """Return an engine as a program would make it."""
        return create_engine(options.pop("url", self.url), **options)

    def async_engine(self, **options: Any) -> Engine:
        """Return the sync face of an asyncio engine, for use inside a greenlet."""
        url = self.url.set(drivername=self.async_driver)
        if "pool_size" not in options:
            options["poolclass"] = NullPool
        return create_async_engine(url, **options).sync_engine

    async_driver = ""

    def look(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement from outside any session and return its rows."""
        cursor = self.looker.cursor()
        try:
            cursor.execute(statement, values) if values else cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def named(self, table: str | None = None) -> Iterator[Named]:
        """Yield what committed rows say in their file columns; a JSON null is refused."""
        for name in self._tables_with_rows() if table is None else [table]:
            yield from self._named_by(self.tables[name])

    def _named_by(self, table: Table) -> Iterator[Named]:
        keys = [column.name for column in table.primary_key]
        columns = [column.name for column in table.columns if isinstance(column.type, FileField)]
        if not columns:
            return
        wanted = ", ".join(f"CAST({name} AS {self.text_type})" for name in keys + columns)
        order = ", ".join(f"{table.name}.{key}" for key in keys)
        for row in self.look(f"SELECT {wanted} FROM {table.name} ORDER BY {order}"):
            key, texts = tuple(map(str, row[: len(keys)])), row[len(keys) :]
            for column, text in zip(columns, texts, strict=True):
                value = None if text is None else json.loads(text)
                assert text is None or value or value == [], (
                    f"{table.name}.{column} of {key} holds {text!r}"
                )
                yield Named(table=table.name, column=column, primary_key=key, value=value)

    def _tables_with_rows(self) -> list[str]:
        """Return the names of all tables that are not empty, by one statement."""
        checks = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in self.tables)
        return [name for (name,) in self.look(" UNION ALL ".join(checks))]

    # the life of the tables

    def create_all(self) -> None:
        for table in self.tables.values():
            self._create(table)

    def add(self, table: Table) -> None:
        """Create a table that only one scenario knows."""
        self._create(table)
        self.tables[table.name] = table

    def remove(self, table: Table) -> None:
        self.look(f"DROP TABLE {table.name}")
        del self.tables[table.name]

    def _create(self, table: Table) -> None:
        self.look(str(CreateTable(table).compile(dialect=self.url.get_dialect()())))

    def empty(self) -> None:
        """Delete all rows, and end the connections that still hold them locked."""
        try:
            self._delete_all()
        except (sqlite3.Error, psycopg.Error, pymysql.Error):
            self.end_others()
            self._delete_all()

    def _delete_all(self) -> None:
        with_rows = set(self._tables_with_rows())
        for name in reversed(self.tables):
            if name in with_rows:
                self.look(f"DELETE FROM {name}")

    def end_others(self) -> None:
        """End every other connection to this database."""

    def close(self) -> None:
        self.looker.close()

    def _connect(self) -> Any:
        raise NotImplementedError


class SQLite(Database):
    """A file, with explicit BEGIN, so that savepoints are real, and foreign keys that hold."""

    async_driver = "sqlite+aiosqlite"

    def __init__(self, folder: Path, name: str = "sqlite") -> None:
        self.path = folder / f"{uuid.uuid4().hex}.db"
        super().__init__(name, URL.create("sqlite", database=str(self.path)))
        self.look("PRAGMA journal_mode = WAL")
        self.create_all()

    def engine(self, **options: Any) -> Engine:
        engine = super().engine(**{"connect_args": {"timeout": 20}, **options})
        event.listen(engine, "connect", _switch_off_own_transactions)
        event.listen(engine, "begin", _begin)
        return engine

    def async_engine(self, **options: Any) -> Engine:
        engine = super().async_engine(**options)
        event.listen(engine, "connect", _switch_off_own_transactions)
        event.listen(engine, "begin", _begin)
        return engine

    def _connect(self) -> Any:
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=5, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = OFF")
        return connection


class LegacySQLite(SQLite):
    """The same without the BEGIN: pysqlite begins by itself, at the first INSERT or UPDATE."""

    def engine(self, **options: Any) -> Engine:
        engine = Database.engine(self, **{"connect_args": {"timeout": 20}, **options})
        event.listen(engine, "connect", _set_pragmas)
        return engine


class StaticSQLite(SQLite):
    """A database in memory, by one connection that everybody shares."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = URL.create(
            "sqlite",
            database=f"file:{self.path.stem}",
            query={"mode": "memory", "cache": "shared", "uri": "true"},
        )

    def engine(self, **options: Any) -> Engine:
        return super().engine(**{"poolclass": StaticPool, **options})

    def _connect(self) -> Any:
        address = f"file:{self.path.stem}?mode=memory&cache=shared"
        return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = OFF")
    cursor.close()


def _switch_off_own_transactions(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    _set_pragmas(connection, record)


def _begin(connection: Any) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN")


class Server(Database):
    """A private database on a running server, made at the start and dropped at the end."""

    def __init__(self, name: str, server: str) -> None:
        url = make_url(server)
        self.server = url
        super().__init__(name, url.set(database=f"scenarios_{uuid.uuid4().hex[:12]}"))
        self.create_all()

    @contextlib.contextmanager
    def _administration(self) -> Iterator[Any]:
        connection = self._connect_to(self.server)
        try:
            yield connection.cursor()
        finally:
            connection.close()

    def _connect(self) -> Any:
        with self._administration() as cursor:
            cursor.execute(f"CREATE DATABASE {self.url.database}")
        return self._connect_to(self.url)

    def _connect_to(self, url: URL) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        super().close()
        with self._administration() as cursor:
            cursor.execute(f"DROP DATABASE {self.url.database}")

    def kill(self, connection_id: int) -> None:
        """End one connection, as an administrator or a failing server does."""
        raise NotImplementedError

    connection_id: str
    """The SQL function that tells a connection its own id."""


class PostgreSQL(Server):
    async_driver = "postgresql+asyncpg"
    connection_id = "pg_backend_pid()"

    def _connect_to(self, url: URL) -> Any:
        return psycopg.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            dbname=url.database,
            autocommit=True,
            options="-c lock_timeout=3s",
        )

    def kill(self, connection_id: int) -> None:
        self.look("SELECT pg_terminate_backend(%s, 5000)", connection_id)

    def end_others(self) -> None:
        self.look(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def close(self) -> None:
        self.end_others()
        super().close()


class Psycopg(PostgreSQL):
    """The same by psycopg's own coroutines."""

    async_driver = "postgresql+psycopg"


class MariaDB(Server):
    text_type = "CHAR"
    connection_id = "connection_id()"

    def engine(self, **options: Any) -> Engine:
        # To prepare for TLS takes PyMySQL longer than most scenarios take.
        return super().engine(**{"connect_args": {"ssl_disabled": True}, **options})

    def _connect_to(self, url: URL) -> Any:
        return pymysql.connect(
            host=url.host,
            port=url.port or 3306,
            user=url.username,
            password=url.password or "",
            database=url.database,
            unix_socket=url.query.get("unix_socket"),
            autocommit=True,
            ssl_disabled=True,
            init_command="SET SESSION lock_wait_timeout = 3, innodb_lock_wait_timeout = 3",
        )

    def kill(self, connection_id: int) -> None:
        self.look(f"KILL {connection_id}")

    def end_others(self) -> None:
        for (process,) in self.look(
            "SELECT id FROM information_schema.processlist"
            " WHERE db = database() AND id <> connection_id()"
        ):
            with contextlib.suppress(pymysql.Error):
                self.kill(process)
