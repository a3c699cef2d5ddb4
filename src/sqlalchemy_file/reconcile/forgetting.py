"""Removes the signature of a database that is gone from a storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from sqlalchemy import MetaData

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.epochs.identity import Identity
from sqlalchemy_file.ledger.epochs.sites import is_there
from sqlalchemy_file.reconcile.context import Bind, PassContext, context_of
from sqlalchemy_file.reconcile.storages.ownership import identities_of
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.protocol import named
from sqlalchemy_file.storage.owners import Owner, owners_of, remove_note
from sqlalchemy_file.transfer import run_blocking


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
        owner = _found(storage_name, signature, run_blocking(partial(owners_of, storage)))
        _refuse_living(context, owner)
        run_blocking(partial(remove_note, storage, owner.note))


def _found(storage_name: str, signature: str, owners: Sequence[Owner]) -> Owner:
    for each in owners:
        if each.signature == signature:
            return each
    known = ", ".join(map(str, owners)) or "nobody"
    raise LedgerError(
        f"the storage {storage_name!r} has no signature {signature!r} (a ledger and its epoch); "
        f"it is signed by {known}"
    )


def _refuse_living(context: PassContext, owner: Owner) -> None:
    given = identities_of(context.everywhere, writes=False)
    if any(_is_of(each, owner) for each in given):
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


def _is_of(given: Identity, owner: Owner) -> bool:
    """Return True if an owner is a given ledger, in an epoch in which it may delete.

    An earlier epoch may be that of an original that is gone.
    """
    return given.id == owner.ledger and owner.epoch in given.epochs
