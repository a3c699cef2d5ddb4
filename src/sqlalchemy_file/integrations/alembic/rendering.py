"""The text of migrations: the operations, file columns, and defaults of the ledger's tables."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import JSONB

from sqlalchemy_file.integrations.alembic.operations import (
    CreateFileTriggersOp,
    DropFileTriggersOp,
    FileTriggersOp,
    KeepFileLedgerOp,
    UpgradeFileLedgerOp,
)
from sqlalchemy_file.ledger.tables import new_id, now_ms, this_transaction
from sqlalchemy_file.types import file_field

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
