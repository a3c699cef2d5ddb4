"""The owners of objects: this package, the ledgers of this pass, and others.

A key contains the time and the epoch in which its object was stored. A storage contains the
signatures of its ledgers, and the token of the last sweep that deleted there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, permutations
from uuid import uuid4

from sqlalchemy import Connection, MetaData

from sqlalchemy_file.exceptions import InvalidKeyError, LedgerError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.identity import (
    Identity,
    begin_epoch,
    identity,
    is_there,
    ledger_id,
    record_home,
)
from sqlalchemy_file.ledger.state import load, save
from sqlalchemy_file.reconcile.context import Bind, PassContext, context_of
from sqlalchemy_file.storage import HasPath, Storage, StorageManager
from sqlalchemy_file.storage.common.keys import SIDECAR, TEMPORARY, check_key
from sqlalchemy_file.storage.common.protocol import HasNotes, named
from sqlalchemy_file.storage.owners import (
    Owner,
    folder_owners,
    keeper_of,
    note_of,
    owners_above,
    owners_of,
    sign,
)
from sqlalchemy_file.tracking.claims import owner_of
from sqlalchemy_file.transfer import run_blocking
from sqlalchemy_file.values.records import KEY_ID, epoch_of

Objection = tuple[str, str | None]
"""Why an object is not to be deleted: the kind of its `Finding`, and its detail."""

_EARLIER = (
    "it was stored before this database was copied, restored or moved, and another one may name "
    "it; adopt (--adopt) says that this one has taken the other's place"
)
_OTHERS = "it was stored by another ledger, or by a copy of this one"
_TOKENS, _MOST_TOKENS = "tokens:", 16


def owner(key: str) -> str:
    """Return the key of the object that a file of metadata belongs to; any other key itself."""
    return key.removesuffix(SIDECAR)


def is_ours(key: str) -> bool:
    """Return True if this package makes such keys: a UUID, or a temporary name, in any folder."""
    name = _name(key)
    return KEY_ID.fullmatch(name) is not None or name.startswith(TEMPORARY)


def may_be_noted(key: str, *, is_chosen: bool) -> bool:
    """Return True if the object of an entry with this key may be one of ours.

    Its key is an id, derived from one (``<id>.webp``, ``<id>/small``), or chosen by a field.
    """
    try:
        check_key(key)
    except InvalidKeyError:
        return False
    if _name(key).startswith(TEMPORARY):
        return False
    return is_chosen or any(KEY_ID.match(part) for part in key.split("/"))


def made_at(key: str) -> int | None:
    """Return the time of a key in milliseconds, or None if it contains no time."""
    name = _name(key)
    found = KEY_ID.fullmatch(name)
    if found is None or found[1] != "7":
        return None
    return int(name[:8] + name[9:13], 16)


def _name(key: str) -> str:
    return owner(key).rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Ownership:
    """The owners of one storage, and the ledgers that are given together."""

    identities: Sequence[Identity]
    storage: Storage
    owners: Sequence[Owner]
    _folders: dict[str, bool] = field(default_factory=dict)

    def objection(self, key: str) -> Objection | None:
        """Return why the given ledgers must not delete an object; None if they may."""
        epoch = epoch_of(key)
        if any(epoch in each.epochs for each in self.identities):
            return None
        if any(epoch in each.earlier for each in self.identities):
            return "earlier", _EARLIER
        if any(epoch == each.epoch for each in self.owners) or self._is_in_signed_folder(key):
            return "foreign", _OTHERS
        # Older than epochs, stored without a ledger, or with a key that a program chose.
        return ("earlier", _EARLIER) if any(each.earlier for each in self.identities) else None

    def _is_in_signed_folder(self, key: str) -> bool:
        folders = accumulate(key.split("/")[:-1], "{}/{}".format)
        return any(map(self._is_signed, folders))

    def _is_signed(self, folder: str) -> bool:
        if folder not in self._folders:
            self._folders[folder] = bool(run_blocking(partial(folder_owners, self.storage, folder)))
        return self._folders[folder]


def identities_of(
    contexts: Iterable[PassContext], *, adopt: bool = False, writes: bool
) -> list[Identity]:
    """Return the identities of ledgers; with ``writes``, record their sites."""
    if writes or adopt:
        return [context.ask(record_home, adopt=adopt) for context in contexts]
    found = [context.ask(identity) for context in contexts]
    return [each for each in found if each is not None]


def ownership(storage_name: str, identities: Sequence[Identity]) -> Ownership:
    storage = StorageManager.storage(storage_name)
    with named(storage_name):
        owners = run_blocking(partial(owners_of, storage))
        if isinstance(storage, HasPath):
            root = str(storage.path("x").parent)
            above = run_blocking(lambda: list(owners_above(root)))
            owners = [*owners, *(owner for _, owner in above)]
    return Ownership(identities, storage, owners)


def refuse_strangers(storage_name: str, found: Ownership) -> None:
    """Raise `LedgerError` for other ledgers that write to a storage."""
    given = {each.id for each in found.identities}
    # A ledger at the site of a given one was replaced by it.
    servers = {each.site.server for each in found.identities}
    strangers = {
        each.signature: str(each)
        for each in found.owners
        if each.ledger not in given and each.server not in servers
    }
    if strangers:
        own = ", ".join(map(str, found.identities)) or "a ledger that has stored nothing yet"
        raise LedgerError(
            f"the storage {storage_name!r} also holds the objects of "
            f"{', '.join(strangers.values())}, and this is {own}: give all of them together "
            "(--app may return several). If the database of one is gone for good, forget it: "
            f"`forget {storage_name} {next(iter(strangers))}`"
        )


def refuse_overlaps(names: Iterable[str]) -> None:
    """Raise `LedgerError` for a storage whose folder is that of another, or inside it."""
    asked = set(names)
    roots = {name: root for name in StorageManager.names() if (root := _root_of(name))}
    for (name, root), (other, other_root) in permutations(sorted(roots.items()), 2):
        if asked & {name, other} and f"{root}/".startswith(f"{other_root}/"):
            raise LedgerError(
                f"the folder of the storage {name!r} is, or is inside, that of {other!r}, so "
                "objects of one would count as the other's: give each a folder of its own"
            )


def sign_for(storage_name: str, found: Ownership) -> None:
    """Sign a storage for ledgers that have not done so."""
    signed = {(each.ledger, each.epoch) for each in found.owners}
    for each in map(owner_of, found.identities):
        if (each.ledger, each.epoch) not in signed:
            with named(storage_name):
                run_blocking(partial(sign, found.storage, each))


def fence(context: PassContext, storage_names: Iterable[str], *, adopt: bool) -> None:
    """Leave new tokens in storages, and begin a new epoch if a storage has an unknown one.

    The database knows a token before the storage does. So a database that finds an unknown token
    was restored, or a copy of it has swept.
    """
    for name in storage_names:
        storage, token = StorageManager.storage(name), uuid4().hex
        note = f"{context.ask(ledger_id)}.token"
        with named(name):
            found = run_blocking(partial(note_of, storage, note))
        known = context.ask(_issue, storage=name, token=token)
        if found is not None and found.decode("ascii", "replace") not in known and not adopt:
            context.ask(begin_epoch)
        with named(name):
            run_blocking(partial(keeper_of(storage).add_note, note, token.encode()))


def _issue(connection: Connection, ledger: Ledger, storage: str, token: str) -> list[str]:
    """Record a token before a storage gets it, and return the known ones."""
    name = f"{_TOKENS}{storage}"
    known: list[str] = load(connection, ledger, name) or []
    save(connection, ledger, name, [*known, token][-_MOST_TOKENS:])
    return known


def forget(
    bind: Bind,
    metadata: MetaData,
    storage_name: str,
    signature: str,
    *,
    others: Iterable[tuple[Bind, MetaData]] = (),
) -> None:
    """Remove the signature of a database that is gone from a storage.

        forget(engine, Base.metadata, "media", "0b3c6a52-7f43-4c58-9a51-0c4a1f6f2d11-5e1f00aa")

    ``signature`` is a ledger's id and an epoch, as `status` and the error of a sweep show them.
    Afterwards nobody owns the objects of that epoch, and a sweep may delete them. Raises
    `LedgerError` for an unknown signature, for one of the given ledgers, and if the database still
    exists, as far as can be seen from here.
    """
    context = context_of(bind, metadata, others)
    storage = StorageManager.storage(storage_name)
    with named(storage_name):
        owners = run_blocking(partial(owners_of, storage))
        owner = next((each for each in owners if each.signature == signature), None)
        if owner is None:
            known = ", ".join(map(str, owners)) or "nobody"
            raise LedgerError(
                f"the storage {storage_name!r} has no signature {signature!r} (a ledger and its "
                f"epoch); it is signed by {known}"
            )
        _refuse_living(context, owner)
        run_blocking(partial(keeper_of(storage).remove_note, owner.note))


def _refuse_living(context: PassContext, owner: Owner) -> None:
    given = identities_of(context.everywhere, writes=False)
    # An earlier epoch may be that of an original that is gone.
    if any(each.id == owner.ledger and owner.epoch in each.epochs for each in given):
        raise LedgerError(
            f"{owner} is a ledger that was given here, so it is not gone; give the signature of "
            "another one"
        )
    if any(owner.server == each.site.server for each in given):
        return  # another ledger has taken its place
    there = partial(is_there, server=owner.server, name=owner.name)
    if any(each.run(there) for each in context.everywhere):
        raise LedgerError(
            f"the database of {owner} still exists: give both together (--app may return "
            "several). If only its ledger is gone, give its present ledger"
        )


def _root_of(name: str) -> str | None:
    storage = StorageManager.storage(name)
    if not isinstance(storage, HasPath) or not isinstance(storage, HasNotes):
        return None
    return os.path.realpath(storage.path("x").parent)
