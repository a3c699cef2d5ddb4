"""Find storages that may contain objects left by fields with ``on_release="keep"``.

Unless a session has recorded it, such an object looks like one that was never committed. A storage
may contain such objects if a keeping field uses it, or if rows of a keeping column refer to it, now
or at an earlier sweep, and if no other field is declared to use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.columns import all_fields, all_file_columns, declared_storages, keeps
from sqlalchemy_file.ledger.epochs.state import load, save
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.references.rows import Named
from sqlalchemy_file.storage import StorageManager

_KEEPING = "keeping"


def keeping_storages(context: PassContext, columns: Iterable[Named], *, remember: bool) -> set[str]:
    """Return these storages; with ``remember``, record what rows refer to for later sweeps."""
    keeping = set(_keeping_columns(context))
    if not keeping:
        return set()
    fields = list(all_fields(context.metadata))
    used = declared_storages(field for field in fields if field.on_release == "keep")
    others = declared_storages(field for field in fields if field.on_release != "keep")
    used.update(each.storage for each in columns if (each.table, each.column) in keeping)
    known = context.ask(_remembered, used if remember else set()) if context.has_ledger else set()
    # Files are placed elsewhere by File(storage=...), and by what was the default before.
    return used | known | (set(StorageManager.names()) - others)


def _keeping_columns(context: PassContext) -> Iterator[tuple[str, str]]:
    for table, columns in all_file_columns(context.metadata):
        yield from ((table.fullname, column.name) for column in columns if keeps(column))


def _remembered(connection: Connection, ledger: Ledger, seen: set[str]) -> set[str]:
    known: set[str] = set(load(connection, ledger, _KEEPING) or [])
    if not seen <= known:
        save(connection, ledger, _KEEPING, sorted(known | seen))
    return known
