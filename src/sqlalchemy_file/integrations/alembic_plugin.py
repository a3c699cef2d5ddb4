"""The entry point for Alembic, from 1.18 on: what it loads while it is being imported itself."""

from __future__ import annotations

from typing import Any


def setup(plugin: Any) -> None:
    """Let autogenerate compare triggers and write file columns as JSON, without an import."""
    from alembic.util import DispatchPriority  # noqa: PLC0415  Alembic is loading this module

    plugin.add_autogenerate_comparator(_compare, "schema", priority=DispatchPriority.LAST)


def _compare(context: Any, upgrade_ops: Any, schemas: Any) -> Any:
    from sqlalchemy_file.integrations.alembic import compare_files  # noqa: PLC0415  as above

    return compare_files(context, upgrade_ops, schemas)
