"""The target of a URL of the file server: one object, and how to show it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy_file.content.disposition import Disposition, allowed_disposition, known_disposition
from sqlalchemy_file.content.filenames import clean_filename
from sqlalchemy_file.detection.names import content_encoding
from sqlalchemy_file.file import File
from sqlalchemy_file.serving.http.facts import FileFacts
from sqlalchemy_file.serving.policy import sent_type
from sqlalchemy_file.storage import ObjectInfo, StorageManager
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE
from sqlalchemy_file.values.derivatives import DerivedImage
from sqlalchemy_file.values.records import entity_tag, own_path, sha256_of


@dataclass(frozen=True, slots=True)
class Target:
    """An object in a storage, with facts from its record.

    ``content_type``, ``size``, ``sha256`` and ``modified`` are None if the record does not have
    them. ``version`` is that of the object, for a target without a record.
    """

    storage: str
    key: str
    content_type: str | None
    filename: str
    disposition: Disposition
    size: int | None = None
    sha256: str | None = None
    modified: datetime | None = None
    encoding: str | None = None
    version: str | None = None

    @property
    def etag(self) -> str:
        """A strong entity tag of the bytes, or of the object, whose bytes never change."""
        key = self.key if self.version is None else f"{self.key}\n{self.version}"
        return entity_tag(self.storage, key, self.sha256)

    def completed(self, info: ObjectInfo, inline: Collection[str]) -> Target:
        """Return this target with facts from the storage, for one without a record."""
        known = replace(
            self,
            content_type=info.attributes.content_type or UNKNOWN_TYPE,
            filename=info.attributes.filename or self.filename,
            size=info.size,
            modified=info.last_modified,
            # Nothing says that only this package writes to a public storage.
            version=f"{info.etag} {info.last_modified} {info.size}",
        )
        return known.shown_by(inline)

    def shown_by(self, inline: Collection[str]) -> Target:
        """Return this target as a server shows it that allows these types inline."""
        content_type = self.content_type or UNKNOWN_TYPE
        allowed = allowed_disposition(self.disposition, content_type, inline)
        return self if allowed == self.disposition else replace(self, disposition=allowed)

    def facts(self, info: ObjectInfo | None, headers: Sequence[tuple[str, str]]) -> FileFacts:
        """Return the facts of the file; the size is that in the storage.

        An object of another size than the record's has neither its entity tag nor its digest.
        """
        size = self.size if info is None else info.size
        is_recorded = self.size in (None, size)
        return FileFacts(
            size=size or 0,
            content_type=sent_type(self.content_type or UNKNOWN_TYPE),
            filename=self.filename,
            disposition=self.disposition,
            etag=self.etag if is_recorded else None,
            modified=self.modified or (info.last_modified if info else None),
            sha256=self.sha256 if is_recorded else None,
            headers=headers,
            encoding=self.encoding,
        )


ENCODINGS = ("gzip", "br", "deflate", "zstd")


def require_types(inline: Collection[str]) -> None:
    """Raise `TypeError` for one string in the place of several content types."""
    if isinstance(inline, str):
        raise TypeError(f"inline is a collection of content types, not {inline!r}")


def target_of(
    file: Any,
    *,
    variant: str | None = None,
    disposition: Disposition | None = None,
    filename: str | None = None,
    inline: Collection[str],
) -> Target:
    """Return the target of a saved file, of its thumbnail, or of a variant.

    ``file`` may be such an image itself. Raises `ValueError` for a file that is not stored and
    for an unknown disposition, `KeyError` for a variant that the file lacks.
    """
    if disposition not in (None, "inline", "attachment"):
        raise ValueError(f'disposition is "inline" or "attachment", not {disposition!r}')
    require_types(inline)
    original = _stored(file.original if isinstance(file, DerivedImage) else file)
    record = _record_of(_part(file, variant))
    storage, key = StorageManager.resolve(own_path(record) or "")
    content_type = str(record.get("content_type") or UNKNOWN_TYPE)
    return Target(
        storage=storage,
        key=key,
        content_type=content_type,
        filename=clean_filename(filename or str(record.get("filename") or "")),
        disposition=allowed_disposition(
            disposition or known_disposition(original), content_type, inline
        ),
        size=_size(record.get("size")),
        sha256=sha256_of(record),
        modified=_moment(original.get("uploaded_at")),
        encoding=_encoding(record),
    )


def _stored(file: Any) -> File:
    if not isinstance(file, File) or not file.saved or own_path(file) is None:
        raise ValueError(f"expected a stored File, got {_what_came(file)}")
    return file


def _record_of(part: File | DerivedImage) -> Mapping[str, Any]:
    if isinstance(part, File):
        return part
    described = {"filename": part.filename, "content_type": part.content_type}
    return {**part.record, **described}


def _part(file: File | DerivedImage, variant: str | None) -> File | DerivedImage:
    if variant is None:
        return file
    if isinstance(file, File):
        return file.variant(variant)
    raise ValueError(f"give the File with variant={variant!r}, not its image {file.name!r}")


def _what_came(file: Any) -> str:
    if isinstance(file, File):
        return "a File that is not stored yet: flush or commit first"
    if isinstance(file, Mapping):
        return (
            f"{type(file).__name__}; for a thumbnail or a variant, give the File that has it, "
            "and its name: variant='thumbnail'"
        )
    return type(file).__name__


def _size(known: Any) -> int | None:
    """Return a size that a record may be believed; another program may have written it."""
    is_size = isinstance(known, int) and not isinstance(known, bool) and 0 <= known < 2**63
    return known if is_size else None


def _encoding(record: Mapping[str, Any]) -> str | None:
    """Return how the stored bytes are compressed, if they were stored with such a header."""
    headers = record.get("headers")
    known = content_encoding(headers) if isinstance(headers, Mapping) else None
    return known if known in ENCODINGS else None


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
