"""The table of scenarios: what there is, and over which columns of the matrix each one runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from . import GROUPS

if TYPE_CHECKING:
    from .world import World

Run = Callable[["World"], None]

_ASYNC = ("async", "psycopg")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the matrix: a database, how it is reached, and a storage."""

    database: str
    storage: str
    variant: str = ""
    groups: tuple[str, ...] = GROUPS

    @property
    def through_asyncio(self) -> bool:
        return self.variant in _ASYNC

    @property
    def traits(self) -> set[str]:
        """What scenarios name that run on some columns only."""
        also = {"async"} if self.through_asyncio else set()
        return {self.database, self.variant, self.storage, *also}

    def __str__(self) -> str:
        return "-".join(part for part in (self.database, self.variant, self.storage) if part)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario; what it cannot run on is named together with the reason."""

    group: str
    name: str
    run: Run
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    because: str = ""

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"

    def runs_on(self, column: Column) -> bool:
        """Tell whether it fits a column, by its database, its variant or its storage."""
        return (
            self.group in column.groups
            and not column.traits.intersection(self.without)
            and (not self.only or bool(column.traits.intersection(self.only)))
        )


_LOCAL = {"sqlite": ("local", "libcloud"), "postgresql": ("local",), "mariadb": ("libcloud",)}
"""Local folders are reached in two ways, by the same code; each database has one at least."""

MATRIX = tuple(
    Column(database=database, storage=storage)
    for database, local in _LOCAL.items()
    for storage in ("memory", *local, "s3")
)

_NO_LISTS = tuple(group for group in GROUPS if group != "lists")
_OF_ROWS = ("basics", "savepoints", "sharing_and_moving", "end_of_transaction", "joined_sessions")
_OF_ROWS += ("failures", "concurrency")
_OF_FILES = ("basics", "sharing_and_moving", "failures")
_OF_STORAGES = (*_OF_FILES, "again")

VARIANTS = (
    Column(database="sqlite", variant="legacy", storage="memory", groups=_NO_LISTS),
    Column(database="sqlite", variant="static", storage="memory", groups=_NO_LISTS),
    Column(database="sqlite", storage="dummy", groups=_OF_STORAGES),
    Column(database="sqlite", variant="ledger", storage="memory", groups=(*_OF_ROWS, "bulk")),
    Column(database="postgresql", variant="ledger", storage="memory", groups=_OF_ROWS),
    Column(database="sqlite", variant="async", storage="memory"),
    Column(database="sqlite", variant="async", storage="native"),
    Column(database="sqlite", storage="fsspec", groups=_OF_FILES),
    Column(database="sqlite", variant="async", storage="fsspec", groups=("basics", "failures")),
    Column(database="postgresql", variant="async", storage="local"),
    Column(database="postgresql", variant="psycopg", storage="memory", groups=_NO_LISTS),
)
"""Other ways to the same: pysqlite's own transactions, one shared connection, a ledger, asyncio.

Each runs the groups to which its difference can matter. Under asyncio any group may, since every
driver and every native storage has its own moments of waiting; lists need no second driver.
"""

_table: dict[str, Scenario] = {}


@dataclass(frozen=True, kw_only=True)
class Group:
    """The scenarios of one module: ``scenario = Group(name=...)``, then ``@scenario``.

    ``only`` and ``without`` take names of databases, variants and storages; ``because`` says why.
    """

    name: str
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    because: str = ""

    def __call__(self, run: Run) -> Run:
        self.add(run.__name__, run)
        return run

    @property
    def in_memory(self) -> Group:
        """The same group for variations that ask of a storage nothing that others do not."""
        return self.where(
            without=("local", "libcloud", "s3", "dummy", "native", "fsspec"),
            because="A storage is asked the same as by its siblings.",
        )

    def add(self, name: str, run: Run) -> None:
        """Register ``run`` under a name of its own, as a loop over variations does."""
        one = Scenario(
            group=self.name,
            name=name,
            run=run,
            only=self.only,
            without=self.without,
            because=self.because,
        )
        assert str(one) not in _table, f"two scenarios are called {one}"
        _table[str(one)] = one

    def where(
        self, *, only: tuple[str, ...] = (), without: tuple[str, ...] = (), because: str
    ) -> Group:
        """Return the same group for scenarios that run on some columns only."""
        return Group(
            name=self.name,
            only=only or self.only,
            without=self.without + without,
            because=" ".join(filter(None, (self.because, because))),
        )


def scenarios() -> Iterator[Scenario]:
    """Yield all scenarios, group after group."""
    for group in GROUPS:
        import_module(f"{__package__}.{group}")
    yield from _table.values()


def cells() -> Iterator[tuple[Scenario, Column]]:
    """Yield every scenario on every column that it runs on."""
    for column in (*MATRIX, *VARIANTS):
        for scenario in scenarios():
            if scenario.runs_on(column):
                yield scenario, column
