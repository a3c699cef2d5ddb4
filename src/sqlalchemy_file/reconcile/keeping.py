"""Find storages that may contain objects left by fields with ``on_release="keep"``.

Unless a session has recorded it, such an object looks like one that was never committed. A storage
may contain such objects if a keeping field uses it, or if rows of a keeping column refer to it, now
or at an earlier sweep, and if no other field is declared to use it.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    keeping = {
        (table.fullname, column.name)
        for table, columns in all_file_columns(context.metadata)
        for column in columns
        if keeps(column)
    }
    if not keeping:
        return set()
    fields = list(all_fields(context.metadata))
    used = declared_storages(field for field in fields if field.on_release == "keep")
    others = declared_storages(field for field in fields if field.on_release != "keep")
    used.update(each.storage for each in columns if (each.table, each.column) in keeping)
    known = context.ask(_remembered, used if remember else set()) if context.has_ledger else set()
    # File(storage=...), and earlier defaults, place files elsewhere.
    return used | known | (set(StorageManager.names()) - others)


def _remembered(connection: Connection, ledger: Ledger, seen: set[str]) -> set[str]:
    known: set[str] = set(load(connection, ledger, _KEEPING) or [])
    if not seen <= known:
        save(connection, ledger, _KEEPING, sorted(known | seen))
    return known
