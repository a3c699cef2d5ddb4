"""Further objects of a file, stored by processors and programs."""

from __future__ import annotations

from typing import Any

from sqlalchemy_file.content.sources import Content, given_content
from sqlalchemy_file.storage import StorageManager, StoredFile
from sqlalchemy_file.storage.common.attributes import attributes_of
from sqlalchemy_file.support.names import with_metadata
from sqlalchemy_file.values.objects import StoredObject, Upload
from sqlalchemy_file.values.saving import upload_of
from sqlalchemy_file.values.state import FileRecord, begin


class FurtherObjects(FileRecord):
    """A file that can store further objects, which are deleted with it."""

    def store_content(
        self,
        content: Any,
        upload_storage: str | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        content_path: str | None = None,
    ) -> StoredFile:
        """Store a further object that belongs to this file; ``name`` is its key.

        Its path is appended to ``files``, so the object is deleted with the file.
        """
        extra = with_metadata(extra, metadata)
        source = given_content(content, content_path)
        upload = self._further_upload(source, upload_storage, name, extra, headers)
        return self._finish_further(upload, upload.run())

    async def astore_content(
        self,
        content: Any,
        upload_storage: str | None = None,
        name: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        content_path: str | None = None,
    ) -> StoredFile:
        """Store as `store_content` does, without blocking the event loop."""
        source = given_content(content, content_path)
        upload = self._further_upload(source, upload_storage, name, extra, headers)
        return self._finish_further(upload, await upload.arun())

    def _further_upload(
        self,
        source: Content,
        upload_storage: str | None,
        name: str | None,
        extra: dict[str, Any] | None,
        headers: dict[str, str] | None,
    ) -> Upload:
        self._refuse_if_frozen()
        described = (extra or {}).get("meta_data") or {}
        attributes = attributes_of(
            described.get("filename"), described.get("content_type"), extra, headers
        )
        storage_name = upload_storage or self.get("upload_storage") or StorageManager.get_default()
        return upload_of(self, begin(self), source, storage_name, name, attributes)

    def _finish_further(self, upload: Upload, stored: StoredObject) -> StoredFile:
        state = self._state
        state.latest = stored
        if upload.exclusive:
            state.note_begun(upload.path)
        self["files"] = [*self["files"], stored.path]
        upload.content.release()
        return StoredFile(upload.registered.storage, stored.key, storage_name=upload.storage_name)
