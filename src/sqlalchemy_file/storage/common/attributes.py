"""Attributes in the format of version 0.7, and in headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.storage.common.metadata_names import HEADERS, IDENTIFIERS, Names
from sqlalchemy_file.storage.common.protocol import Attributes

# All printable ASCII but "%", which begins an escape.
_PRINTABLE = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_TOKEN = "!#$&'*+-.^_`|~"  # noqa: S105  RFC 9110: in names of headers, besides letters
# Signatures cover values without outer spaces, and with single spaces.
_FRAGILE_SPACE = re.compile(r"^ | $|(?<= ) ")
_PLAIN = re.compile(r"[\w./+=-]+", re.ASCII)  # as most values are
_UNFIT = re.compile(r"[^\t\x20-\x7e]")


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
