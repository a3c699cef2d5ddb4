"""Find the orphans of a listing: old enough, and in no row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy_file.exceptions import LedgerError
from sqlalchemy_file.ledger.epochs.state import DEFAULT_GRACE, sweeping_grace
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.deleting.confirming import kept_now, named_now, settle
from sqlalchemy_file.reconcile.deleting.connections import refuse_writers
from sqlalchemy_file.reconcile.deleting.leases import add
from sqlalchemy_file.reconcile.findings import Finding, about_object
from sqlalchemy_file.reconcile.keys import is_ours, made_at
from sqlalchemy_file.reconcile.storages.ownership import Ownership
from sqlalchemy_file.storage import ObjectInfo, Storage

SKEW = 300_000
"""By how many milliseconds the clocks of writers, of storages and our own may differ."""


@dataclass(frozen=True, slots=True)
class OrphanFinder:
    """The settings of one pass for one storage.

    Objects have to be made ``before`` a time in milliseconds; ``files`` are those that rows name.
    """

    context: PassContext
    storage_name: str
    storage: Storage
    before: int
    delete: bool
    keeps: bool
    patience: float
    files: int
    ownership: Ownership

    def find(self, objects: Sequence[ObjectInfo]) -> list[Finding]:
        """Return the findings of these objects; with ``delete``, delete them first."""
        old = {f"{self.storage_name}/{info.key}": info for info in objects if self._is_old(info)}
        named = self.named(old)
        lost = {path: info for path, info in old.items() if path not in named}
        return [*self._foreign(lost), *self._ours(lost)]

    def named(self, asked: Collection[str]) -> set[str]:
        """Return which of these paths rows name now."""
        return named_now(self.context, asked)

    def _foreign(self, lost: dict[str, ObjectInfo]) -> Iterator[Finding]:
        for info in lost.values():
            if not is_ours(info.key):
                yield about_object("foreign", self.storage_name, info)

    def _ours(self, lost: dict[str, ObjectInfo]) -> Iterator[Finding]:
        ours = {path: info for path, info in lost.items() if is_ours(info.key)}
        for path, info in list(ours.items()):
            if (objection := self.ownership.objection(info.key)) is not None:
                kind, why = objection
                yield replace(about_object(kind, self.storage_name, info), detail=why)
                del ours[path]
        if self.keeps or not self.delete:
            kept = set(ours) if self.keeps else kept_now(self.context, set(ours))
            for path, info in ours.items():
                kind = "kept" if path in kept else "orphan"
                yield about_object(kind, self.storage_name, info)
            return
        if ours:
            # Through the ledger: so it is deleted as carefully as what was released, and what fails
            # is tried again by the next drain.
            for found in self._settled(sorted(ours)):
                known = about_object(found.kind, self.storage_name, ours[found.path])
                yield replace(known, detail=found.detail)

    def _settled(self, paths: Sequence[str]) -> Sequence[Finding]:
        noting = partial(add, ledger=self.context.ledger, storage=self.storage_name, paths=paths)
        lease = self.context.run(noting)
        objection = self.ownership.objection
        return settle(
            self.context,
            lease,
            lambda _, key: is_ours(key),
            lambda _, key: objection(key),
            self.patience,
        ).findings

    def _is_old(self, info: ObjectInfo) -> bool:
        date = info.last_modified
        made = made_at(info.key) if date is None else int(date.timestamp() * 1000)
        return made is None or made < self.before


def agreed_grace(context: PassContext, asked: float | None) -> float:
    """Return the grace period in seconds; raises `LedgerError` if it is too short.

    A pass without a ledger deletes nothing, and may go by any.
    """
    if not context.has_ledger:
        return DEFAULT_GRACE if asked is None else asked
    kept = max(each.run(partial(sweeping_grace, ledger=each.ledger)) for each in context.everywhere)
    grace = kept if asked is None else asked
    if grace == 0:
        for each in context.everywhere:
            refuse_writers(each)
    elif grace < kept:
        raise LedgerError(
            f"a grace period of {grace:g} seconds is shorter than the {kept:g} of this database, "
            "on which writers rely: change it with set_grace(), or give 0 while nobody writes"
        )
    return grace


def age_limit(now: int, grace: float) -> int:
    """Return when an object must have been made, in milliseconds, to be old enough."""
    return now - int(grace * 1000) - SKEW if grace else now + SKEW
