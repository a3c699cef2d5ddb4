"""The changes of triggers that a migration has to make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations import ops as alembic_ops
from sqlalchemy import Connection

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.columns import FileColumns
from sqlalchemy_file.ledger.installing import fed_tables, indexes_of
from sqlalchemy_file.ledger.triggers import kind_of


def leave_layout_alone(ledger: Ledger, upgrade_ops: Any, *, has_upgrade: bool) -> None:
    """Remove changes of the ledger's own tables: the ledger makes them itself.

    New indexes stay: autogenerate lists those of a new table apart from it. On SQLite, the
    upgrade of an earlier layout creates them itself.
    """
    own = {(each.schema, each.name) for each in (ledger.releases, ledger.state)}
    for table in [each for each in upgrade_ops.ops if isinstance(each, alembic_ops.ModifyTableOps)]:
        if (table.schema, table.table_name) in own:
            table.ops[:] = [] if has_upgrade else _new_indexes(table.ops)
            if not table.ops:
                upgrade_ops.ops.remove(table)


def _new_indexes(operations: Sequence[MigrateOperation]) -> list[MigrateOperation]:
    """Return the creations of indexes, except those that replace one that only looks different."""
    replaced = {each.index_name for each in operations if isinstance(each, alembic_ops.DropIndexOp)}
    return [
        each
        for each in operations
        if isinstance(each, alembic_ops.CreateIndexOp) and each.index_name not in replaced
    ]


def leave_indexes_alone(upgrade_ops: Any) -> None:
    """Remove drops of the ledger's own indexes, which no metadata knows."""
    for table in [each for each in upgrade_ops.ops if isinstance(each, alembic_ops.ModifyTableOps)]:
        table.ops[:] = [
            each
            for each in table.ops
            if not (
                isinstance(each, alembic_ops.DropIndexOp)
                and kind_of(str(each.index_name)) == "index"
            )
        ]
        if not table.ops:
            upgrade_ops.ops.remove(table)


def differences(
    context: AutogenContext, ledger: Ledger, upgrade_ops: Any
) -> Iterator[tuple[FileColumns | None, FileColumns | None]]:
    """Yield the present and the wanted triggers of each table that needs a change.

    An entry is None where there are none, or should be none.
    """
    connection = context.connection
    if connection is None:
        return
    present = _by_table(fed_tables(connection, ledger.releases.schema))
    renewed = set(_by_table(ledger.stale_tables(connection)))
    if connection.dialect.name == "sqlite":  # only there altering may mean to copy the table
        renewed |= _tables_of(upgrade_ops, alembic_ops.ModifyTableOps)
    wanted = _by_table(ledger.released_columns(connection))
    for key, new in wanted.items():
        old = present.get(key)
        if old != new or key in renewed:
            yield _with_indexes(connection, old), new
    known = _tables_of(upgrade_ops, alembic_ops.DropTableOp)
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
