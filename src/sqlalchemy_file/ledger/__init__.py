"""The ledger: a table that database triggers fill with the paths that rows no longer contain.

ledger = Ledger(Base.metadata)
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, event, inspect

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import FileColumns, all_file_columns
from sqlalchemy_file.ledger.connections import as_committed, exclusive
from sqlalchemy_file.ledger.identity import record_home
from sqlalchemy_file.ledger.installing import (
    DATABASES,
    Problem,
    State,
    database_of,
    look,
    place_of,
    repair,
)
from sqlalchemy_file.ledger.layout import OUT_OF_DATE, forget_missed, is_of_earlier_release
from sqlalchemy_file.ledger.references import named_paths
from sqlalchemy_file.ledger.state import set_grace
from sqlalchemy_file.ledger.tables import IN_INFO, RELEASES, releases_table, state_table

__all__ = ["Ledger", "LedgerError", "Problem", "ledger_of", "named_paths"]


class Ledger:
    """The ledger of a metadata: two tables, and the triggers that fill them.

        ledger = Ledger(Base.metadata)
        Base.metadata.create_all(engine)  # creates both

    ``schema`` is the schema of the two tables. ``indexed=True`` also creates indexes on the paths
    in file columns, on PostgreSQL and SQLite; other databases read the tables.
    """

    def __init__(
        self, metadata: MetaData, *, schema: str | None = None, indexed: bool = False
    ) -> None:
        if ledger_of(metadata) is not None:
            raise ValueError("this metadata has a ledger already; ledger_of(metadata) returns it")
        self.metadata = metadata
        self.indexed = indexed
        self.releases: Table = releases_table(metadata, schema)
        self.state: Table = state_table(metadata, schema)
        metadata.info[IN_INFO] = self
        event.listen(metadata, "before_drop", self._before_drop)
        for name in ("after_create", "after_drop"):  # ancestors' triggers read the tables below
            event.listen(metadata, name, self._after_change)

    def file_tables(self) -> list[tuple[Table, tuple[Column[Any], ...]]]:
        """Return the tables with triggers, and their file columns."""
        return list(all_file_columns(self.metadata))

    def released_columns(self, connection: Connection) -> list[FileColumns]:
        """Return the names of these tables and columns, with the schemas of a connection."""
        return [
            FileColumns.of(connection, *each, is_indexed=self.indexed)
            for each in self.file_tables()
        ]

    def install(self, connection: Connection) -> None:
        """Create missing tables, triggers and indexes of the ledger."""
        with exclusive(connection, RELEASES):
            self.releases.create(connection, checkfirst=True)
            self.state.create(connection, checkfirst=True)
            self.ensure(connection)

    def ensure(self, connection: Connection) -> None:
        """Drop the triggers that are out of date, and create those that are missing.

        Call it after migrations. It only reads the catalog if everything is up to date, or if the
        ledger's table does not exist. Several processes may call it at once.
        """
        self._repair(connection)
        if inspect(connection).has_table(self.state.name, connection.schema_for_object(self.state)):
            record_home(connection, self)

    def uninstall(self, connection: Connection) -> None:
        """Drop the triggers, their functions and the indexes. The ledger's tables stay."""
        self._repair(connection, is_needed=False)

    def exclusive(self, connection: Connection) -> AbstractContextManager[None]:
        """Return a context manager that one process at a time can enter, for each database.

        For ``create_all`` on an empty database, which several processes may call at once.
        """
        return exclusive(connection, RELEASES)

    def forget_missed(self, connection: Connection) -> None:
        """Forget that entries were missed, after a full pass has found their objects."""
        forget_missed(connection, connection.schema_for_object(self.releases))

    def problems(self, connection: Connection) -> list[Problem]:
        """Return the problems of the ledger's tables and triggers; none if all are in order."""
        schema = connection.schema_for_object(self.releases)
        return list(self._look(connection).problems(schema))

    def set_grace(self, connection: Connection, seconds: float) -> None:
        """Change the grace period; the caller commits. Zero refuses every commit with files."""
        set_grace(connection, self, seconds)

    def stale_tables(self, connection: Connection) -> list[FileColumns]:
        """Return the tables whose triggers are missing, out of date, or disabled."""
        return self._look(connection).stale

    def _repair(self, connection: Connection, *, is_needed: bool = True) -> None:
        if self._look(connection, is_needed=is_needed).is_current:
            return
        with exclusive(connection, RELEASES):
            state = self._look(connection, is_needed=is_needed)
            if any(flaw.kind == OUT_OF_DATE for flaw in state.flaws):
                with as_committed(connection) as fresh:
                    columns = self._columns(fresh)
                # Another process has done it since the snapshot of this transaction.
                if columns is not None and not is_of_earlier_release(columns):
                    state.flaws = [flaw for flaw in state.flaws if flaw.kind != OUT_OF_DATE]
            repair(connection, state)

    def is_of_earlier_release(self, connection: Connection) -> bool:
        """Return True if the ledger's table in the database has an old layout."""
        columns = self._columns(connection)
        return columns is not None and is_of_earlier_release(columns)

    def _columns(self, connection: Connection) -> Iterable[str] | None:
        where = place_of(connection, self.releases)
        return None if where is None else database_of(connection).columns(connection, where)

    def _look(self, connection: Connection, *, is_needed: bool = True) -> State:
        columns = dict(self.file_tables())
        tables = [
            FileColumns.of(connection, table, columns.get(table, ()), is_indexed=self.indexed)
            for table in self.metadata.tables.values()
        ]
        schema = connection.schema_for_object(self.releases)
        return look(connection, schema, tables, is_needed=is_needed, has_indexes=True)

    def _after_change(self, target: MetaData, connection: Connection, **options: Any) -> None:
        if _is_known(connection):
            self.ensure(connection)

    def _before_drop(
        self, target: MetaData, connection: Connection, tables: Any = (), **options: Any
    ) -> None:
        if self.releases in (tables or ()) and _is_known(connection):
            self.uninstall(connection)


def ledger_of(metadata: MetaData) -> Ledger | None:
    """Return the ledger of a metadata, or None."""
    ledger: Ledger | None = metadata.info.get(IN_INFO)
    return ledger


def _is_known(connection: Connection) -> bool:
    # A mock engine has no catalog to look at, and other databases have no triggers of ours.
    return isinstance(connection, Connection) and connection.dialect.name in DATABASES
