"""Multipart uploads that were never completed: their parts are stored and cost money."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.reconcile.deleting.orphans import OrphanFinder
from sqlalchemy_file.reconcile.findings import Finding
from sqlalchemy_file.reconcile.keys import is_ours
from sqlalchemy_file.storage.common.protocol import HasUploads, PendingUpload
from sqlalchemy_file.transfer import run_blocking


def abandoned_uploads(finder: OrphanFinder) -> Iterator[Finding]:
    """Yield the uploads older than the grace period; with ``delete``, after they were aborted.

    Those under keys that are not ours are reported and left alone.
    """
    storage = finder.storage
    if not isinstance(storage, HasUploads):
        return
    for upload in run_blocking(lambda: list(storage.uploads())):
        if upload.begun_at.timestamp() * 1000 < finder.before:
            yield _aborted(finder, storage, upload) if finder.delete else _about(finder, upload)


def _aborted(finder: OrphanFinder, storage: HasUploads, upload: PendingUpload) -> Finding:
    if not is_ours(upload.key) or finder.ownership.objection(upload.key):
        return _about(finder, upload)
    try:
        run_blocking(lambda: storage.abort_upload(upload))
    except StorageError as error:
        return _about(finder, upload, "failed", str(error))
    return _about(finder, upload, "aborted")


def _about(
    finder: OrphanFinder, upload: PendingUpload, kind: str = "upload", detail: str | None = None
) -> Finding:
    begun = upload.begun_at.isoformat()
    return Finding(
        kind=kind,
        storage=finder.storage_name,
        key=upload.key,
        last_modified=begun,
        detail=detail or f"an upload that was begun, last at {begun}",
    )
