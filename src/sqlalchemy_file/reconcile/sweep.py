"""Find objects that were stored since the last sweep and never committed.

Each storage is listed first, and the database is asked afterwards. Objects younger than the grace
period are left alone. So an upload in an open transaction is never taken for an orphan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, MetaData

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.epochs.state import checkpoint, database_id, set_checkpoint
from sqlalchemy_file.reconcile.context import (
    Bind,
    PassContext,
    context_of,
    in_batches,
    refuse_problems,
    refuse_unknown_storages,
)
from sqlalchemy_file.reconcile.deleting.open_transactions import PATIENCE
from sqlalchemy_file.reconcile.deleting.orphans import SKEW, OrphanFinder, age_limit, agreed_grace
from sqlalchemy_file.reconcile.deleting.uploads import abandoned_uploads
from sqlalchemy_file.reconcile.findings import Finding, OnProgress, Progress
from sqlalchemy_file.reconcile.keys import bound, is_ours, made_at, time_prefixes
from sqlalchemy_file.reconcile.references.counting import count_files
from sqlalchemy_file.reconcile.references.paths import has_folders
from sqlalchemy_file.reconcile.storages.clocks import agreed_now, now_here, refuse_other_time
from sqlalchemy_file.reconcile.storages.fencing import fence
from sqlalchemy_file.reconcile.storages.keeping import keeping_storages
from sqlalchemy_file.reconcile.storages.ownership import (
    Ownership,
    identities_of,
    ownership,
    refuse_overlaps,
    refuse_strangers,
    refuse_unmounted,
    sign_for,
)
from sqlalchemy_file.storage import ObjectInfo, Storage, StorageManager

BATCH_SIZE = 1000
OVERLAP = 24 * 3_600_000
"""How much of what was swept before is listed once more, in milliseconds."""


def sweep(
    bind: Bind,
    metadata: MetaData,
    *,
    others: Iterable[tuple[Bind, MetaData]] = (),
    storages: Sequence[str] | None = None,
    delete: bool = False,
    grace: float | None = None,
    adopt: bool = False,
    patience: float = PATIENCE,
    watcher: OnProgress | None = None,
) -> Iterator[Finding]:
    """Yield objects that were stored since the last sweep and never committed.

        for finding in sweep(engine, Base.metadata, delete=True): ...

    ``delete`` deletes them, and the next sweep begins where this one ended. ``grace`` is in
    seconds, at least the grace period in the database, or 0 while nobody writes. ``others`` are
    further ledgers that write to the same storages; all of them must be given. ``adopt`` says that
    this database, a copy, replaces its original and may delete its objects. Raises `LedgerError`
    and `UnknownStorageError`; then nothing is deleted.
    """
    context = context_of(bind, metadata, others)
    finders = finders_for(context, storages, delete, grace, adopt, patience)
    folders = any(map(has_folders, context.everywhere))
    for finder in finders:
        yield from _sweep(finder, folders, watcher)


def finders_for(
    context: PassContext,
    storages: Sequence[str] | None,
    delete: bool,
    grace: float | None,
    adopt: bool,
    patience: float,
) -> list[OrphanFinder]:
    """Check all that can be wrong beforehand, and return a finder for each storage."""
    if delete:
        refuse_problems(context)
    names = sorted(StorageManager.names() if storages is None else storages)
    found = {name: StorageManager.storage(name) for name in names}
    files: Counter[str] = Counter()
    keeping: set[str] = set()
    for each in context.everywhere:
        columns = count_files(each).columns
        keeping |= keeping_storages(each, columns, remember=delete)
        for column in columns:
            files[column.storage] += column.files
    refuse_unknown_storages(set(files))
    if context.has_ledger and not adopt:
        _refuse_copies(context, names)
    grace_agreed = agreed_grace(context, grace)
    before = min(age_limit(agreed_now(each), grace_agreed) for each in context.everywhere)
    owned = _owned(context, files, names, delete=delete, adopt=adopt)
    for name in names if delete else ():
        refuse_other_time(name, found[name])
    return [
        OrphanFinder(
            context, name, found[name], before, delete, name in keeping, patience, files[name],
            owned[name],
        )
        for name in names
    ]  # fmt: skip


def _owned(
    context: PassContext, files: Counter[str], names: Sequence[str], *, delete: bool, adopt: bool
) -> dict[str, Ownership]:
    """Look whose the storages are; with ``delete``, sign them and leave new tokens there."""
    refuse_overlaps(names)
    if not context.has_ledger:
        # Nothing is deleted: what a ledger has signed is reported as that one's.
        return {name: ownership(name, ()) for name in names}
    identities = identities_of(context.everywhere, adopt=adopt, writes=delete)
    owned = {name: ownership(name, identities) for name in names}
    for name in names:
        refuse_strangers(name, owned[name])
        refuse_unmounted(name, owned[name], is_used=not adopt and files[name] > 0)
    if not delete:
        return owned
    # Nothing is left in a storage that none of them has ever used.
    used = [name for name in names if files[name] or owned[name].owners]
    for each in context.everywhere:
        fence(each, used, adopt=adopt)
    identities = identities_of(context.everywhere, writes=True)
    owned = {name: replace(owned[name], identities=identities) for name in names}
    for name in used:
        sign_for(name, owned[name])
    return owned


def _refuse_copies(context: PassContext, names: Sequence[str]) -> None:
    for name in names:
        known = context.run(partial(checkpoint, ledger=context.ledger, storage=name))
        if known and known.database != context.run(partial(database_id, ledger=context.ledger)):
            raise LedgerError(
                f"the checkpoint of storage {name!r} is that of another database, and this one is "
                "a copy of it: objects that only rows of the other refer to would be deleted. If "
                "this one has replaced the other for good, pass --adopt"
            )


def _sweep(finder: OrphanFinder, folders: bool, watcher: OnProgress | None) -> Iterator[Finding]:
    context, name = finder.context, finder.storage_name
    known = context.run(partial(checkpoint, ledger=context.ledger, storage=name))
    since = 0 if known is None else max(0, known.until - OVERLAP)
    now = now_here()
    until = now + SKEW
    safe = min(finder.before, now)
    for batch in in_batches(_listing(finder.storage, since, until, folders), BATCH_SIZE):
        yield from finder.find([info for info in batch if _concerns(info.key, since)])
        reached = made_at(batch[-1].key)
        if reached is not None and not folders:
            _note(finder, min(reached, safe))
            if watcher:
                start = since or reached
                watcher(Progress(name, max(0, reached - start), max(1, now - start)))
    yield from abandoned_uploads(finder)
    _note(finder, safe)


def _note(finder: OrphanFinder, until: int) -> None:
    if finder.delete and not finder.keeps:
        ledger, name = finder.context.ledger, finder.storage_name
        finder.context.run(lambda connection: _advance(connection, ledger, name, until))


def _advance(connection: Connection, ledger: Ledger, name: str, until: int) -> None:
    known = checkpoint(connection, ledger, name)
    if known is None or known.until < until or known.database != database_id(connection, ledger):
        set_checkpoint(connection, ledger, name, until)


def _concerns(key: str, since: int) -> bool:
    """Return True if a listed key is this sweep's business: old ids are the full pass's."""
    made = made_at(key)
    return not is_ours(key) if made is None else made >= since


def _listing(storage: Storage, since: int, until: int, folders: bool) -> Iterator[ObjectInfo]:
    """Yield at least the objects whose ids were made in a span of time.

    Random ids of older versions sort behind every checkpoint, hence the end. Where keys have
    folders, everything is listed.
    """
    if folders:
        yield from storage.list()
    elif getattr(storage, "lists_from_key", True):
        yield from _until(storage.list(start_after=bound(since) if since else None), bound(until))
    else:
        for prefix in time_prefixes(since, until) if since else [""]:
            yield from _until(storage.list(prefix), bound(until))


def _until(objects: Iterator[ObjectInfo], end: str) -> Iterator[ObjectInfo]:
    for info in objects:
        if info.key >= end:
            return
        yield info
