"""Find the orphans and the incomplete uploads of a listing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.reconcile.context import PassContext
from sqlalchemy_file.reconcile.deleting.confirming import delete_unnamed, kept_now, named_now
from sqlalchemy_file.reconcile.deleting.leases import add
from sqlalchemy_file.reconcile.findings import Finding, about_object
from sqlalchemy_file.reconcile.keys import is_ours, made_at
from sqlalchemy_file.reconcile.ownership import Objection, Ownership
from sqlalchemy_file.storage import ObjectInfo, Storage
from sqlalchemy_file.storage.common.protocol import HasUploads, PendingUpload
from sqlalchemy_file.transfer import run_blocking


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
        old = {f"{self.storage_name}/{info.key}": info for info in objects if self._is_old(info)}
        named = named_now(self.context, old)
        lost = {path: info for path, info in old.items() if path not in named}
        objections = {path: self._objection(info.key) for path, info in lost.items()}
        outcomes = {path: why for path, why in objections.items() if why is not None}
        free = sorted(lost.keys() - outcomes.keys())
        if self.delete:
            outcomes |= self._deleted(free)
        else:
            kept = kept_now(self.context, free)
            outcomes |= {path: ("kept" if path in kept else "orphan", None) for path in free}
        return [
            about_object(kind, self.storage_name, lost[path], detail)
            for path, (kind, detail) in outcomes.items()
        ]

    def _objection(self, key: str) -> Objection | None:
        if not is_ours(key):
            return "foreign", None
        return self.ownership.objection(key) or (("kept", None) if self.keeps else None)

    def _deleted(self, paths: Sequence[str]) -> dict[str, Objection]:
        """Delete objects as a drain does; the next drain tries again what fails."""
        if not paths:
            return {}
        lease = self.context.ask(add, self.storage_name, paths)
        outcome = delete_unnamed(
            self.context, lease, lambda _, key: self._objection(key), self.patience
        )
        return {found.path: (found.kind, found.detail) for found in outcome.findings}

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
