"""The columns of the matrix: each database and each storage is made once, and emptied between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .databases import Database, LegacySQLite, MariaDB, PostgreSQL, SQLite, StaticSQLite
from .places import S3, Dummy, Folder, LibcloudFolder, Memory, Place
from .table import Column
from .world import ARCHIVE, MAIN, World, temporary_files_in


class Matrix:
    """Makes databases and storages when a column first asks for them."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._databases: dict[tuple[str, ...], Database] = {}
        self._places: dict[tuple[str, ...], Place] = {}
        self._numbers = itertools.count()
        self._stack = ExitStack()

    @contextmanager
    def world(self, column: Column) -> Iterator[World]:
        """Enter an empty world."""
        database = self._empty_database(column)
        places = {name: self.place(column.storage, name) for name in (MAIN, ARCHIVE)}
        folder = self._folder / f"scenario-{next(self._numbers)}"
        with temporary_files_in(folder / "temporary"):
            yield World(
                database,
                places,
                folder,
                second=lambda: self._empty_database(column, "second"),
                through_asyncio=column.variant == "async",
            )

    def _empty_database(self, column: Column, number: str = "first") -> Database:
        database = self.database(column, number)
        database.empty()
        return database

    def database(self, column: Column, number: str) -> Database:
        """Return one of the databases of a column; variants share them as far as they can."""
        variant = "" if column.variant == "async" else column.variant
        key = (column.database, variant, number)
        if key not in self._databases:
            self._databases[key] = made = self._make_database(column.database, variant)
            self._stack.callback(made.close)
        return self._databases[key]

    def _make_database(self, name: str, variant: str) -> Database:
        if name == "postgresql":
            return PostgreSQL(name, self._request.getfixturevalue("postgresql_server"))
        if name == "mariadb":
            return MariaDB(name, self._request.getfixturevalue("mariadb_server"))
        kinds = {"": SQLite, "legacy": LegacySQLite, "static": StaticSQLite}
        return kinds[variant](self._folder)

    def place(self, storage: str, name: str) -> Place:
        key = (storage, name)
        if key not in self._places:
            self._places[key] = made = self._make_place(storage, name)
            self._stack.callback(made.close)
        return self._places[key]

    def _make_place(self, storage: str, name: str) -> Place:
        if storage == "s3":
            return S3(self._request.getfixturevalue("s3_server"))
        folder = self._folder / storage / name
        kinds: dict[str, Callable[[], Any]] = {
            "memory": Memory,
            "dummy": Dummy,
            "local": lambda: Folder(folder),
            "libcloud": lambda: LibcloudFolder(folder),
        }
        return kinds[storage]()

    def close(self) -> None:
        self._stack.close()
