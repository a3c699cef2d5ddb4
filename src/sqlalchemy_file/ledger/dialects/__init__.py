"""The interface of the ledger to each database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from sqlalchemy import Connection

from sqlalchemy_file.ledger.columns import FileColumns, Found, Lookup, Place, Trigger

Feed = tuple[Place, FileColumns]
"""A table whose triggers write into the ledger, and its columns."""


class Database(Protocol):
    """Triggers and the catalog of one kind of database."""

    def place(self, connection: Connection, table: str, schema: str | None) -> Place | None:
        """Return the place of a table, as the catalog spells it."""

    def is_view(self, connection: Connection, table: str, schema: str | None) -> bool:
        """Return True if this is a view, or another relation without triggers."""

    def columns(self, connection: Connection, where: Place) -> dict[str, bool]:
        """Return a table's columns by `folded` names, and whether triggers read their types."""

    def folded(self, name: str) -> str:
        """Return a column's name as this database compares it."""
        return name.lower()

    def needed(
        self, connection: Connection, ledger: Place, feeds: Sequence[Feed]
    ) -> Iterator[Trigger]:
        """Yield the triggers, functions and indexes that these tables need."""

    def found(self, connection: Connection) -> Iterator[Found]:
        """Yield those that are there, in all visible schemas."""

    def creating(self, connection: Connection) -> AbstractContextManager[None]:
        """Return the context that triggers are created in."""
        return nullcontext()

    def lookup(
        self, connection: Connection, ledger: Place, where: Place, column: str
    ) -> Lookup | None:
        """Return the condition that a column's index answers, or None without an index."""
        return None

    def unused(self, connection: Connection, ledger: Place) -> Sequence[str]:
        """Return SQL that drops what no trigger of this ledger uses any more."""
        return ()
