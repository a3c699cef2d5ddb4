"""Find storages that may contain objects left by fields with ``on_release="keep"``.

Unless a session has recorded it, such an object looks like one that was never committed. A storage
may contain such objects if a keeping field uses it, or if rows of a keeping column refer to it, now
or at an earlier sweep, and if no other field is declared to use it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial

from sqlalchemy import Connection

from sqlalchemy_file.ledger.columns import all_file_columns, declared_storages
from sqlalchemy_file.ledger.epochs.state import read_all, write
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.references.counting import Named
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.types import file_field

_KEEPING = "keeping"


def keeping_storages(context: PassContext, columns: Iterable[Named], *, remember: bool) -> set[str]:
    """Return these storages; with ``remember``, take note of what rows name for later sweeps."""
    fields = {
        (table.fullname, column.name): field
        for table, file_columns in all_file_columns(context.metadata)
        for column in file_columns
        if (field := file_field(column.type)) is not None
    }
    keeping = [field for field in fields.values() if field.on_release == "keep"]
    if not keeping:
        return set()
    deleting = [field for field in fields.values() if field.on_release != "keep"]
    others = {name for field in deleting for name in declared_storages(field)}
    used = {name for field in keeping for name in declared_storages(field)}
    named = {
        each.storage for each in columns if fields[each.table, each.column].on_release == "keep"
    }
    known = _known(context, named | used if remember else set())
    # Files are placed elsewhere by File(storage=...), and by what was the default before.
    return used | named | known | (set(StorageManager.names()) - others)


def _known(context: PassContext, seen: set[str]) -> set[str]:
    if not context.has_ledger:
        return set()
    return context.run(partial(_remembered, context=context, seen=seen))


def _remembered(connection: Connection, context: PassContext, seen: set[str]) -> set[str]:
    ledger = context.ledger
    known = set(json.loads(read_all(connection, ledger, [_KEEPING]).get(_KEEPING, "[]")))
    if not seen <= known:
        write(connection, ledger, _KEEPING, json.dumps(sorted(known | seen)))
    return known
