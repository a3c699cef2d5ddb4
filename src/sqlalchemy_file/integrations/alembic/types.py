"""Migrations with file columns as plain JSON, which run without this package."""

from __future__ import annotations

from typing import Any

from alembic.operations import ops
from sqlalchemy import JSON, Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from sqlalchemy_file.types import file_field


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
