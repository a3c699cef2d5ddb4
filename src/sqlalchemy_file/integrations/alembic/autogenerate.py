"""Autogenerate: what a migration has to change for the ledgers, and file columns as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from alembic import util
from alembic.autogenerate import comparators, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, ops
from sqlalchemy import JSON, Column, ColumnElement, Connection, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from sqlalchemy_file.integrations.alembic.operations import (
    CreateFileTriggersOp,
    DropFileTriggersOp,
    FileTriggersOp,
    KeepFileLedgerOp,
    UpgradeFileLedgerOp,
)
from sqlalchemy_file.ledger import Ledger, ledger_of
from sqlalchemy_file.ledger.columns import FileColumns, kind_of
from sqlalchemy_file.ledger.installing import fed_tables, indexes_of
from sqlalchemy_file.ledger.tables import new_id, now_ms, this_transaction
from sqlalchemy_file.types import file_field

# Alembic's own comparison comes first. Before 1.18, comparators run in the order of registration.
_priorities: Any = getattr(util, "DispatchPriority", None)
_LAST: dict[str, Any] = {} if _priorities is None else {"priority": _priorities.LAST}


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


@comparators.dispatch_for("schema", **_LAST)
def compare_files(context: AutogenContext, upgrade_ops: Any, schemas: Any) -> None:
    """Add the changes of the ledgers to a migration, and write file columns as JSON.

    Alembic calls it once for the import of this module, and once for the entry point.
    """
    if vars(upgrade_ops).setdefault("has_compared_files", False):
        return
    upgrade_ops.has_compared_files = True
    drops: list[MigrateOperation] = []
    creates: list[MigrateOperation] = []
    connection: Any = context.connection  # not None: Alembic compares no metadata without one
    for ledger in _ledgers(context.metadata):
        for old, new in _differences(connection, ledger, upgrade_ops):
            if old is not None:
                drops.append(DropFileTriggersOp.of(old, ledger.releases.schema))
            if new is not None:
                creates.append(CreateFileTriggersOp.of(new, ledger.releases.schema))
        is_earlier = ledger.is_of_earlier_release(connection)
        _leave_layout_alone(ledger, upgrade_ops, has_upgrade=is_earlier)
        if is_earlier:
            drops.insert(0, UpgradeFileLedgerOp(ledger_schema=ledger.releases.schema))
    _leave_indexes_alone(upgrade_ops)
    upgrade_ops.ops[:] = [*drops, *upgrade_ops.ops, *creates]
    use_json(upgrade_ops)


def _ledgers(metadata: Any) -> Iterator[Ledger]:
    several: Iterable[Any] = metadata if isinstance(metadata, list | tuple) else [metadata]
    for each in several:
        ledger = ledger_of(each) if isinstance(each, MetaData) else None
        if ledger is not None:
            yield ledger


def _differences(
    connection: Connection, ledger: Ledger, upgrade_ops: Any
) -> Iterator[tuple[FileColumns | None, FileColumns | None]]:
    """Yield the present and the wanted triggers of each table that needs a change.

    An entry is None where there are none, or should be none.
    """
    present = _by_table(fed_tables(connection, ledger.releases.schema))
    renewed = set(_by_table(ledger.stale_tables(connection)))
    if connection.dialect.name == "sqlite":  # only there altering may mean to copy the table
        renewed |= _tables_of(upgrade_ops, ops.ModifyTableOps)
    wanted = _by_table(ledger.released_columns(connection))
    for key, new in wanted.items():
        old = present.get(key)
        if old != new or key in renewed:
            yield _with_indexes(connection, old), new
    known = _tables_of(upgrade_ops, ops.DropTableOp)
    known |= {(table.schema, table.name) for table in ledger.metadata.tables.values()}
    for key, old in present.items():
        if key not in wanted and key in known:
            yield _with_indexes(connection, old), None


def _with_indexes(connection: Connection, files: FileColumns | None) -> FileColumns | None:
    """Return the same with the indexes of the catalog, which a downgrade has to bring back."""
    if files is None or not indexes_of(connection, files):
        return files
    return replace(files, indexed=files.noted)


def _tables_of(upgrade_ops: Any, kind: type[Any]) -> set[tuple[str | None, str]]:
    """Return the tables of a kind of operation in a migration."""
    return {(each.schema, each.table_name) for each in upgrade_ops.ops if isinstance(each, kind)}


def _by_table(files: Iterable[FileColumns]) -> dict[tuple[str | None, str], FileColumns]:
    return {(each.schema, each.table): each for each in files}


def _leave_layout_alone(ledger: Ledger, upgrade_ops: Any, *, has_upgrade: bool) -> None:
    """Remove changes of the ledger's own tables: the ledger makes them itself.

    New indexes stay: autogenerate lists those of a new table apart from it. On SQLite, the
    upgrade of an earlier layout creates them itself.
    """
    own = {(each.schema, each.name) for each in (ledger.releases, ledger.state)}
    for table in _modified(upgrade_ops):
        if (table.schema, table.table_name) in own:
            table.ops[:] = [] if has_upgrade else _new_indexes(table.ops)


def _new_indexes(operations: Sequence[MigrateOperation]) -> list[MigrateOperation]:
    """Return the creations of indexes, except those that replace one that only looks different."""
    replaced = {each.index_name for each in operations if isinstance(each, ops.DropIndexOp)}
    return [
        each
        for each in operations
        if isinstance(each, ops.CreateIndexOp) and each.index_name not in replaced
    ]


def _leave_indexes_alone(upgrade_ops: Any) -> None:
    """Remove drops of the ledger's own indexes, which no metadata knows, and empty changes."""
    for table in _modified(upgrade_ops):
        drops = (each for each in table.ops if isinstance(each, ops.DropIndexOp))
        own = [each for each in drops if kind_of(str(each.index_name)) == "index"]
        table.ops[:] = [each for each in table.ops if each not in own]
        if not table.ops:
            upgrade_ops.ops.remove(table)


