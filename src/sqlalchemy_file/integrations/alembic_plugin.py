"""The entry point for Alembic from 1.18 on, which loads it while it is being imported itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class _Plugin(ModuleType):
    """This module, which Alembic before 1.20.1 takes for a collection of modules."""

    def __iter__(self) -> Iterator[ModuleType]:
        yield self


def setup(plugin: Any) -> None:
    """Let autogenerate compare triggers and write file columns as JSON, without an import."""
    from alembic.util import DispatchPriority  # noqa: PLC0415  Alembic is loading this module

    plugin.add_autogenerate_comparator(_compare, "schema", priority=DispatchPriority.LAST)


def _compare(context: Any, upgrade_ops: Any, schemas: Any) -> Any:
    from sqlalchemy_file.integrations.alembic.autogenerate import compare_files  # noqa: PLC0415  as above

    return compare_files(context, upgrade_ops, schemas)


sys.modules[__name__].__class__ = _Plugin
