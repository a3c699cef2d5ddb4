"""Autogenerate: what a migration has to change for the ledgers, and triggers after a migration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from alembic import util
from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from sqlalchemy import MetaData

from sqlalchemy_file.integrations.alembic.changes import (
    differences,
    leave_indexes_alone,
    leave_layout_alone,
)
from sqlalchemy_file.integrations.alembic.operations import (
    CreateFileTriggersOp,
    DropFileTriggersOp,
    UpgradeFileLedgerOp,
)
from sqlalchemy_file.integrations.alembic.types import use_json
from sqlalchemy_file.ledger import Ledger, ledger_of

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
