"""Detect a database that was restored, or whose copy has swept.

Each sweep that deletes leaves a new token in the storage, which the database knows before. A
database that finds an unknown token is older than the storage, and begins a new epoch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from uuid import uuid4

from sqlalchemy import Connection

from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.epochs.identity import begin_epoch
from sqlalchemy_file.ledger.epochs.state import ledger_id, read_all, write
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.protocol import named
from sqlalchemy_file.storage.owners import note_of, write_note
from sqlalchemy_file.transfer import run_blocking

_TOKENS, _KEPT = "tokens:", 16


def fence(context: PassContext, storage_names: Iterable[str], *, adopt: bool) -> None:
    """Leave new tokens in storages; begin a new epoch where an unknown one was left before."""
    for name in storage_names:
        storage, token = StorageManager.storage(name), uuid4().hex
        own = context.run(partial(ledger_id, ledger=context.ledger))
        with named(name):
            found = run_blocking(partial(note_of, storage, f"{own}.token"))
        known = context.run(partial(_issue, ledger=context.ledger, storage=name, token=token))
        if found is not None and found.decode("ascii", "replace") not in known and not adopt:
            context.run(partial(begin_epoch, ledger=context.ledger))
        with named(name):
            run_blocking(partial(write_note, storage, f"{own}.token", token.encode()))


def _issue(connection: Connection, ledger: Ledger, storage: str, token: str) -> list[str]:
    """Note a token before it is left anywhere, and return those that were known."""
    name = f"{_TOKENS}{storage}"
    known: list[str] = json.loads(read_all(connection, ledger, [name]).get(name, "[]"))
    write(connection, ledger, name, json.dumps([*known, token][-_KEPT:]))
    return known
