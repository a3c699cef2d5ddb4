"""Migrations of the ledger's triggers with Alembic. Importing this in ``env.py`` registers it.

Autogenerate then writes ``op.create_file_triggers`` and ``op.drop_file_triggers`` into a migration,
drops first and creates last. `ensure_triggers` repairs the triggers after each migration: SQLite's
batch mode drops those of the table that it copies.
"""

from __future__ import annotations

from sqlalchemy_file.exceptions import MissingExtraError

try:
    import alembic.autogenerate  # noqa: F401
except ImportError as _error:
    raise MissingExtraError("sqlalchemy_file.integrations.alembic", "alembic") from _error

from sqlalchemy_file.integrations.alembic.autogenerate import (
    ensure_triggers,
    ledger_default,
    render_item,
)
from sqlalchemy_file.integrations.alembic.operations import (
    CreateFileTriggersOp,
    DropFileTriggersOp,
    UpgradeFileLedgerOp,
)

__all__ = [
    "CreateFileTriggersOp",
    "DropFileTriggersOp",
    "UpgradeFileLedgerOp",
    "ensure_triggers",
    "ledger_default",
    "render_item",
]
