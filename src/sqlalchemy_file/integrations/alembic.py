"""Migrations of the ledger's triggers with Alembic. Importing this in ``env.py`` registers it.

Autogenerate then writes ``op.create_file_triggers`` and ``op.drop_file_triggers`` into a migration,
drops first and creates last. `ensure_triggers` repairs the triggers after each migration: SQLite's
batch mode drops those of the table that it copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, MetaData
from sqlalchemy.dialects.postgresql import JSONB

from sqlalchemy_file.exceptions import LedgerError, MissingExtraError
from sqlalchemy_file.ledger import Ledger, ledger_of
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.installing import drop_indexes, fed_tables, look, repair
from sqlalchemy_file.ledger.tables import new_id, now_ms, this_transaction
from sqlalchemy_file.types import file_field

try:
    from alembic import util
    from alembic.autogenerate import comparators, renderers
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations import MigrateOperation, Operations
except ImportError as _error:
    raise MissingExtraError("sqlalchemy_file.integrations.alembic", "alembic") from _error

from sqlalchemy_file.integrations.alembic_changes import (
    differences,
    leave_indexes_alone,
    leave_layout_alone,
)
from sqlalchemy_file.integrations.alembic_types import use_json

# Alembic's own comparison must have been made. Before 1.18 what is registered later runs later.
_priorities: Any = getattr(util, "DispatchPriority", None)
_LAST: dict[str, Any] = {} if _priorities is None else {"priority": _priorities.LAST}

__all__ = [
    "CreateFileTriggersOp",
    "DropFileTriggersOp",
    "UpgradeFileLedgerOp",
    "ensure_triggers",
    "ledger_default",
    "render_item",
]

_DEFAULTS = {each.name: each for each in (new_id, now_ms, this_transaction)}
"""By names that migrations hold for ever."""


class _FileTriggersOp(MigrateOperation):
    """What both operations say: the table, its file columns, and where the ledger is."""

    name = ""

    def __init__(
        self,
        table_name: str,
        columns: Sequence[str],
        *,
        kept: Sequence[str] = (),
        schema: str | None = None,
        ledger_schema: str | None = None,
    ) -> None:
        self.files: FileColumns = FileColumns(table_name, tuple(columns), schema, kept=tuple(kept))
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
            schema=files.schema,
            ledger_schema=ledger_schema,
        )

    @classmethod
    def _invoke(cls, operations: Operations, *args: Any, **options: Any) -> Any:
        return operations.invoke(cls(*args, **options))


@Operations.register_operation("create_file_triggers")
class CreateFileTriggersOp(_FileTriggersOp):
    """``op.create_file_triggers``: create the ledger's triggers on a table."""

    name = "create_file_triggers"

    @classmethod
    def create_file_triggers(cls, operations: Operations, *args: Any, **options: Any) -> Any:
        """Create the triggers of a table for its file columns, those that keep as ``kept``."""
        return cls._invoke(operations, *args, **options)

    def reverse(self) -> DropFileTriggersOp:
        """Return the operation that undoes this one."""
        return DropFileTriggersOp.of(self.files, self.ledger_schema)


@Operations.register_operation("drop_file_triggers")
class DropFileTriggersOp(_FileTriggersOp):
    """``op.drop_file_triggers``: drop the ledger's triggers on a table."""

    name = "drop_file_triggers"

    @classmethod
    def drop_file_triggers(cls, operations: Operations, *args: Any, **options: Any) -> Any:
        """Drop the triggers of a table; the columns are those it had triggers for."""
        return cls._invoke(operations, *args, **options)

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
        """Change the ledger's tables in place; their notes are kept."""
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

    def reverse(self) -> UpgradeFileLedgerOp:
        """Return the operation that brings the layout of this release."""
        return UpgradeFileLedgerOp()


def ensure_triggers(metadata: MetaData | Sequence[MetaData]) -> Callable[..., None]:
    """Return a function that repairs the triggers after each migration, for ``env.py``.

        context.configure(..., on_version_apply=ensure_triggers(target_metadata))

    It drops triggers that are out of date, and creates those that are missing.
    """

    def ensure(*, ctx: Any, **_: Any) -> None:
        for ledger in _ledgers(metadata):
            if not ctx.as_sql:
                ledger.ensure(ctx.connection)

    return ensure


def ledger_default(name: str) -> ColumnElement[Any]:
    """Return a server default of the ledger's tables, for any dialect."""
    return _DEFAULTS[name]()


