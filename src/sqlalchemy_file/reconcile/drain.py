"""Deletes the objects that the ledger has recorded and that no row refers to.

Several workers may drain at once: each leases a batch, and the lease of a killed worker expires. An
object may be deleted twice, which is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from sqlalchemy import MetaData

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.ledger.columns import all_fields, declared_storages
from sqlalchemy_file.ledger.notes import count_due, take
from sqlalchemy_file.reconcile.context import (
    Bind,
    PassContext,
    context_of,
    is_known,
    refuse_problems,
)
from sqlalchemy_file.reconcile.deleting import HELD_UP, ObjectionTo, delete_unnamed
from sqlalchemy_file.reconcile.findings import Finding, OnProgress, Progress, about
from sqlalchemy_file.reconcile.open_transactions import PATIENCE
from sqlalchemy_file.reconcile.ownership import (
    Objection,
    Ownership,
    identities_of,
    may_be_noted,
    ownership,
)
from sqlalchemy_file.tracking.claims import refuse_unmounted

BATCH_SIZE = 1000


def drain(
    bind: Bind,
    metadata: MetaData,
    *,
    others: Iterable[tuple[Bind, MetaData]] = (),
    batch_size: int = BATCH_SIZE,
    patience: float = PATIENCE,
    watcher: OnProgress | None = None,
) -> Iterator[Finding]:
    """Delete what is due now, and yield a finding for each object in the ledger.

        for finding in drain(engine, Base.metadata): ...

    Before a batch is deleted, it waits at most ``patience`` seconds for transactions that may still
    copy a row; the rest is left for later. Failures are retried after 15 seconds, then less and
    less often, up to every 6 hours; so are ``foreign`` and ``earlier`` objects. ``others`` are
    further ledgers of the same storages: objects of their rows stay. Raises `LedgerError` if
    the ledger or its triggers are not in order; then nothing is deleted.
    """
    context = context_of(bind, metadata, others)
    refuse_problems(context)
    objection_to = _objections(context)
    begun = context.now()
    due = context.ask(count_due, begun) if watcher else 0
    done = 0
    while (lease := context.ask(take, batch_size, begun)).notes:
        outcomes = delete_unnamed(context, lease, objection_to, patience)
        yield from (about(path, *outcome) for path, outcome in outcomes.items())
        done += len(lease.notes)
        if watcher:
            watcher(Progress("drain", done, max(due, done)))
        if HELD_UP in outcomes.values():
            return


def _objections(context: PassContext) -> ObjectionTo:
    fields = all_fields(context.metadata)
    choosing = declared_storages(each for each in fields if each.key is not None)
    identities = identities_of(context.everywhere, writes=True)

    @cache
    def owned(storage: str) -> Ownership | StorageError:
        try:
            found = ownership(storage, identities)
            if not found.owners:
                refuse_unmounted(found.storage, storage, lambda _: True)
        except StorageError as error:
            return error
        return found

    def objection_to(storage: str, key: str) -> Objection | None:
        if not is_known(storage):
            return "foreign", _NOT_ADDED
        if not may_be_noted(key, is_chosen=storage in choosing):
            return "foreign", _NOT_OURS
        found = owned(storage)
        return ("failed", str(found)) if isinstance(found, StorageError) else found.objection(key)

    return objection_to


_NOT_ADDED = "its storage has not been added: call StorageManager.add_storage() first"
_NOT_OURS = "its key is not one that this package makes, or that a field chooses here"
