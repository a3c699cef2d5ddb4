"""Deletes the objects that the ledger has recorded and that no row refers to.

Several workers may drain at once: each leases a batch, and the lease of a killed worker expires. An
object may be deleted twice, which is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from sqlalchemy import MetaData

from sqlalchemy_file.reconcile.context import Bind, context_of, refuse_problems
from sqlalchemy_file.reconcile.deleting.confirming import settle
from sqlalchemy_file.reconcile.deleting.leases import count_due, take
from sqlalchemy_file.reconcile.deleting.open_transactions import PATIENCE
from sqlalchemy_file.reconcile.findings import Finding, OnProgress, Progress
from sqlalchemy_file.reconcile.keys import may_be_noted
from sqlalchemy_file.reconcile.references.paths import choosing_storages
from sqlalchemy_file.reconcile.storages.ownership import Objections, identities_of

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
    further ledgers of the same storages: what their rows refer to stays. Raises `LedgerError` if
    the ledger or its triggers are not in order; then nothing is deleted.
    """
    context = context_of(bind, metadata, others)
    refuse_problems(context)
    choosing = choosing_storages(context)
    objection = Objections(identities_of(context.everywhere, writes=True))

    def is_ours(storage: str, key: str) -> bool:
        return may_be_noted(key, is_chosen=storage in choosing)

    begun = context.now()
    due = context.run(partial(count_due, ledger=context.ledger, until=begun)) if watcher else 0
    done = 0
    leasing = partial(take, ledger=context.ledger, limit=batch_size, until=begun)
    while (lease := context.run(leasing)).notes:
        settled = settle(context, lease, is_ours, objection, patience)
        yield from settled.findings
        done += len(lease.notes)
        if watcher:
            watcher(Progress("drain", done, max(due, done)))
        if settled.is_held_up:
            return