def render_item(kind: str, item: Any, context: AutogenContext) -> str | bool:
    """Render file columns as JSON columns; for ``context.configure(render_item=render_item)``.

    Defaults of the ledger's tables are rendered so that the migration runs on any database.
    """
    default = getattr(item, "arg", None) if kind == "server_default" else None
    for name, known in _DEFAULTS.items():
        if isinstance(default, known):
            context.imports.add("import sqlalchemy_file.integrations.alembic")
            return f"sqlalchemy_file.integrations.alembic.ledger_default({name!r})"
    field = file_field(item) if kind == "type" else None
    if field is None:
        return False
    dialect = context.migration_context.dialect if context.migration_context else None
    if dialect is not None and isinstance(field.load_dialect_impl(dialect), JSONB):
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB(astext_type=sa.Text())"
    return "sa.JSON()"


@Operations.implementation_for(CreateFileTriggersOp)
def _create(operations: Operations, operation: CreateFileTriggersOp) -> None:
    _apply(operations, operation, [operation.files])


@Operations.implementation_for(DropFileTriggersOp)
def _drop(operations: Operations, operation: DropFileTriggersOp) -> None:
    # SQLite drops no column that stands in an index, and PostgreSQL no function that one calls.
    # `ensure_triggers` makes the indexes of a table that stays again.
    drop_indexes(_online(operations), operation.files)
    _apply(operations, operation, [FileColumns(operation.files.table, (), operation.files.schema)])


@Operations.implementation_for(UpgradeFileLedgerOp)
def _upgrade(operations: Operations, operation: UpgradeFileLedgerOp) -> None:
    connection = _online(operations)
    tables = fed_tables(connection, operation.ledger_schema)
    repair(connection, look(connection, operation.ledger_schema, tables))


def _apply(operations: Operations, operation: _FileTriggersOp, changed: list[FileColumns]) -> None:
    """Make the triggers of one table so, and leave those of all others as the catalog has them."""
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


@renderers.dispatch_for(UpgradeFileLedgerOp)
def _render_upgrade(context: AutogenContext, operation: UpgradeFileLedgerOp) -> str:
    context.imports.add("import sqlalchemy_file.integrations.alembic")
    schema = operation.ledger_schema
    return f"op.{operation.name}({f'ledger_schema={schema!r}' if schema else ''})"


@renderers.dispatch_for(KeepFileLedgerOp)
def _render_nothing(context: AutogenContext, operation: KeepFileLedgerOp) -> str:
    return "pass  # the ledger keeps its layout, and its notes"


@renderers.dispatch_for(CreateFileTriggersOp)
@renderers.dispatch_for(DropFileTriggersOp)
def _render(context: AutogenContext, operation: _FileTriggersOp) -> str:
    context.imports.add("import sqlalchemy_file.integrations.alembic")
    files = operation.files
    parts = [repr(files.table), repr(list(files.columns))]
    parts += [f"kept={list(files.kept)!r}"] if files.kept else []
    parts += [f"schema={files.schema!r}"] if files.schema else []
    parts += [f"ledger_schema={operation.ledger_schema!r}"] if operation.ledger_schema else []
    return f"op.{operation.name}({', '.join(parts)})"


@comparators.dispatch_for("schema", **_LAST)
def compare_files(context: AutogenContext, upgrade_ops: Any, schemas: Any) -> None:
    """Add what the ledgers need to a migration, and write file columns as the JSON they are.

    Alembic calls it once for the import of this module, and once for the entry point.
    """
    if vars(upgrade_ops).setdefault("has_compared_files", False):
        return
    upgrade_ops.has_compared_files = True
    _compare(context, upgrade_ops)
    use_json(upgrade_ops)


def _compare(context: AutogenContext, upgrade_ops: Any) -> None:
    drops: list[MigrateOperation] = []
    creates: list[MigrateOperation] = []
    for ledger in _ledgers(context.metadata):
        for old, new in differences(context, ledger, upgrade_ops):
            if old is not None:
                drops.append(DropFileTriggersOp.of(old, ledger.releases.schema))
            if new is not None:
                creates.append(CreateFileTriggersOp.of(new, ledger.releases.schema))
        connection = context.connection
        is_earlier = connection is not None and ledger.is_of_earlier_release(connection)
        leave_layout_alone(ledger, upgrade_ops, has_upgrade=is_earlier)
        if is_earlier:
            drops.insert(0, UpgradeFileLedgerOp(ledger_schema=ledger.releases.schema))
    leave_indexes_alone(upgrade_ops)
    upgrade_ops.ops[:] = [*drops, *upgrade_ops.ops, *creates]


def _ledgers(metadata: Any) -> Iterator[Ledger]:
    several: Iterable[Any] = metadata if isinstance(metadata, list | tuple) else [metadata]
    for each in several:
        ledger = ledger_of(each) if isinstance(each, MetaData) else None
        if ledger is not None:
            yield ledger
