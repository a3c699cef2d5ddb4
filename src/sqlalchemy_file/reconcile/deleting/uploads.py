"""Multipart uploads that were never completed: their parts are stored and cost money."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.reconcile.context import away
from sqlalchemy_file.reconcile.deleting.orphans import Judge
from sqlalchemy_file.reconcile.findings import Finding
from sqlalchemy_file.reconcile.keys import is_ours
from sqlalchemy_file.storage.common.protocol import HasUploads, PendingUpload


def abandoned_uploads(judge: Judge) -> Iterator[Finding]:
    """Yield the uploads older than the grace period; with ``delete``, after they were aborted.

    Those under keys that are not ours are reported and left alone.
    """
    storage = judge.storage
    if not isinstance(storage, HasUploads):
        return
    for upload in away(lambda: list(storage.uploads())):
        if upload.begun_at.timestamp() * 1000 < judge.before:
            yield _aborted(judge, storage, upload) if judge.delete else _about(judge, upload)


def _aborted(judge: Judge, storage: HasUploads, upload: PendingUpload) -> Finding:
    if not is_ours(upload.key) or judge.ownership.objection(upload.key):
        return _about(judge, upload)
    try:
        away(lambda: storage.abort_upload(upload))
    except StorageError as error:
        return _about(judge, upload, "failed", str(error))
    return _about(judge, upload, "aborted")


def _about(
    judge: Judge, upload: PendingUpload, kind: str = "upload", detail: str | None = None
) -> Finding:
    begun = upload.begun_at.isoformat()
    return Finding(
        kind=kind,
        storage=judge.storage_name,
        key=upload.key,
        last_modified=begun,
        detail=detail or f"an upload that was begun, last at {begun}",
    )
