"""Find objects that were stored since the last sweep and never committed.

Each storage is listed first, and the database is asked afterwards. Objects younger than the grace
period are left alone. So an upload in an open transaction is never taken for an orphan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.columns import all_fields, all_file_columns, declared_storages, keeps
from sqlalchemy_file.ledger.identity import database_id
from sqlalchemy_file.ledger.state import checkpoint, load, save, set_checkpoint
from sqlalchemy_file.reconcile.ages import SKEW, age_limit, now_here, refuse_other_time
from sqlalchemy_file.reconcile.context import (
    Bind,
    PassContext,
    context_of,
    in_batches,
    refuse_missing_columns,
    refuse_problems,
    refuse_unknown_storages,
)
from sqlalchemy_file.reconcile.deleting import OrphanFinder
from sqlalchemy_file.reconcile.findings import Finding, OnProgress, Progress
from sqlalchemy_file.reconcile.open_transactions import PATIENCE
from sqlalchemy_file.reconcile.ownership import (
    Ownership,
    fence,
    identities_of,
    is_ours,
    made_at,
    ownership,
    refuse_overlaps,
    refuse_strangers,
    sign_for,
)
from sqlalchemy_file.reconcile.references import Named, count_files
from sqlalchemy_file.storage import ObjectInfo, Storage, StorageManager
from sqlalchemy_file.tracking.claims import refuse_unmounted

BATCH_SIZE = 1000
OVERLAP = 24 * 3_600_000
"""How far before the end of the last sweep the next one begins, in milliseconds."""

_KEEPING = "keeping"
_MAX_REQUESTS = 24


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
    fields = (field for each in context.everywhere for field in all_fields(each.metadata))
    folders = any(field.key is not None for field in fields)
    for finder in finders.values():
        yield from _sweep(finder, folders, watcher)


def finders_for(
    context: PassContext,
    storages: Sequence[str] | None,
    delete: bool,
    grace: float | None,
    adopt: bool,
    patience: float,
) -> dict[str, OrphanFinder]:
    """Check all that can be wrong beforehand, and return a finder for each storage, in order."""
    if delete:
        refuse_problems(context)
    names = sorted(set(StorageManager.names() if storages is None else storages))
    all_storages = {name: StorageManager.storage(name) for name in names}
    files, keeping = _counted(context, remember=delete)
    refuse_unknown_storages(set(files))
    if context.has_ledger and not adopt:
        _refuse_copies(context, names)
    before = age_limit(context, grace)
    owned = _owned(context, files, names, delete=delete, adopt=adopt)
    if delete:
        owned = _taken(context, files, owned, adopt=adopt)
        for name, storage in all_storages.items():
            refuse_other_time(name, storage)
    return {
        name: OrphanFinder(
            context=context,
            storage_name=name,
            before=before,
            delete=delete,
            keeps=name in keeping,
            patience=patience,
            files=files[name],
            ownership=owned[name],
        )
        for name in names
    }


def _counted(context: PassContext, *, remember: bool) -> tuple[Counter[str], set[str]]:
    """Return the number of files by storage, and the storages with objects that are kept."""
    files: Counter[str] = Counter()
    keeping: set[str] = set()
    for each in context.everywhere:
        try:
            columns = count_files(each).columns
        except DBAPIError:
            each.run(partial(refuse_missing_columns, metadata=each.metadata))
            raise
        keeping |= _keeping(each, columns, remember=remember)
        for column in columns:
            files[column.storage] += column.files
    return files, keeping


def _keeping(context: PassContext, columns: Iterable[Named], *, remember: bool) -> set[str]:
    """Return storages that may contain objects left by fields with ``on_release="keep"``.

    Unless a session has recorded it, such an object looks like an orphan. Those are the storages
    that keeping fields use, or to which rows of keeping columns refer, now or at an earlier sweep,
    and those that no other field is declared to use. With ``remember``, the references of rows are
    recorded for later sweeps.
    """
    keeping = _keeping_columns(context.metadata)
    if not keeping:
        return set()
    fields = list(all_fields(context.metadata))
    used = declared_storages(field for field in fields if field.on_release == "keep")
    others = declared_storages(field for field in fields if field.on_release != "keep")
    used.update(each.storage for each in columns if (each.table, each.column) in keeping)
    known = context.ask(_remembered, used if remember else set()) if context.has_ledger else set()
    # File(storage=...), and earlier defaults, place files elsewhere.
    return used | known | (set(StorageManager.names()) - others)


def _keeping_columns(metadata: MetaData) -> set[tuple[str, str]]:
    return {
        (table.fullname, column.name)
        for table, columns in all_file_columns(metadata)
        for column in columns
        if keeps(column)
    }


def _remembered(connection: Connection, ledger: Ledger, seen: set[str]) -> set[str]:
    known: set[str] = set(load(connection, ledger, _KEEPING) or [])
    if not seen <= known:
        save(connection, ledger, _KEEPING, sorted(known | seen))
    return known


def _owned(
    context: PassContext, files: Counter[str], names: Sequence[str], *, delete: bool, adopt: bool
) -> dict[str, Ownership]:
    """Return the owners of storages; raises an error for one with others, too."""
    refuse_overlaps(names)
    if not context.has_ledger:
        # Nothing is deleted, and objects of ledgers are reported as foreign.
        return {name: ownership(name, ()) for name in names}
    identities = identities_of(context.everywhere, adopt=adopt, writes=delete)
    owned = {name: ownership(name, identities) for name in names}
    for name in names:
        refuse_strangers(name, owned[name])
        if not adopt and not owned[name].owners:
            refuse_unmounted(owned[name].storage, name, lambda name: files[name] > 0)
    return owned


def _taken(
    context: PassContext, files: Counter[str], owned: dict[str, Ownership], *, adopt: bool
) -> dict[str, Ownership]:
    """Sign the storages that are in use, and leave new tokens there; return the new owners."""
    used = [name for name in owned if files[name] or owned[name].owners]
    for each in context.everywhere:
        fence(each, used, adopt=adopt)
    identities = identities_of(context.everywhere, writes=True)
    owned = {name: replace(each, identities=identities) for name, each in owned.items()}
    for name in used:
        sign_for(name, owned[name])
    return owned


def _refuse_copies(context: PassContext, names: Sequence[str]) -> None:
    for name in names:
        known = context.ask(checkpoint, name)
        if known and known.database != context.ask(database_id):
            raise LedgerError(
                f"the checkpoint of storage {name!r} is that of another database, and this one is "
                "a copy of it: objects that only rows of the other refer to would be deleted. If "
                "this one has replaced the other for good, pass --adopt"
            )


def _sweep(finder: OrphanFinder, folders: bool, watcher: OnProgress | None) -> Iterator[Finding]:
    context, name = finder.context, finder.storage_name
    known = context.ask(checkpoint, name)
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
    yield from finder.abandoned_uploads()
    _note(finder, safe)


def _note(finder: OrphanFinder, until: int) -> None:
    if finder.delete and not finder.keeps:
        finder.context.ask(_advance, finder.storage_name, until)


def _advance(connection: Connection, ledger: Ledger, name: str, until: int) -> None:
    known, database = checkpoint(connection, ledger, name), database_id(connection, ledger)
    if known is None or known.until < until or known.database != database:
        set_checkpoint(connection, ledger, name, until, database)


def _concerns(key: str, since: int) -> bool:
    """Return True if a key concerns this sweep: old ids are left to the full pass."""
    made = made_at(key)
    return not is_ours(key) if made is None else made >= since


def _listing(storage: Storage, since: int, until: int, folders: bool) -> Iterator[ObjectInfo]:
    """Yield at least the objects whose ids were made in a span of time; all if keys have folders.

    Random ids of older versions sort behind every checkpoint, so the listing needs an end.
    """
    if folders:
        yield from storage.list()
    elif getattr(storage, "lists_from_key", True):
        yield from _until(storage.list(start_after=bound(since) if since else None), bound(until))
    else:
        for prefix in time_prefixes(since, until) if since else [""]:
            yield from _until(storage.list(prefix), bound(until))


def _until(objects: Iterator[ObjectInfo], end: str) -> Iterator[ObjectInfo]:
    return takewhile(lambda info: info.key < end, objects)


def bound(milliseconds: int) -> str:
    """Return the beginning of every id made at a time: it sorts after all earlier ids."""
    digits = f"{max(0, milliseconds):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def time_prefixes(since: int, until: int) -> Iterator[str]:
    """Yield, in order, a few prefixes of all ids made in a span of milliseconds."""
    for digits in range(8, -1, -1):
        width = 4 * (12 - digits)
        first, last = max(0, since) >> width, max(0, until) >> width
        if last - first < _MAX_REQUESTS:
            break
    for number in range(first, last + 1):
        yield f"{number:0{digits}x}" if digits else ""
