"""Plan the answer to a request for a file, as a pure function of RFC 9110."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

from sqlalchemy_file.serving.http.conditions import failed_precondition, http_date, may_send_range
from sqlalchemy_file.serving.http.facts import FileFacts
from sqlalchemy_file.serving.http.ranges import ByteRange, requested_ranges

METHODS = ("GET", "HEAD", "OPTIONS")

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
    modified = facts.modified and facts.modified.replace(microsecond=0)
    failed = failed_precondition(headers, facts.etag, modified)
    if failed is not None:
        return _without_body(failed, facts)
    if method != "GET":
        return _with_body(HTTPStatus.OK, facts, ())
    ranges = _asked_for(headers, facts, modified, now)
    if ranges is not None:
        return _partial(facts, ranges, boundary or secrets.token_hex(16))
    return _with_body(HTTPStatus.OK, facts, (ByteRange(0, facts.size),) if facts.size else ())


def plan_without_file(method: str) -> Plan | None:
    """Return the answer that is the same for every file: to ``OPTIONS``, and to other methods."""
    if method not in METHODS:
        return Plan(HTTPStatus.METHOD_NOT_ALLOWED, [_allow(), _NOT_STORED, _EMPTY])
    if method == "OPTIONS":
        return Plan(HTTPStatus.NO_CONTENT, [_allow(), ("Accept-Ranges", "bytes")])
    return None


def _asked_for(
    headers: Mapping[str, str], facts: FileFacts, modified: datetime | None, now: datetime | None
) -> Sequence[ByteRange] | None:
    asked = headers.get("range")
    if asked is None or not may_send_range(headers, facts.etag, modified, now or _now()):
        return None
    return requested_ranges(asked, facts.size)


def _without_body(failed: HTTPStatus, facts: FileFacts) -> Plan:
    is_unchanged = failed is HTTPStatus.NOT_MODIFIED
    return Plan(failed, _validators(facts) if is_unchanged else [_NOT_STORED, _EMPTY])


def _partial(facts: FileFacts, ranges: Sequence[ByteRange], boundary: str) -> Plan:
    if not ranges:
        unsatisfied = ("Content-Range", f"bytes */{facts.size}")
        kept = [pair for pair in facts.headers if pair[0].lower() != "cache-control"]
        headers = [*kept, _NOT_STORED, unsatisfied, ("Accept-Ranges", "bytes"), _EMPTY]
        return Plan(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
    if len(ranges) == 1:
        extra = ("Content-Range", ranges[0].content_range(facts.size))
        return _with_body(HTTPStatus.PARTIAL_CONTENT, facts, ranges, extra)
    body: list[Segment] = []
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
        *_representation(facts),
    ]
    return Plan(status, headers, body)


def _validators(facts: FileFacts) -> list[tuple[str, str]]:
    """Return the headers that a 304 repeats."""
    headers = list(facts.headers)
    if facts.etag is not None:
        headers.append(("ETag", facts.etag))
    if facts.modified is not None:
        headers.append(("Last-Modified", http_date(facts.modified)))
    return headers


def _representation(facts: FileFacts) -> list[tuple[str, str]]:
    headers = [("Content-Disposition", facts.content_disposition)]
    if facts.encoding is not None:
        headers.append(("Content-Encoding", facts.encoding))
    if facts.repr_digest is not None:
        headers.append(("Repr-Digest", facts.repr_digest))
    return headers


def _allow() -> tuple[str, str]:
    return "Allow", ", ".join(METHODS)


def _now() -> datetime:
    return datetime.now(UTC)


_EMPTY = ("Content-Length", "0")
# What is said to one request must not be kept as an answer to others.
_NOT_STORED = ("Cache-Control", "no-store")
