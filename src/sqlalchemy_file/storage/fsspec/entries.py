"""Entries of fsspec listings: each filesystem has its own names for dates."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy_file.storage.common.protocol import ObjectInfo

_DATES = ("mtime", "LastModified", "last_modified", "modify", "updated", "created")


def info_of(key: str, entry: dict[str, Any]) -> ObjectInfo:
    """Return the facts about the object of an entry."""
    date = next((entry[name] for name in _DATES if entry.get(name)), None)
    etag = entry.get("ETag") or entry.get("etag")
    return ObjectInfo(
        key=key,
        size=int(entry.get("size") or 0),
        last_modified=_date(date),
        etag=str(etag).strip('"') if etag else None,
    )


def _date(value: Any) -> datetime | None:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
