"""The columns of the matrix: each database and each storage is made once, and emptied between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytest

from .databases import Database
from .ledgers import DrainedLedger, attached
from .places import Place
from .table import Column
from .world import ARCHIVE, MAIN, World, temporary_files_in


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class Shared(Generic[T]):
    """Things of one kind that all tests share, by name, made when first asked for."""

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._made: dict[str, T] = {}
        self._stack = ExitStack()

    def get(self, name: str, *arguments: Any) -> T:
        if name not in self._made:
            self._made[name] = made = self._make(*arguments)
            self._stack.callback(made.close)
        return self._made[name]

    def __enter__(self) -> Shared[T]:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()


class Matrix:
    """Enters the worlds of the columns; a server is started when a column first needs it."""

    _numbers = itertools.count()

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder

    @contextmanager
    def world(self, column: Column) -> Iterator[World]:
        """Enter an empty world."""
        with ExitStack() as stack:
            database = self._empty_database(column, "first")
            ledger = stack.enter_context(attached(database)) if column.variant == "ledger" else None
            yield from self._worlds(column, database, ledger)

    def _worlds(
        self, column: Column, database: Database, ledger: DrainedLedger | None
    ) -> Iterator[World]:
        places = {name: self._place(column.storage, name) for name in (MAIN, ARCHIVE)}
        folder = self._folder / f"scenario-{next(self._numbers)}"
        with temporary_files_in(folder / "temporary"):
            yield World(
                database,
                places,
                folder,
                second=lambda: self._empty_database(column, "second"),
                through_asyncio=column.through_asyncio,
                ledger=ledger,
            )

    def _empty_database(self, column: Column, name: str) -> Database:
        kind = (
            column.variant if column.variant in ("legacy", "static", "psycopg") else column.database
        )
        shared: Shared[Database] = self._request.getfixturevalue(f"{kind}_databases")
        database = shared.get(f"{name} with a ledger" if column.variant == "ledger" else name)
        database.empty()
        return database

    def _place(self, storage: str, name: str) -> Place:
        shared: Shared[Place] = self._request.getfixturevalue(f"{storage}_places")
        return shared.get(name, name)
