"""Further objects of a file: stored by processors and programs; its thumbnail and variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy_file.content.sources import Content, given_content
from sqlalchemy_file.detection import UNKNOWN
from sqlalchemy_file.storage import StorageManager, StoredFile
from sqlalchemy_file.storage.common.attributes import attributes_of
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling, run
from sqlalchemy_file.support.defaults import UNNAMED
from sqlalchemy_file.support.names import with_metadata
from sqlalchemy_file.values.records import entity_tag, own_path, sha256_of
from sqlalchemy_file.values.saving import store
from sqlalchemy_file.values.state import BaseFile, FileRecord, begin


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
        return run(self._store_further(source, upload_storage, name, extra, headers, IN_THREAD))

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
        return await self._store_further(source, upload_storage, name, extra, headers, IN_LOOP)

    async def _store_further(
        self,
        content: Content,
        upload_storage: str | None,
        key: str | None,
        extra: dict[str, Any] | None,
        headers: dict[str, str] | None,
        calling: Calling,
    ) -> StoredFile:
        self._refuse_if_frozen()
        described = (extra or {}).get("meta_data") or {}
        attributes = attributes_of(
            described.get("filename"), described.get("content_type"), extra, headers
        )
        name = upload_storage or self.get("upload_storage") or StorageManager.get_default()
        begin(self)
        stored = await store(self, content, name, key or None, attributes, calling)
        self._state.latest = stored
        self["files"] = [*self["files"], stored.path]
        content.release()
        return StoredFile(stored.registered.storage, stored.key, storage_name=name)


# --- thumbnails and variants

_THUMBNAIL = "thumbnail"
_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}


@dataclass(frozen=True, slots=True)
class DerivedImage:
    """An image derived from a file: an object of its own, described in the file's record.

    `FileServer.url_for`, `FileResponse` and `send_file` take it as they take a file.
    """

    original: BaseFile
    name: str
    record: Mapping[str, Any]

    @property
    def path(self) -> str:
        """The name of its storage, a slash, and its key."""
        return own_path(self.record) or ""

    @property
    def content_type(self) -> str:
        """Its type; thumbnails of version 0.7 do not record it, and are PNG by default."""
        known = self.record.get("content_type")
        return str(known or ("image/png" if self.name == _THUMBNAIL else UNKNOWN))

    @property
    def size(self) -> int | None:
        """Its size in bytes; None in records of older versions."""
        return _whole(self.record.get("size"))

    @property
    def width(self) -> int | None:
        """Its width in pixels."""
        return _whole(self.record.get("width"))

    @property
    def height(self) -> int | None:
        """Its height in pixels."""
        return _whole(self.record.get("height"))

    @property
    def filename(self) -> str:
        """The original's name with its own suffix: ``photo.small.webp`` of ``photo.jpg``."""
        original = str(self.original.get("filename") or UNNAMED)
        stem, dot, suffix = original.rpartition(".")
        kind = self.content_type.partition("/")[2]
        own = _SUFFIXES.get(kind, kind) if kind.isalnum() else suffix or "bin"
        return f"{stem if dot and stem else original}.{self.name}.{own}"

    @property
    def etag(self) -> str:
        """A strong entity tag, with its quotes."""
        return entity_tag(*StorageManager.resolve(self.path), sha256_of(self.record))

    @property
    def url(self) -> str | None:
        """Its permanent public URL, if it has one."""
        return self.record.get("url")

    @property
    def file(self) -> StoredFile:
        """Open the object; nothing is requested before it is read."""
        return StorageManager.view(self.path, self.filename, self.content_type)


def derived_image(file: BaseFile, name: str) -> DerivedImage:
    """Return the thumbnail or a variant of a file; `KeyError` names those that there are."""
    variants = file.get("variants")
    known = dict(variants) if isinstance(variants, Mapping) else {}
    if file.get(_THUMBNAIL):
        known.setdefault(_THUMBNAIL, file[_THUMBNAIL])
    record = known.get(name)
    if not isinstance(record, Mapping) or own_path(record) is None:
        names = ", ".join(map(repr, sorted(known))) or "none"
        raise KeyError(f"{file.get('filename')!r} has no variant {name!r}; it has {names}")
    return DerivedImage(file, name, record)


def variants_of(file: BaseFile) -> Iterator[DerivedImage]:
    """Yield the variants of a file; what another program has written instead is left out."""
    variants = file.get("variants")
    for name, record in variants.items() if isinstance(variants, Mapping) else ():
        if isinstance(record, Mapping) and own_path(record) is not None:
            yield DerivedImage(file, name, record)


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) and not isinstance(number, bool) else None