def _modified(upgrade_ops: Any) -> list[ops.ModifyTableOps]:
    return [each for each in upgrade_ops.ops if isinstance(each, ops.ModifyTableOps)]


_DEFAULTS = {each.name: each for each in (new_id, now_ms, this_transaction)}
"""By their names in existing migrations, so these may not change."""


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
def _render(context: AutogenContext, operation: FileTriggersOp) -> str:
    context.imports.add("import sqlalchemy_file.integrations.alembic")
    files = operation.files
    parts = [repr(files.table), repr(list(files.columns))]
    parts += [f"kept={list(files.kept)!r}"] if files.kept else []
    parts += ["indexed=True"] if files.indexed and operation.name.startswith("create") else []
    parts += [f"schema={files.schema!r}"] if files.schema else []
    parts += [f"ledger_schema={operation.ledger_schema!r}"] if operation.ledger_schema else []
    return f"op.{operation.name}({', '.join(parts)})"


def use_json(operations: ops.OpContainer) -> None:
    """Let all operations name JSON instead of file fields; no column of a model changes."""
    for each in operations.ops:
        if isinstance(each, ops.OpContainer):
            use_json(each)
        elif isinstance(each, ops.CreateTableOp):
            each.columns = [_column(item) for item in each.columns]
        elif isinstance(each, ops.AddColumnOp):
            each.column = _column(each.column)
        elif isinstance(each, ops.AlterColumnOp):
            each.modify_type = _json(each.modify_type)
            each.existing_type = _json(each.existing_type)


def _column(item: Any) -> Any:
    """Return a JSON column for a file column, and anything else unchanged."""
    if not isinstance(item, Column) or file_field(item.type) is None:
        return item
    default: Any = item.server_default
    return Column(
        item.name,
        _json(item.type),
        key=item.key,
        nullable=item.nullable,
        server_default=getattr(default, "arg", None),
        comment=item.comment,
    )


def _json(kind: Any) -> Any:
    field = file_field(kind) if isinstance(kind, TypeEngine) else None
    if field is None:
        return kind
    plain: Any = JSON()
    for dialect, variant in field.impl_instance._variant_mapping.items():
        is_jsonb = variant.__visit_name__ == "JSONB"
        plain = plain.with_variant(_JSONB() if is_jsonb else JSON(), dialect)
    return plain


class _JSONB(JSONB):
    """JSONB as migrations name it; Alembic writes a name that they lack on other databases."""

    __module__ = JSONB.__module__

    def __repr__(self) -> str:
        return "JSONB()"
