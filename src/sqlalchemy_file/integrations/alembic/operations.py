"""The operations of migrations: create and drop triggers, and change the layout of a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import Connection

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.installing import execute, fed_tables, indexes_of, look, repair


class FileTriggersOp(MigrateOperation):
    """The base of both operations: a table, its file columns, and the schema of the ledger."""

    name = ""

    def __init__(
        self,
        table_name: str,
        columns: Sequence[str],
        *,
        kept: Sequence[str] = (),
        indexed: bool = False,
        schema: str | None = None,
        ledger_schema: str | None = None,
    ) -> None:
        names = (*columns, *kept) if indexed else ()
        self.files: FileColumns = FileColumns(
            table_name, tuple(columns), schema, names, tuple(kept)
        )
        self.ledger_schema = ledger_schema

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        kept = [list(self.files.kept)] if self.files.kept else []
        return (self.name, str(self.files), list(self.files.columns), *kept)

    @classmethod
    def of(cls, files: FileColumns, ledger_schema: str | None) -> Self:
        """Return the operation for the file columns of a table."""
        return cls(
            files.table,
            files.columns,
            kept=files.kept,
            indexed=bool(files.indexed),
            schema=files.schema,
            ledger_schema=ledger_schema,
        )


@Operations.register_operation("create_file_triggers")
class CreateFileTriggersOp(FileTriggersOp):
    """``op.create_file_triggers``: create the ledger's triggers on a table."""

    name = "create_file_triggers"

    @classmethod
    def create_file_triggers(cls, operations: Operations, *args: Any, **options: Any) -> Any:
        """Create the triggers of a table for its file columns, those that keep as ``kept``.

        ``indexed=True`` also creates the indexes on their paths.
        """
        return operations.invoke(cls(*args, **options))

    def reverse(self) -> DropFileTriggersOp:
        """Return the operation that undoes this one."""
        return DropFileTriggersOp.of(self.files, self.ledger_schema)


@Operations.register_operation("drop_file_triggers")
class DropFileTriggersOp(FileTriggersOp):
    """``op.drop_file_triggers``: drop the ledger's triggers on a table."""

    name = "drop_file_triggers"

    @classmethod
    def drop_file_triggers(cls, operations: Operations, *args: Any, **options: Any) -> Any:
        """Drop the triggers of a table; the columns are those it had triggers for."""
        return operations.invoke(cls(*args, **options))

    def reverse(self) -> CreateFileTriggersOp:
        """Return the operation that undoes this one."""
        return CreateFileTriggersOp.of(self.files, self.ledger_schema)


@Operations.register_operation("upgrade_file_ledger")
class UpgradeFileLedgerOp(MigrateOperation):
    """``op.upgrade_file_ledger``: change a ledger of an earlier version to the current layout."""

    name = "upgrade_file_ledger"

    def __init__(self, *, ledger_schema: str | None = None) -> None:
        self.ledger_schema = ledger_schema

    @classmethod
    def upgrade_file_ledger(cls, operations: Operations, **options: Any) -> Any:
        """Change the ledger's tables in place; their entries are kept."""
        return operations.invoke(cls(**options))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return (self.name, self.ledger_schema)

    def reverse(self) -> KeepFileLedgerOp:
        """Return an operation that does nothing: earlier versions write into this layout, too."""
        return KeepFileLedgerOp()


class KeepFileLedgerOp(MigrateOperation):
    """Nothing, in a downgrade."""

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        return ("keep_file_ledger",)


@Operations.implementation_for(CreateFileTriggersOp)
def _create(operations: Operations, operation: CreateFileTriggersOp) -> None:
    _apply(operations, operation, [operation.files])


@Operations.implementation_for(DropFileTriggersOp)
def _drop(operations: Operations, operation: DropFileTriggersOp) -> None:
    # SQLite drops no column of an index, and PostgreSQL no function that an index calls.
    connection = _online(operations)
    for index in indexes_of(connection, operation.files):
        execute(connection, index.drop)
    _apply(operations, operation, [FileColumns(operation.files.table, (), operation.files.schema)])


@Operations.implementation_for(UpgradeFileLedgerOp)
def _upgrade(operations: Operations, operation: UpgradeFileLedgerOp) -> None:
    connection = _online(operations)
    tables = fed_tables(connection, operation.ledger_schema)
    repair(connection, look(connection, operation.ledger_schema, tables))


def _apply(operations: Operations, operation: FileTriggersOp, changed: list[FileColumns]) -> None:
    """Change the triggers of one table, and leave those of all others as the catalog has them."""
    connection = _online(operations)
    others = fed_tables(connection, operation.ledger_schema, without=operation.files)
    repair(connection, look(connection, operation.ledger_schema, [*others, *changed]))


def _online(operations: Operations) -> Connection:
    if operations.migration_context.as_sql:
        raise LedgerError(
            "the triggers of the ledger depend on what the database has: run this migration "
            "online, or take this operation out and call ensure(connection) of the ledger"
        )
    return operations.get_bind()
