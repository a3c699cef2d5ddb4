"""The full pass: compare all objects of a storage with all rows, in both directions.

Both sides are sorted streams that are merged, so little memory is needed. Differences are checked
again before they are reported, because rows and objects may have changed meanwhile.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from heapq import merge
from itertools import chain, groupby
from operator import itemgetter

from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError

from sqlalchemy_file.exceptions import InvalidKeyError, ObjectNotFoundError
from sqlalchemy_file.ledger.state import position, set_position
from sqlalchemy_file.observing import counted
from sqlalchemy_file.reconcile.context import Bind, context_of, in_batches
from sqlalchemy_file.reconcile.deleting import OrphanFinder, look
from sqlalchemy_file.reconcile.findings import Finding, Malformed, OnProgress, Progress
from sqlalchemy_file.reconcile.open_transactions import PATIENCE
from sqlalchemy_file.reconcile.ownership import owner
from sqlalchemy_file.reconcile.references import keys_named
from sqlalchemy_file.reconcile.sweep import finders_for
from sqlalchemy_file.storage import ObjectInfo
from sqlalchemy_file.storage.common.calling import concurrency_of
from sqlalchemy_file.transfer import Operation, carry_out

BATCH_SIZE = 1000
_REMEMBERED = 64  # keys that may stand between an object and its file of metadata

Difference = tuple[str, ObjectInfo | None]
"""A key, and the object if it is the storage that has it."""


def compare(
    bind: Bind,
    metadata: MetaData,
    *,
    others: Iterable[tuple[Bind, MetaData]] = (),
    storages: Sequence[str] | None = None,
    delete: bool = False,
    grace: float | None = None,
    adopt: bool = False,
    restart: bool = False,
    patience: float = PATIENCE,
    watcher: OnProgress | None = None,
) -> Iterator[Finding]:
    """Yield unreferenced objects, references to missing objects, and malformed values.

        for finding in compare(engine, Base.metadata):
            print(finding.kind, finding.path)

    Parameters and errors are those of `sweep`. An interrupted pass of the last day continues, if it
    was for the same storages and with the same ``delete``, unless ``restart`` is set. Without
    ``delete`` and ``adopt`` no ledger is needed. Such a pass records nothing, begins at the start
    each time, and leaves out objects younger than ``grace``, by default an hour.
    """
    context = context_of(bind, metadata, others, needs_ledger=delete or adopt)
    finders = finders_for(context, storages, delete, grace, adopt, patience)
    purpose = json.dumps([delete, sorted(storages) if storages is not None else None])
    malformed = Malformed()
    rows = [keys_named(each, malformed) for each in context.everywhere]
    yield from malformed.findings()
    # An empty key begins the group of each storage, also of one that no row refers to.
    begins = ((name, "") for name in finders)
    for name, group in groupby(merge(*rows, begins), key=itemgetter(0)):
        if name in finders:
            keys = (key for _, key in group if key)
            yield from _counted(name, _compare(finders[name], keys, purpose, restart, watcher))


def _counted(storage_name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Pass findings on, and report their number to observers at the end."""
    kinds: Counter[str] = Counter()
    for finding in findings:
        kinds[finding.kind] += 1
        yield finding
    counted("orphans", kinds["orphan"], storage_name)
    counted("dangling", kinds["dangling"], storage_name)


class Merger:
    """Compares the sorted keys of rows with sorted objects, which come in batches.

    A key may occur more than once. Files of metadata belong to their objects.
    """

    def __init__(self, named: Iterable[str]) -> None:
        self._named = (key for key, _ in groupby(named))
        self._key = next(self._named, None)
        self._matched: deque[str] = deque(maxlen=_REMEMBERED)

    def against(self, objects: Iterable[ObjectInfo]) -> Iterator[Difference]:
        """Yield what only one side has, up to the last of these objects."""
        for info in objects:
            there = info.key
            while self._key is not None and self._key < there:
                yield self._key, None
                self._key = next(self._named, None)
            if self._key == there:
                self._matched.append(there)
                self._key = next(self._named, None)
            elif owner(there) == there or owner(there) not in self._matched:
                yield there, info

    def rest(self) -> Iterator[Difference]:
        """Yield the keys behind the last object."""
        while self._key is not None:
            yield self._key, None
            self._key = next(self._named, None)


def _compare(
    finder: OrphanFinder,
    keys: Iterator[str],
    purpose: str,
    restart: bool,
    watcher: OnProgress | None,
) -> Iterator[Finding]:
    reached = _position(finder, purpose, restart)
    begin = reached or ""
    merger = Merger(key for key in keys if key > begin)
    pending: list[Difference] = []
    count = 0
    try:
        for batch in in_batches(finder.storage.list(start_after=reached), BATCH_SIZE):
            pending += merger.against(batch)
            if len(pending) >= BATCH_SIZE:
                yield from _differing(finder, pending)
                pending.clear()
            reached = reached if pending else batch[-1].key
            count += len(batch)
            if watcher:
                watcher(Progress(finder.storage_name, count, max(count, finder.files)))
        for more in in_batches(chain(pending, merger.rest()), BATCH_SIZE):
            yield from _differing(finder, more)
        yield from finder.abandoned_uploads()
        reached = None
    finally:
        _note_position(finder, purpose, reached)


def _position(finder: OrphanFinder, purpose: str, restart: bool) -> str | None:
    """Return the last key of an interrupted pass that is to go on."""
    if restart or not finder.context.has_ledger:
        return None
    return finder.context.ask(position, finder.storage_name, purpose)


def _note_position(finder: OrphanFinder, purpose: str, reached: str | None) -> None:
    """Record the position of the pass, if it may write."""
    if finder.context.has_ledger:
        try:
            finder.context.ask(set_position, finder.storage_name, purpose, reached)
        except DBAPIError:
            if finder.delete:
                raise


def _differing(finder: OrphanFinder, differences: Sequence[Difference]) -> Iterator[Finding]:
    yield from finder.find([info for _, info in differences if info is not None])
    missing = _missing(finder, [key for key, info in differences if info is None])
    named = look(
        finder.context, {f"{finder.storage_name}/{key}" for key in missing}, entries=False
    ).named
    for key in missing:
        if f"{finder.storage_name}/{key}" in named:
            yield Finding(kind="dangling", storage=finder.storage_name, key=key)


def _missing(finder: OrphanFinder, keys: Sequence[str]) -> list[str]:
    """Return which of these objects the storage does not have."""
    asked = [Operation(partial(finder.storage.stat, key)) for key in keys]
    outcomes = carry_out(asked, limit=concurrency_of(finder.storage), go_on=True)
    missing: list[str] = []
    for key, outcome in zip(keys, outcomes, strict=True):
        if isinstance(outcome.error, ObjectNotFoundError | InvalidKeyError):
            missing.append(key)
        elif outcome.error is not None:
            raise outcome.error
    return missing
