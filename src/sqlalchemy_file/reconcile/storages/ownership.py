"""The owners of objects: what this pass may delete, and what belongs to others.

A key contains the epoch in which its object was stored; a storage contains the signatures of its
ledgers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy_file.exceptions import LedgerError, StorageError
from sqlalchemy_file.ledger.epochs.identity import Identity, identity, settle
from sqlalchemy_file.reconcile.context import PassContext, is_known
from sqlalchemy_file.storage import HasPath, Storage, StorageManager
from sqlalchemy_file.storage.common.protocol import HasNotes, named
from sqlalchemy_file.storage.owners import (
    Owner,
    folder_owners,
    owners_above,
    owners_of,
    sign,
)
from sqlalchemy_file.tracking.claims import owner_of
from sqlalchemy_file.transfer import run_blocking
from sqlalchemy_file.values.objects import epoch_of

EARLIER = (
    "it was stored before this database was copied, restored or moved, and another one may name "
    "it; adopt (--adopt) says that this one has taken the other's place"
)
OTHERS = "it was stored by another ledger, or by a copy of this one"


@dataclass(frozen=True, slots=True)
class Ownership:
    """What several ledgers, given together, may delete in one storage."""

    identities: Sequence[Identity]
    storage: Storage
    owners: Sequence[Owner]
    _folders: dict[str, bool] = field(default_factory=dict)

    def objection(self, key: str) -> tuple[str, str] | None:
        """Return the kind of finding that an object is, and why, if it is not theirs to delete."""
        epoch = epoch_of(key)
        if any(epoch in each.epochs for each in self.identities):
            return None
        if any(epoch in each.earlier for each in self.identities):
            return "earlier", EARLIER
        if any(epoch == each.epoch for each in self.owners) or self._is_in_signed_folder(key):
            return "foreign", OTHERS
        # Made before there were epochs, without a ledger, or under a key that a program chose.
        return ("earlier", EARLIER) if any(each.earlier for each in self.identities) else None

    def strangers(self) -> list[Owner]:
        """Return owners that were not given: each epoch of each ledger.

        A ledger that was at the very place of a given one has been dropped there.
        """
        given = {each.id for each in self.identities}
        contexts = {each.site.server for each in self.identities}
        strange = {
            each.signature: each
            for each in self.owners
            if each.ledger not in given and each.server not in contexts
        }
        return list(strange.values())

    def _is_in_signed_folder(self, key: str) -> bool:
        parts = key.split("/")[:-1]
        return any(self._is_signed("/".join(parts[:depth])) for depth in range(1, len(parts) + 1))

    def _is_signed(self, folder: str) -> bool:
        if folder not in self._folders:
            self._folders[folder] = bool(run_blocking(partial(folder_owners, self.storage, folder)))
        return self._folders[folder]


class Objections:
    """Tells of released objects which are not this drain's to delete."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self._identities = identities
        self._found: dict[str, Ownership | StorageError | None] = {}

    def __call__(self, storage_name: str, key: str) -> tuple[str, str] | None:
        """Return the kind of finding that an object is, and why; None if it may be deleted."""
        if storage_name not in self._found:
            self._found[storage_name] = self._look(storage_name)
        found = self._found[storage_name]
        if isinstance(found, StorageError):
            return "failed", str(found)
        return None if found is None else found.objection(key)

    def _look(self, storage_name: str) -> Ownership | StorageError | None:
        if not is_known(storage_name):
            return None  # which is judged elsewhere
        try:
            found = ownership(storage_name, self._identities)
            refuse_unmounted(storage_name, found, is_used=True)
        except StorageError as error:
            return error
        return found


def identities_of(
    contexts: Iterable[PassContext], *, adopt: bool = False, writes: bool
) -> list[Identity]:
    """Return who the ledgers are; with ``writes`` it is noted where their databases are now."""
    if writes or adopt:
        return [
            context.run(partial(settle, ledger=context.ledger, adopt=adopt)) for context in contexts
        ]
    found = [context.run(partial(identity, ledger=context.ledger)) for context in contexts]
    return [each for each in found if each is not None]


def ownership(storage_name: str, identities: Sequence[Identity]) -> Ownership:
    """Return what ledgers may delete in a storage, as the storage says now."""
    storage = StorageManager.storage(storage_name)
    with named(storage_name):
        owners = run_blocking(partial(owners_of, storage))
        if isinstance(storage, HasPath):
            owners = [*owners, *(owner for _, owner in run_blocking(partial(_above, storage)))]
    return Ownership(identities, storage, owners)


def refuse_strangers(storage_name: str, found: Ownership) -> None:
    """Raise `LedgerError` for ledgers that write to a storage and were not given."""
    strangers = found.strangers()
    if strangers:
        own = ", ".join(map(str, found.identities)) or "a ledger that has stored nothing yet"
        raise LedgerError(
            f"the storage {storage_name!r} also holds the objects of "
            f"{', '.join(map(str, strangers))}, and this is {own}: give all of them together "
            "(--app may return several). If the database of one is gone for good, forget it: "
            f"`forget {storage_name} {strangers[0].signature}`"
        )


def refuse_overlaps(names: Iterable[str]) -> None:
    """Raise `LedgerError` for storages whose folder is, or lies in, that of another one."""
    roots = {name: root for name in StorageManager.names() if (root := _root_of(name))}
    for name in names:
        for other, root in roots.items():
            mine = roots.get(name)
            if mine and other != name and f"{mine}/".startswith(f"{root}/"):
                raise LedgerError(
                    f"the folder of the storage {name!r} is, or lies in, that of {other!r}: the "
                    "objects of one would be taken for the other's; give each a folder of its own"
                )
            if mine and other != name and f"{root}/".startswith(f"{mine}/"):
                raise LedgerError(
                    f"the folder of the storage {other!r} lies in that of {name!r}: the objects "
                    "of one would be taken for the other's; give each a folder of its own"
                )


def refuse_unmounted(storage_name: str, found: Ownership, *, is_used: bool) -> None:
    """Raise `StorageError` for an empty folder that rows or notes name, and nobody has signed."""
    if not is_used or not isinstance(found.storage, HasPath) or found.owners:
        return
    if run_blocking(lambda: next(iter(found.storage.list()), None)) is None:
        raise StorageError(
            "rows refer to objects in this folder, but it is empty and has no signature: is its "
            "disk mounted? If the files are gone for good, run `sweep --delete --adopt` once",
            storage=storage_name,
        )


def sign_for(storage_name: str, found: Ownership) -> None:
    """Sign a storage for ledgers that have not done so."""
    signed = {(each.ledger, each.epoch) for each in found.owners}
    for each in map(owner_of, found.identities):
        if (each.ledger, each.epoch) not in signed:
            with named(storage_name):
                run_blocking(partial(sign, found.storage, each))


def _above(storage: HasPath) -> list[tuple[str, Owner]]:
    return list(owners_above(str(storage.path("x").parent)))


def _root_of(name: str) -> str | None:
    storage = StorageManager.storage(name)
    if not isinstance(storage, HasPath) or not isinstance(storage, HasNotes):
        return None
    return os.path.realpath(storage.path("x").parent)
