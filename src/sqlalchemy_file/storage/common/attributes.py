"""Attributes in the format of version 0.7, and in headers.

S3 and most others take the names of metadata as parts of HTTP headers. nginx and other proxies drop
headers with other characters than letters, digits and hyphens in their names, which invalidates the
signature. Azure takes identifiers only. So a name with other characters is sent as ``e--`` (``e__``
to Azure) and its letters and digits; any other byte becomes a hyphen (an underscore) and two
hexadecimal digits: ``e--page-5fcount``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.protocol import Attributes

# All printable ASCII but "%", which begins an escape.
_PRINTABLE = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_TOKEN = "!#$&'*+-.^_`|~"  # noqa: S105  RFC 9110: in names of headers, besides letters
# Signatures cover values without outer spaces, and with single spaces.
_FRAGILE_SPACE = re.compile(r"^ | $|(?<= ) ")
_PLAIN = re.compile(r"[\w./+=-]+", re.ASCII)  # as most values are
_UNFIT = re.compile(r"[^\t\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Names:
    """The names that one kind of server takes."""

    escape: str
    plain: re.Pattern[str]
    own: Mapping[str, str] = field(default_factory=dict)
    """Our own names, and the names under which they are sent."""

    @property
    def mark(self) -> str:
        return f"e{self.escape * 2}"

    def sent(self, name: str) -> str:
        if name in self.own:
            return self.own[name]
        lower = name.lower()
        is_free = not lower.startswith(self.mark) and lower not in self.own.values()
        if is_free and self.plain.fullmatch(name):
            return name
        return self.mark + "".join(map(self._escaped, name.encode("utf-8", "surrogatepass")))

    def received(self, name: str) -> str | None:
        """Return the original of a name that `sent` escaped, or None."""
        for own, other in self.own.items():
            if name.lower() == other:
                return own
        if not name.lower().startswith(self.mark):
            return None
        plain = unquote(name[3:].replace(self.escape, "%"))
        return plain if plain and self.sent(plain).lower() == name.lower() else None

    def _escaped(self, byte: int) -> str:
        letter = chr(byte)
        return letter if letter.isascii() and letter.isalnum() else f"{self.escape}{byte:02x}"


HEADERS = Names("-", re.compile(r"[A-Za-z0-9-]+"), {"content_type": "content-type"})
"""For S3, Google and other services that take names as parts of headers."""

IDENTIFIERS = Names("_", re.compile(r"[A-Za-z_][A-Za-z0-9_]*"))
"""For Azure."""


def attributes_of(
    filename: str | None,
    content_type: str | None,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Attributes:
    """Return attributes from libcloud's ``extra``; the first two arguments win.

    ``extra`` may hold ``content_type``, ``meta_data`` (which may hold ``filename`` and
    ``content_type`` too) and options of the driver.
    """
    if not extra:
        return Attributes(filename=filename, content_type=content_type, headers=dict(headers or {}))
    options = dict(extra)
    declared = options.pop("content_type", None)
    described = attributes_from(options.pop("meta_data", None) or {}, declared)
    return Attributes(
        filename=filename or described.filename,
        content_type=content_type or declared or described.content_type,
        metadata=described.metadata,
        extra=options,
        headers=dict(headers or {}),
    )


def meta_data_of(attributes: Attributes) -> dict[str, str]:
    """Return name, content type and the user's values as one dict."""
    own: dict[str, str] = {}
    if attributes.filename:
        own["filename"] = attributes.filename
    if attributes.content_type:
        own["content_type"] = attributes.content_type
    return {**own, **attributes.metadata}


def attributes_from(meta_data: Mapping[Any, Any], content_type: str | None = None) -> Attributes:
    """Return the attributes of a dict by `meta_data_of`; ``content_type`` is the default."""
    metadata = {str(name): str(value) for name, value in meta_data.items() if value is not None}
    filename = metadata.pop("filename", None)
    # It is sent with a hyphen; Ceph also turns underscores into hyphens.
    kept = metadata.pop("content_type", None) or metadata.pop("content-type", None)
    return Attributes(filename=filename, content_type=kept or content_type, metadata=metadata)


def to_headers(meta_data: Mapping[str, str], names: Names = HEADERS) -> dict[str, str]:
    """Return metadata with names and values encoded for headers."""
    return {names.sent(name): header_value(value) for name, value in meta_data.items()}


def from_headers(meta_data: Mapping[str, Any]) -> dict[str, str]:
    """Undo `to_headers`, also for percent-encoded names; anything else is left unchanged.

    Storages may change names to lower case, and Ceph underscores to hyphens.
    """
    return {_plain_name(name): _plain_value(str(value)) for name, value in meta_data.items()}


def _plain_name(name: str) -> str:
    for names in (HEADERS, IDENTIFIERS):
        received = names.received(name)
        if received is not None:
            return received
    plain = unquote(name)
    return plain if quote(plain, safe=_TOKEN).lower() == name.lower() else name


def header_value(value: str) -> str:
    """Return a value percent-encoded where a header would change it."""
    if _PLAIN.fullmatch(value):
        return value
    return _FRAGILE_SPACE.sub("%20", quote(value, safe=_PRINTABLE))


def _plain_value(value: str) -> str:
    plain = unquote(value)
    return plain if header_value(plain) == value else value


def date_of(value: Any) -> datetime | None:
    """Return a date from a timestamp, or from text in the format of ISO 8601 or HTTP."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        for parse in (datetime.fromisoformat, parsedate_to_datetime):
            with suppress(ValueError):
                return date_of(parse(value))
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def refuse_extra(attributes: Attributes, key: str) -> None:
    """Raise `StorageError` for options of a driver."""
    for name in attributes.extra:
        raise StorageError(
            f"this storage does not support {name!r} of 'extra', only 'content_type' and "
            "'meta_data': leave it out, or use another storage",
            key=key,
        )


def checked_headers(headers: Mapping[str, str], key: str) -> dict[str, str]:
    """Return headers, or raise `StorageError` for characters that could inject another one."""
    for name, value in headers.items():
        if quote(name, safe=_TOKEN) != name or _UNFIT.search(str(value)):
            raise StorageError(
                f"the header {name!r} holds characters that headers cannot carry: "
                "use printable ASCII only",
                key=key,
            )
    return {name: str(value) for name, value in headers.items()}


_OF_THE_BLOB = ("cache-control", "content-disposition", "content-encoding", "content-language")


def blob_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers under the names of Azure, which would drop some under their own."""
    return {
        f"x-ms-blob-{name.lower()}" if name.lower() in _OF_THE_BLOB else name: value
        for name, value in headers.items()
    }
