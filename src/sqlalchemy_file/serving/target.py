"""What a URL of the file server names: one object, and how it is to be shown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy_file.file import File
from sqlalchemy_file.records import own_path
from sqlalchemy_file.serving.http.facts import Disposition, FileFacts
from sqlalchemy_file.serving.policy import UNKNOWN_TYPE, allowed_disposition, sent_type
from sqlalchemy_file.storage import ObjectInfo, StorageManager

_CHECKSUM = "sha256:"


@dataclass(frozen=True, slots=True)
class Target:
    """An object in a storage, with what its record says of it.

    ``content_type``, ``size``, ``sha256`` and ``modified`` are None where it does not tell.
    """

    storage: str
    key: str
    content_type: str | None
    filename: str
    disposition: Disposition
    size: int | None = None
    sha256: str | None = None
    modified: datetime | None = None

    @property
    def etag(self) -> str:
        """A strong entity tag: of the bytes, or else of the object, whose bytes never change."""
        seed = self.sha256 or f"{self.storage}/{self.key}"
        digest = bytes.fromhex(seed) if self.sha256 else hashlib.sha256(seed.encode()).digest()
        return f'"{base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")}"'

    def completed(self, info: ObjectInfo, inline: Collection[str]) -> Target:
        """Return a target without a record, with what the storage says of the object."""
        content_type = info.attributes.content_type or UNKNOWN_TYPE
        return replace(
            self,
            content_type=content_type,
            filename=info.attributes.filename or self.filename,
            disposition=allowed_disposition(None, content_type, inline),
            size=info.size,
            modified=info.last_modified,
        )

    def facts(self, info: ObjectInfo | None, headers: Sequence[tuple[str, str]]) -> FileFacts:
        """Return the facts of the file; the storage is believed about the size."""
        size = self.size if info is None else info.size
        return FileFacts(
            size=size or 0,
            content_type=sent_type(self.content_type or UNKNOWN_TYPE),
            filename=self.filename,
            disposition=self.disposition,
            etag=self.etag,
            modified=self.modified or (info.last_modified if info else None),
            sha256=self.sha256 if size == self.size else None,
            headers=headers,
        )


def target_of(
    file: Any,
    *,
    variant: str | None = None,
    disposition: Disposition | None = None,
    filename: str | None = None,
    inline: Collection[str],
) -> Target:
    """Return what is served for a saved file, or for its thumbnail or one of its variants.

    Raises `ValueError` for a file that is not stored, and `KeyError` for a variant it lacks.
    """
    if not isinstance(file, File) or not file.saved or own_path(file) is None:
        raise ValueError(f"expected a stored File, got {_what_came(file)}")
    part = file if variant is None else variant_record(file, variant)
    storage, key = StorageManager.resolve(own_path(part) or "")
    content_type = str(part.get("content_type") or _thumbnail_type(part) or UNKNOWN_TYPE)
    checksum = str(part.get("checksum") or "")
    size = part.get("size")
    return Target(
        storage=storage,
        key=key,
        content_type=content_type,
        filename=filename or str(part.get("filename") or file.get("filename") or "unnamed"),
        disposition=allowed_disposition(disposition, content_type, inline),
        size=size if isinstance(size, int) else None,
        sha256=checksum.removeprefix(_CHECKSUM) if checksum.startswith(_CHECKSUM) else None,
        modified=_moment(part.get("uploaded_at") or file.get("uploaded_at")),
    )


def variant_record(file: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the record of the thumbnail or of a variant; `KeyError` where there is none."""
    variants = file.get("variants") or {}
    found = variants.get(name) or (file.get(name) if name == "thumbnail" else None)
    if not isinstance(found, Mapping):
        known = ", ".join(sorted([*variants, *(["thumbnail"] if file.get("thumbnail") else [])]))
        raise KeyError(f"{file.get('filename')!r} has no variant {name!r}; it has: {known or '-'}")
    return found


def _what_came(file: Any) -> str:
    if isinstance(file, File):
        return "a File that is not stored yet: flush or commit first"
    if isinstance(file, Mapping):
        return (
            f"{type(file).__name__}; for a thumbnail or a variant, give the File that has it, "
            "and its name: variant='thumbnail'"
        )
    return type(file).__name__


def _thumbnail_type(part: Mapping[str, Any]) -> str | None:
    """Return the type of a thumbnail of an older release, which does not say it."""
    return None if "filename" in part else "image/png"


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
