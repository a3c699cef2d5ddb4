"""Answers to requests for a file, as pure functions of RFC 9110."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate
from http import HTTPStatus
from typing import NamedTuple

from sqlalchemy_file.content.filenames import Disposition, content_disposition


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One representation of a file: its size in bytes, its type, and the identity of its bytes.

    ``etag`` is a strong entity tag with its quotes. ``sha256`` is the checksum of all bytes, in
    hexadecimal. ``encoding`` is how the stored bytes are compressed. ``headers`` are sent with
    every answer, 304 included.
    """

    size: int
    content_type: str
    filename: str
    disposition: Disposition = "attachment"
    etag: str | None = None
    modified: datetime | None = None
    sha256: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    encoding: str | None = None

    @property
    def content_disposition(self) -> str:
        """The value of ``Content-Disposition``."""
        return content_disposition(self.disposition, self.filename)

    @property
    def repr_digest(self) -> str | None:
        """The value of ``Repr-Digest`` (RFC 9530), or None without a checksum."""
        if self.sha256 is None:
            return None
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode('ascii')}:"


MOST_RANGES = 16
"""More parts than this are answered with the whole file, as RFC 9110, section 14.2, allows."""

_LONGEST_HEADER = 8192
_SPEC = re.compile(r"([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19})", re.ASCII)
_SPACE = " \t"


class ByteRange(NamedTuple):
    """The bytes from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        """Return the value of ``Content-Range`` for a file of this size."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def requested_ranges(header: str, size: int) -> Sequence[ByteRange] | None:
    """Return the ranges to send, merged, in the order asked for; None to ignore the header.

    An empty sequence means that no range can be satisfied. Unknown units, malformed ranges, an
    empty file and more than `MOST_RANGES` parts are reasons to ignore it.
    """
    unit, _, listed = header.partition("=")
    if unit.strip(_SPACE).lower() != "bytes" or len(header) > _LONGEST_HEADER or size == 0:
        return None
    items = [each.strip(_SPACE) for each in listed.split(",")]
    satisfiable = []
    for item in filter(None, items):  # a recipient has to accept empty elements of a list
        if (asked := _range_of(item, size)) is None:
            return None
        if asked.start < size:
            satisfiable.append(asked)
    merged = _merged(satisfiable)
    return merged if any(items) and len(merged) <= MOST_RANGES else None


def _range_of(item: str, size: int) -> ByteRange | None:
    """Return the range that an item asks for, which may begin at the end; None if malformed."""
    if (match := _SPEC.fullmatch(item)) is None:
        return None
    first, last, suffix = (None if group is None else int(group) for group in match.groups())
    start = max(size - (suffix or 0), 0) if first is None else first
    if last is not None and last < start:
        return None
    return ByteRange(start, size if last is None else min(last + 1, size))


def _merged(ranges: Sequence[ByteRange]) -> list[ByteRange]:
    """Join ranges that overlap or touch; each result takes the place of its first member."""
    joined: list[tuple[int, ByteRange]] = []  # with the position of the first member
    for position, each in sorted(enumerate(ranges), key=lambda pair: (pair[1], pair[0])):
        if joined and each.start <= joined[-1][1].end:
            before, last = joined[-1]
            joined[-1] = min(before, position), ByteRange(last.start, max(last.end, each.end))
        else:
            joined.append((position, each))
    return [each for _, each in sorted(joined)]


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
    headers: Mapping[str, str],
    etag: str | None,
    modified: datetime | None,
    now: datetime | None = None,
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
    if date is None or date != modified:
        return False
    return (now or datetime.now(UTC)) - date >= timedelta(seconds=1)


def parse_date(text: str) -> datetime | None:
    """Return an HTTP-date in UTC, or None for anything else."""
    parts = parsedate(text) if _DATE.fullmatch(text.strip()) else None
    try:
        return None if parts is None else datetime(*parts[:6], tzinfo=UTC)
    except ValueError:
        return None


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


METHODS = ("GET", "HEAD", "OPTIONS")
_ALLOW = ("Allow", ", ".join(METHODS))
_EMPTY = ("Content-Length", "0")
# What is said to one request must not be kept as an answer to others.
_NOT_STORED = ("Cache-Control", "no-store")

