"""A request, and the target of its URL: one object, and how to show it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from sqlalchemy_file.content.filenames import (
    Disposition,
    allowed_disposition,
    clean_filename,
    known_disposition,
)
from sqlalchemy_file.detection.names import content_encoding
from sqlalchemy_file.file import File
from sqlalchemy_file.serving.http import FileFacts
from sqlalchemy_file.storage import ObjectInfo, StorageManager
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE
from sqlalchemy_file.values.further import DerivedImage
from sqlalchemy_file.values.records import entity_tag, own_path, sha256_of

_ACTIVE_TYPES = (
    "*/*html*", "*/*xml*", "image/svg*", "*/*script*", "*/*ecmascript*", "text/css", "text/vtt",
    "text/cache-manifest", "multipart/*", "message/*", "application/wasm",
    "application/x-shockwave-flash", "application/manifest+json", "application/speculationrules*",
)  # fmt: skip
"""Types that a page could load as a script, a style or a document; they are sent as bytes."""

_NOTHING_RUNS = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_RESOURCE_POLICIES = ("same-origin", "same-site", "cross-origin")

CACHED_FOREVER = "public, max-age=31536000, immutable"
"""``Cache-Control`` for a public URL: a key never changes its bytes."""

PRIVATE = "private, no-cache"
"""``Cache-Control`` of files whose readers the application decides on: browsers ask each time."""


_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf'{_NAME}/{_NAME}(?: *; *{_NAME}=(?:{_NAME}|"[ !#-\[\]-~]*"))*', re.ASCII)
"""A content type that may stand in a header (RFC 9110, section 8.3.1)."""


@lru_cache(maxsize=256)
def sent_type(content_type: str) -> str:
    """Return the content type to send: one that no page can use as a script or a style."""
    essence = content_type.partition(";")[0].strip().lower()
    is_active = any(fnmatchcase(essence, each) for each in _ACTIVE_TYPES)
    return UNKNOWN_TYPE if is_active or not _MEDIA_TYPE.fullmatch(content_type) else content_type


def require_resource_policy(value: str) -> str:
    """Return the value, or raise `ValueError` for one that browsers would ignore."""
    if value not in _RESOURCE_POLICIES:
        known = ", ".join(map(repr, _RESOURCE_POLICIES))
        raise ValueError(f"resource_policy is one of {known}, not {value!r}")
    return value


def protecting_headers(target: Target, resource_policy: str) -> list[tuple[str, str]]:
    """Return the headers that every answer with a file carries.

    Chromium's viewer shows no sandboxed PDF, so an inline one goes without the sandbox.
    """
    headers = [
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", resource_policy),
    ]
    if (target.disposition, target.content_type) != ("inline", "application/pdf"):
        headers.append(("Content-Security-Policy", _NOTHING_RUNS))
    return headers


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
    original, record = _part_of(file, variant)
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


def _part_of(file: Any, variant: str | None) -> tuple[File, Mapping[str, Any]]:
    """Return a stored file, and the record of what is sent: of itself, or of its image."""
    original = file.original if isinstance(file, DerivedImage) else file
    if not isinstance(original, File) or not original.saved or own_path(original) is None:
        raise ValueError(f"expected a stored File, got {_what_came(original)}")
    if variant is not None and isinstance(file, DerivedImage):
        raise ValueError(f"give the File with variant={variant!r}, not its image {file.name!r}")
    part = file if variant is None else file.variant(variant)
    if not isinstance(part, DerivedImage):
        return original, part
    described = {"filename": part.filename, "content_type": part.content_type}
    return original, {**part.record, **described}


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


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A request: ``headers`` have lower-case names, ``path`` is the path below the server.

    ``scope`` is the ASGI scope or the WSGI environment.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    scope: Mapping[str, Any]

    @classmethod
    def of_scope(cls, scope: Mapping[str, Any]) -> RequestFacts:
        """Return the facts of an ASGI request."""
        path, root = scope["path"], scope.get("root_path") or ""
        inner = path.removeprefix(root) if path.startswith(f"{root}/") else path
        pairs = (
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        return cls(scope["method"], inner, _joined(pairs), scope)

    @classmethod
    def of_environ(cls, environ: Mapping[str, Any]) -> RequestFacts:
        """Return the facts of a WSGI request."""
        pairs = (
            (name[5:].replace("_", "-").lower(), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        )
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        return cls(environ["REQUEST_METHOD"], path, _joined(pairs), environ)


Authorize = Callable[[RequestFacts, Target], "bool | Awaitable[bool]"]


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
