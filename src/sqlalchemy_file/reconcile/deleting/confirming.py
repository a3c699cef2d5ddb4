"""Settles leased notes: looks at what is true of each object, and deletes what may be deleted.

The order is what makes it safe. The notes of these paths are read; every transaction that is open
then is waited for; one snapshot tells what rows name, and whether there is a note that was not
there before. Whoever removes a name leaves such a note, and whoever began after the wait can have
seen no name that the snapshot has not, unless there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from sqlalchemy_file.exceptions import InvalidKeyError
from sqlalchemy_file.ledger import Ledger, named_paths
from sqlalchemy_file.ledger.notes import Note, kept, visible
from sqlalchemy_file.reconcile.context import PassContext, is_known
from sqlalchemy_file.reconcile.deleting.deciding import Facts, verdict
from sqlalchemy_file.reconcile.deleting.leases import (
    FIRST_WAIT,
    Lease,
    finish,
    give_back,
    put_off,
)
from sqlalchemy_file.reconcile.deleting.open_transactions import wait
from sqlalchemy_file.reconcile.findings import Finding, about
from sqlalchemy_file.reconcile.keys import owner
from sqlalchemy_file.reconcile.references.snapshot import in_snapshot
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.tracking.deleting.deletion import delete_objects

Objection = Callable[[str, str], tuple[str, str] | None]
"""Tells of a storage and a key why the object is not to be deleted by this pass, if so."""

IsOurs = Callable[[str, str], bool]
"""Tells whether a key of a storage is one that may be deleted."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of leased notes; ``is_held_up`` where open transactions did not end in time."""

    findings: Sequence[Finding]
    is_held_up: bool = False


def settle(
    context: PassContext, lease: Lease, is_ours: IsOurs, objection: Objection, patience: float
) -> Settled:
    """Delete the objects of leased notes that no row names, and return what became of each."""
    try:
        return _settled(context, lease, is_ours, objection, patience)
    except BaseException:
        context.run(partial(give_back, ledger=context.ledger, lease=lease))
        raise


def named_now(context: PassContext, paths: Collection[str]) -> set[str]:
    """Return which of these paths rows name, in one snapshot.

    A file of metadata is named with the object that it belongs to.
    """
    if not paths:
        return set()
    return {
        path
        for each in context.everywhere
        for path in in_snapshot(each, partial(_named, context=each, paths=paths))
    }


def kept_now(context: PassContext, paths: Collection[str]) -> set[str]:
    """Return which of these objects stay because a field that keeps them has released them.

    A file of metadata stays with the object that it belongs to.
    """
    if not paths:
        return set()
    asked = {*paths, *map(owner, paths)}
    staying = {
        path
        for each in context.everywhere
        if each.has_ledger
        for path in each.run(partial(kept, ledger=each.ledger, paths=asked))
    }
    return {path for path in paths if _holds(staying, path)}


def _settled(
    context: PassContext, lease: Lease, is_ours: IsOurs, objection: Objection, patience: float
) -> Settled:
    ledger = context.ledger
    paths = list(dict.fromkeys(note.path for note in lease.notes))
    objections = {path: objection(*StorageManager.resolve(path)) for path in paths}
    before = [each.run(partial(_notes, context=each, paths=paths)) for each in context.everywhere]
    if not all(wait(each, patience) for each in context.everywhere):
        context.run(partial(give_back, ledger=ledger, lease=lease, wait=FIRST_WAIT))
        return Settled([about("waiting", path, _HELD_UP) for path in paths], True)
    named, moving, staying = set[str](), set[str](), set[str]()
    for each, known in zip(context.everywhere, before, strict=True):
        names, notes = in_snapshot(each, partial(_seen, context=each, paths=paths))
        named |= names
        moving |= {note.path for id_, note in notes.items() if id_ not in known}
        staying |= {note.path for note in notes.values() if note.is_kept}
    found = {
        path: replace(
            _facts(path, is_ours, objections[path], path in named, _holds(moving, path)),
            is_kept=_holds(staying, path),
        )
        for path in paths
    }
    outcomes = {path: verdict(facts) for path, facts in found.items()}
    doomed = [path for path, (kind, _) in outcomes.items() if kind == "deleted"]
    outcomes |= _deleted(lease, doomed)
    context.run(partial(_note_outcomes, ledger=ledger, lease=lease, outcomes=outcomes))
    return Settled([about(kind, path, why) for path, (kind, why) in outcomes.items()])


def _facts(
    path: str,
    is_ours: IsOurs,
    objection: tuple[str, str] | None,
    is_named: bool,
    is_moving: bool,
) -> Facts:
    storage, key = StorageManager.resolve(path)
    return Facts(
        is_added=is_known(storage),
        is_ours=is_ours(storage, key),
        objection=objection,
        is_named=is_named,
        is_moving=is_moving,
    )


def _notes(connection: Connection, context: PassContext, paths: Sequence[str]) -> dict[Any, Note]:
    asked = {*paths, *map(owner, paths)}
    return {note.id: note for note in visible(connection, context.ledger, asked)}


def _seen(
    connection: Connection, context: PassContext, paths: Sequence[str]
) -> tuple[set[str], dict[Any, Note]]:
    """Return which paths rows name, and their notes."""
    return _named(connection, context, paths), _notes(connection, context, paths)


def _named(connection: Connection, context: PassContext, paths: Collection[str]) -> set[str]:
    named = named_paths(connection, context.metadata, {*paths, *map(owner, paths)})
    return {path for path in paths if _holds(named, path)}


def _holds(found: Collection[str], path: str) -> bool:
    """Return whether an object is among these, or the one that a file of metadata belongs to."""
    return path in found or owner(path) in found


def _deleted(lease: Lease, paths: Sequence[str]) -> Iterator[tuple[str, _Outcome]]:
    """Delete objects, and yield the failures."""
    if not lease.is_fresh:
        yield from ((path, ("waiting", _LATE)) for path in paths)
        return
    failures = delete_objects(paths)
    refused = [path for path in failures if isinstance(failures[path], InvalidKeyError)]
    if len(refused) > 1:  # one key that a storage refuses fails all of the same request
        for path in refused:
            failures.pop(path)
            failures |= delete_objects([path])
    yield from ((path, ("failed", _told(error))) for path, error in failures.items())


def _note_outcomes(
    connection: Connection,
    ledger: Ledger,
    lease: Lease,
    outcomes: Mapping[str, _Outcome],
) -> None:
    done = {path for path, (kind, _) in outcomes.items() if kind in ("deleted", "named", "kept")}
    finish(connection, ledger, lease, done)
    reasons = {
        path: None if kind == "waiting" else why
        for path, (kind, why) in outcomes.items()
        if path not in done
    }
    put_off(connection, ledger, lease, reasons)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


_Outcome = tuple[str, str | None]
_HELD_UP = "transactions are open that began before; it will be tried again"
_LATE = "its turn came too late to be deleted safely; it will be tried again"