Segment = bytes | ByteRange
"""A piece of a body: these bytes, or those of the file in a range."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A status, headers in order, and the segments of the body."""

    status: HTTPStatus
    headers: Sequence[tuple[str, str]]
    body: Sequence[Segment] = field(default=())

    @property
    def size(self) -> int:
        """The number of bytes in the body."""
        return sum(len(part) if isinstance(part, bytes) else part.size for part in self.body)


def plan(
    method: str,
    headers: Mapping[str, str],
    facts: FileFacts,
    *,
    now: datetime | None = None,
    boundary: str | None = None,
) -> Plan:
    """Return the answer to a request for a file that exists.

    ``headers`` are those of the request, with lower-case names; several lines of one name are
    joined with a comma. ``now`` and ``boundary`` are for tests.
    """
    if (answer := plan_without_file(method)) is not None:
        return answer
    modified = facts.modified.replace(microsecond=0) if facts.modified else None
    failed = failed_precondition(headers, facts.etag, modified)
    if failed is HTTPStatus.NOT_MODIFIED:
        return Plan(failed, _validators(facts))
    if failed is not None:
        return Plan(failed, [_NOT_STORED, _EMPTY])
    if method != "GET":
        return _with_body(HTTPStatus.OK, facts, ())
    if "range" in headers and may_send_range(headers, facts.etag, modified, now):
        ranges = requested_ranges(headers["range"], facts.size)
        if ranges is not None:
            return _partial(facts, ranges, boundary)
    return _with_body(HTTPStatus.OK, facts, (ByteRange(0, facts.size),) if facts.size else ())


def plan_without_file(method: str) -> Plan | None:
    """Return the answer that is the same for every file: to ``OPTIONS``, and to other methods."""
    if method not in METHODS:
        return Plan(HTTPStatus.METHOD_NOT_ALLOWED, [_ALLOW, _NOT_STORED, _EMPTY])
    if method == "OPTIONS":
        return Plan(HTTPStatus.NO_CONTENT, [_ALLOW, ("Accept-Ranges", "bytes")])
    return None


def _partial(facts: FileFacts, ranges: Sequence[ByteRange], boundary: str | None) -> Plan:
    if not ranges:
        unsatisfied = ("Content-Range", f"bytes */{facts.size}")
        kept = [pair for pair in facts.headers if pair[0].lower() != "cache-control"]
        headers = [*kept, _NOT_STORED, unsatisfied, ("Accept-Ranges", "bytes"), _EMPTY]
        return Plan(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
    if len(ranges) == 1:
        extra = ("Content-Range", ranges[0].content_range(facts.size))
        return _with_body(HTTPStatus.PARTIAL_CONTENT, facts, ranges, extra)
    body: list[Segment] = []
    boundary = boundary or secrets.token_hex(16)
    for each in ranges:
        head = (
            f"--{boundary}\r\nContent-Type: {facts.content_type}\r\n"
            f"Content-Range: {each.content_range(facts.size)}\r\n\r\n"
        )
        body += [head.encode("latin-1"), each, b"\r\n"]
    body.append(f"--{boundary}--\r\n".encode("ascii"))
    kind = f"multipart/byteranges; boundary={boundary}"
    return _with_body(HTTPStatus.PARTIAL_CONTENT, facts, body, content_type=kind)


def _with_body(
    status: HTTPStatus,
    facts: FileFacts,
    body: Sequence[Segment],
    *extra: tuple[str, str],
    content_type: str | None = None,
) -> Plan:
    answer = Plan(status, (), body)
    length = answer.size if body else facts.size  # to HEAD, what GET would send
    headers = [
        ("Content-Type", content_type or facts.content_type),
        ("Content-Length", str(length)),
        *extra,
        ("Accept-Ranges", "bytes"),
        *_validators(facts),
        ("Content-Disposition", facts.content_disposition),
    ]
    if facts.encoding is not None:
        headers.append(("Content-Encoding", facts.encoding))
    if facts.repr_digest is not None:
        headers.append(("Repr-Digest", facts.repr_digest))
    return Plan(status, headers, body)


def _validators(facts: FileFacts) -> list[tuple[str, str]]:
    """Return the headers that a 304 repeats."""
    headers = list(facts.headers)
    if facts.etag is not None:
        headers.append(("ETag", facts.etag))
    if facts.modified is not None:
        modified = format_datetime(facts.modified.astimezone(UTC), usegmt=True)
        headers.append(("Last-Modified", modified))
    return headers
