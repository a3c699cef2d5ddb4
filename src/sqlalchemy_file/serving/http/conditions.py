"""Preconditions of a request, in the order of RFC 9110, section 13.2.2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate
from http import HTTPStatus

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DATE = re.compile(
    rf"{_DAY}, \d\d [A-Z][a-z][a-z] \d{{4}} \d\d:\d\d:\d\d GMT"
    rf"|{_DAY}[a-z]{{3,6}}, \d\d-[A-Z][a-z][a-z]-\d\d \d\d:\d\d:\d\d GMT"
    rf"|{_DAY} [A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d \d{{4}}",
    re.ASCII,
)
"""The three forms of an HTTP-date (RFC 9110, section 5.6.7)."""


def failed_precondition(
    headers: Mapping[str, str], etag: str | None, modified: datetime | None
) -> HTTPStatus | None:
    """Return 412 or 304 where a condition of a GET or HEAD demands it, else None.

    ``headers`` have lower-case names; ``etag`` is a strong one, with its quotes.
    """
    if (wanted := headers.get("if-match")) is not None:
        if not _matches(wanted, etag, strong=True):
            return HTTPStatus.PRECONDITION_FAILED
    elif _is_newer(modified, headers.get("if-unmodified-since")):
        return HTTPStatus.PRECONDITION_FAILED
    if (known := headers.get("if-none-match")) is not None:
        return HTTPStatus.NOT_MODIFIED if _matches(known, etag, strong=False) else None
    since = headers.get("if-modified-since")
    if modified is not None and since is not None and parse_date(since) is not None:
        return None if _is_newer(modified, since) else HTTPStatus.NOT_MODIFIED
    return None


def may_send_range(
    headers: Mapping[str, str], etag: str | None, modified: datetime | None, now: datetime
) -> bool:
    """Return True unless ``If-Range`` names another version of the file.

    Only a strong comparison counts: a date has to equal the last modification, which has to be
    at least a second old (RFC 9110, sections 8.8.2.2 and 13.1.5).
    """
    given = headers.get("if-range")
    if given is None:
        return True
    if (match := _TAG.fullmatch(given.strip())) is not None:
        return match[1] is None and given.strip() == etag
    date = parse_date(given)
    return date is not None and date == modified and now - date >= timedelta(seconds=1)


def parse_date(text: str) -> datetime | None:
    """Return an HTTP-date in UTC, or None for anything else."""
    parts = parsedate(text) if _DATE.fullmatch(text.strip()) else None
    try:
        return None if parts is None else datetime(*parts[:6], tzinfo=UTC)
    except ValueError:
        return None


def http_date(moment: datetime) -> str:
    """Return a moment as an HTTP-date."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _matches(listed: str, etag: str | None, *, strong: bool) -> bool:
    """Return True if a list of entity tags names the one of the file, or is ``*``."""
    if listed.strip() == "*":
        return True
    return etag is not None and any(
        f'"{match[2]}"' == etag and not (strong and match[1]) for match in _TAG.finditer(listed)
    )


def _is_newer(modified: datetime | None, header: str | None) -> bool:
    date = None if header is None else parse_date(header)
    return modified is not None and date is not None and modified > date
