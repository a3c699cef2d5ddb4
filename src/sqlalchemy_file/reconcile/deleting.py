"""Find orphans, confirm that no row refers to an object, and delete it.

The order makes it safe. The entries of these paths are read; the transactions that are open then
end; one snapshot shows the references of rows, and new entries. A transaction that removes a
reference leaves an entry. So without a new entry, a transaction that began after the wait has seen
no reference that the snapshot lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from sqlalchemy_file.exceptions import InvalidKeyError, StorageError
from sqlalchemy_file.ledger import Ledger, named_paths
from sqlalchemy_file.ledger.notes import FIRST_WAIT, Lease, Note, add, finish, give_back, visible
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.findings import Finding, about_object
from sqlalchemy_file.reconcile.open_transactions import wait
from sqlalchemy_file.reconcile.ownership import Objection, Ownership, is_ours, made_at, owner
from sqlalchemy_file.reconcile.references import snapshot
from sqlalchemy_file.storage import ObjectInfo, Storage, StorageManager
from sqlalchemy_file.storage.common.protocol import HasUploads, PendingUpload
from sqlalchemy_file.tracking.deletion import delete_objects
from sqlalchemy_file.transfer import run_blocking

ObjectionTo = Callable[[str, str], Objection | None]
"""Returns why the object of a storage and a key must not be deleted; None if it may."""

Outcomes = dict[str, tuple[str, str | None]]
"""By path, the kind of a `Finding`, and its detail."""


class Seen(NamedTuple):
    """The objects that rows refer to, those kept on purpose, and the entries of each ledger."""

    named: set[str]
    kept: set[str]
    notes: list[dict[Any, Note]]


def delete_unnamed(
    context: PassContext, lease: Lease, objection_to: ObjectionTo, patience: float
) -> Outcomes:
    """Delete the objects of leased entries that no row refers to.

    All outcomes are `HELD_UP` if open transactions did not end in time.
    """
    try:
        return _outcomes(context, lease, objection_to, patience)
    except BaseException:
        context.ask(give_back, lease)
        raise


def _outcomes(
    context: PassContext, lease: Lease, objection_to: ObjectionTo, patience: float
) -> Outcomes:
    paths = list(dict.fromkeys(note.path for note in lease.notes))
    objections = {path: objection_to(*StorageManager.resolve(path)) for path in paths}
    before = [each.ask(_notes, paths) for each in context.everywhere]
    if not all(wait(each, patience) for each in context.everywhere):
        context.ask(give_back, lease, wait=FIRST_WAIT)
        return dict.fromkeys(paths, HELD_UP)
    seen = look(context, paths)
    pairs = zip(seen.notes, before, strict=True)
    new = {note.path for now, known in pairs for id_, note in now.items() if id_ not in known}
    moving = _among(paths, new)
    outcomes = {
        path: _decide(path, objection, seen, moving) for path, objection in objections.items()
    }
    outcomes |= _deleted(lease, outcomes)
    context.ask(finish, lease, _errors(outcomes))
    return outcomes


def _errors(outcomes: Outcomes) -> dict[str, str | None]:
    """Return the errors of the paths whose entries stay."""
    return {
        path: None if kind == "waiting" else why
        for path, (kind, why) in outcomes.items()
        if kind not in _DONE
    }


def _decide(
    path: str, objection: Objection | None, seen: Seen, moving: Collection[str]
) -> Objection:
    """Return what should become of an object. A row that refers to it counts first."""
    if path in seen.named:
        return "named", None
    if objection is not None:
        return objection
    if path in seen.kept:
        return "kept", None
    return ("waiting", _MOVING) if path in moving else _DELETED


def look(
    context: PassContext, paths: Collection[str], *, references: bool = True, entries: bool = True
) -> Seen:
    """Read the references to some objects, and their entries, in one snapshot of each database."""
    named: set[str] = set()
    notes: list[dict[Any, Note]] = []
    for each in context.everywhere if paths else ():
        with snapshot(each) as connection:
            if references:
                named |= named_paths(connection, each.metadata, {*paths, *map(owner, paths)})
            reads = entries and each.has_ledger
            notes.append(_notes(connection, each.ledger, paths) if reads else {})
    kept = {note.path for each in notes for note in each.values() if note.is_kept}
    return Seen(_among(paths, named), _among(paths, kept), notes)


def _notes(connection: Connection, ledger: Ledger, paths: Collection[str]) -> dict[Any, Note]:
    asked = {*paths, *map(owner, paths)}
    return {note.id: note for note in visible(connection, ledger, asked)}


def _among(paths: Collection[str], found: Collection[str]) -> set[str]:
    """Return the paths that were found, and those whose file of metadata belongs to a found one."""
    return {path for path in paths if path in found or owner(path) in found}


def _deleted(lease: Lease, outcomes: Outcomes) -> Outcomes:
    """Delete the objects that may be deleted; return the outcomes of those that stay."""
    paths = [path for path, outcome in outcomes.items() if outcome == _DELETED]
    if not lease.is_fresh:
        return dict.fromkeys(paths, ("waiting", _LATE))
    failures = delete_objects(paths)
    refused = [path for path in failures if isinstance(failures[path], InvalidKeyError)]
    if len(refused) > 1:  # one refused key fails all keys of the same request
        for path in refused:
            failures.pop(path)
            failures |= delete_objects([path])
    return {
        path: ("failed", f"{type(error).__name__}: {error}") for path, error in failures.items()
    }


HELD_UP: Objection = ("waiting", "transactions are open that began before; it will be tried again")
_DELETED: Objection = ("deleted", None)
_DONE = ("deleted", "named", "kept")
_LATE = "its turn came too late to be deleted safely; it will be tried again"
_MOVING = "rows that name it come and go; it will be tried again"


@dataclass(frozen=True, slots=True)
class OrphanFinder:
    """The settings of one pass for one storage.

    ``before`` is the age limit in milliseconds, ``files`` the number of files of rows; ``keeps``
    says that the storage may contain objects that are kept on purpose.
    """

    context: PassContext
    storage_name: str
    before: int
    delete: bool
    keeps: bool
    patience: float
    files: int
    ownership: Ownership

    @property
    def storage(self) -> Storage:
        return self.ownership.storage

    def find(self, objects: Sequence[ObjectInfo]) -> list[Finding]:
        """Return the findings of these objects; with ``delete``, delete them first."""
        old = {f"{self.storage_name}/{each.key}": each for each in filter(self._is_old, objects)}
        named = look(self.context, old, entries=False).named  # most objects have a row
        objections = {
            path: self._objection(info.key) for path, info in old.items() if path not in named
        }
        outcomes = {path: why for path, why in objections.items() if why is not None}
        free = sorted(objections.keys() - outcomes.keys())
        if self.delete:
            outcomes |= self._deleted(free)
        else:
            kept = look(self.context, free, references=False).kept
            outcomes |= {path: ("kept" if path in kept else "orphan", None) for path in free}
        return [
            about_object(kind, self.storage_name, old[path], detail)
            for path, (kind, detail) in outcomes.items()
        ]

    def _objection(self, key: str) -> Objection | None:
        if not is_ours(key):
            return "foreign", None
        return self.ownership.objection(key) or (("kept", None) if self.keeps else None)

    def _deleted(self, paths: Sequence[str]) -> Outcomes:
        """Delete objects as a drain does; the next drain tries again what fails."""
        if not paths:
            return {}
        lease = self.context.ask(add, self.storage_name, paths)
        return delete_unnamed(
            self.context, lease, lambda _, key: self._objection(key), self.patience
        )

    def _is_old(self, info: ObjectInfo) -> bool:
        date = info.last_modified
        made = made_at(info.key) if date is None else int(date.timestamp() * 1000)
        return made is None or made < self.before

    def abandoned_uploads(self) -> Iterator[Finding]:
        """Yield the multipart uploads older than the grace period, with ``delete`` aborted."""
        storage = self.storage
        if not isinstance(storage, HasUploads):
            return
        for upload in run_blocking(lambda: list(storage.uploads())):
            if upload.begun_at.timestamp() * 1000 < self.before:
                kind, detail = self._aborted(storage, upload)
                begun = upload.begun_at.isoformat()
                detail = detail or f"an upload that was begun, last at {begun}"
                name, key = self.storage_name, upload.key
                yield Finding(kind=kind, storage=name, key=key, last_modified=begun, detail=detail)

    def _aborted(self, storage: HasUploads, upload: PendingUpload) -> Objection:
        is_free = is_ours(upload.key) and not self.ownership.objection(upload.key)
        if not self.delete or not is_free:
            return "upload", None
        try:
            run_blocking(lambda: storage.abort_upload(upload))
        except StorageError as error:
            return "failed", str(error)
        return "aborted", None
