"""Requests for a file of 100 bytes, and what RFC 9110 has them answered with.

One table for the pure core, for the servers that applications run under, and for nginx, which
serves the same file by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

DATA = bytes(range(100))
MODIFIED = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)

SAME, EARLIER, LATER = (
    format_datetime(MODIFIED + timedelta(seconds=seconds), usegmt=True) for seconds in (0, -1, 1)
)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What another server answers, and why it differs."""

    reason: str
    status: int
    sent: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A request and its answer.

    ``{etag}`` in a header's value stands for the file's entity tag, with its quotes. ``sent`` are
    the positions of the bytes that come, separated by commas where there are several parts.
    """

    headers: tuple[tuple[str, str], ...]
    status: int
    sent: str = ""
    method: str = "GET"
    nginx: Elsewhere | None = None

    @property
    def label(self) -> str:
        named = ", ".join(f"{name}: {value[:60]}" for name, value in self.headers)
        return f"{self.method} {named}".strip()

    def lines(self, etag: str) -> list[tuple[str, str]]:
        """Return the header lines of the request for a file with this entity tag."""
        return [(name, value.replace("{etag}", etag)) for name, value in self.headers]

    def joined(self, etag: str) -> dict[str, str]:
        """Return the same as a mapping with lower-case names, as `plan` takes it."""
        found: dict[str, str] = {}
        for name, value in self.lines(etag):
            before = f"{found[name.lower()]}, " if name.lower() in found else ""
            found[name.lower()] = before + value
        return found


def bytes_at(positions: str) -> bytes:
    """Return the bytes of the file at positions such as ``0-9``."""
    first, last = map(int, positions.split("-"))
    return DATA[first : last + 1]


def row(
    status: int,
    sent: str = "",
    *lines: tuple[str, str],
    method: str = "GET",
    nginx: Elsewhere | None = None,
    **headers: str,
) -> Row:
    named = [(name.replace("_", "-").title(), value) for name, value in headers.items()]
    return Row((*lines, *named), status, sent, method, nginx)


def whole(*lines: tuple[str, str], nginx: Elsewhere | None = None, **headers: str) -> Row:
    return row(200, "0-99", *lines, nginx=nginx, **headers)


def part(sent: str, asked: str, nginx: Elsewhere | None = None, **headers: str) -> Row:
    return row(206, sent, nginx=nginx, range=asked, **headers)


def unsatisfiable(asked: str, nginx: Elsewhere | None = None, **headers: str) -> Row:
    return row(416, nginx=nginx, range=asked, **headers)


def unmodified(*lines: tuple[str, str], nginx: Elsewhere | None = None, **headers: str) -> Row:
    return row(304, "", *lines, nginx=nginx, **headers)


def failed(*lines: tuple[str, str], nginx: Elsewhere | None = None, **headers: str) -> Row:
    return row(412, "", *lines, nginx=nginx, **headers)


def head(status: int, nginx: Elsewhere | None = None, **headers: str) -> Row:
    return row(status, method="HEAD", nginx=nginx, **headers)


def several(count: int) -> str:
    return "bytes=" + ",".join(f"{2 * number}-{2 * number}" for number in range(count))


# What nginx has otherwise; RFC 9110 is quoted where it allows that, or not.
REFUSED = Elsewhere("malformed ranges are refused, which 14.2 allows as well", 416)
TOO_BIG = Elsewhere("positions beyond 63 bits are malformed", 416)
TABS = Elsewhere("only spaces are skipped, against 5.6.3", 416)
EMPTY_ELEMENTS = Elsewhere("empty elements are malformed, against 5.6.1.2", 416)
TWO_LINES = Elsewhere("a list may not come in several lines, against 5.3", 400)
EXACT = Elsewhere(
    "a date means the one of the file, unless `if_modified_since before`", 200, "0-99"
)
NO_OPTIONS = Elsewhere("a file has GET and HEAD", 405)
LENIENT = "some malformed ranges are read, or passed over"
UNMERGED = "ranges that overlap or touch stay as they were asked for"
BOTH = "a date counts beside an entity tag, against 13.2.2"
HEAD = "a range counts for HEAD, against 14.2"

ROWS: list[Row] = [
    whole(),
    # one range
    part("0-9", "bytes=0-9"),
    part("90-99", "bytes=90-"),
    part("0-99", "bytes=0-"),
    part("0-0", "bytes=0-0"),
    part("99-99", "bytes=99-99"),
    part("99-99", "bytes=99-"),
    part("0-99", "bytes=0-99"),
    part("0-99", "bytes=0-100"),
    part("90-99", "bytes=90-1000"),
    part("0-99", "bytes=0-9999999999999999999", nginx=TOO_BIG),
    part("0-9", "bytes=000-0009"),
    part("90-99", "bytes=-10"),
    part("99-99", "bytes=-1"),
    part("0-99", "bytes=-100"),
    part("0-99", "bytes=-1000"),
    part("0-9", "BYTES=0-9"),
    part("0-9", "Bytes=0-9"),
    part("0-9", "bytes= 0-9 "),
    part("0-9", "bytes=\t0-9", nginx=TABS),
    part("0-9", "bytes=,0-9,,", nginx=EMPTY_ELEMENTS),
    # none that can be satisfied
    unsatisfiable("bytes=100-"),
    unsatisfiable("bytes=100-100"),
    unsatisfiable("bytes=200-300"),
    unsatisfiable("bytes=9999999999999999999-"),
    unsatisfiable("bytes=-0"),
    unsatisfiable("bytes=100-,200-,-0"),
    # malformed, or of another unit: ignored
    whole(range=""),
    whole(range="items=0-9"),
    whole(range="byte=0-9"),
    whole(range="bytes"),
    whole(range="0-9"),
    whole(range="bytes="),
    whole(range="bytes=,", nginx=REFUSED),
    whole(range="bytes=-", nginx=REFUSED),
    whole(range="bytes=abc", nginx=REFUSED),
    whole(range="bytes=9-0", nginx=REFUSED),
    whole(range="bytes=0-9,9-0", nginx=Elsewhere(LENIENT, 206, "0-9")),
    whole(range="bytes=0-9,abc", nginx=REFUSED),
    whole(range="bytes=0-9;20-29", nginx=REFUSED),
    whole(range="bytes=0-9 20-29", nginx=REFUSED),
    whole(range="bytes=--1", nginx=REFUSED),
    whole(range="bytes=-1-", nginx=REFUSED),
    whole(range="bytes=1-2-3", nginx=REFUSED),
    whole(range="bytes=+1-2", nginx=REFUSED),
    whole(range="bytes=0 -9", nginx=Elsewhere(LENIENT, 206, "0-9")),
    whole(range="bytes=0- 9", nginx=Elsewhere(LENIENT, 206, "0-9")),
    whole(range="bytes=0.0-9", nginx=REFUSED),
    whole(range="bytes=0x1-0x2", nginx=REFUSED),
    whole(range="bytes=\xb2-\xb3", nginx=REFUSED),
    whole(range="bytes=0-9; charset=utf-8", nginx=REFUSED),
    whole(range="bytes:0-9"),
    whole(range="bytes=0-9,items=0-9", nginx=REFUSED),
    whole(range="bytes=0-99999999999999999999999999", nginx=TOO_BIG),
    whole(
        range="bytes=" + ",".join(["0-0"] * 2500),
        nginx=Elsewhere("header lines have 8 KB at most", 400),
    ),
    whole(
        ("Range", "bytes=0-9"),
        ("Range", "bytes=20-29"),
        nginx=Elsewhere("the first line counts", 206, "0-9"),
    ),
    # several that become one
    part("0-9", "bytes=0-9,200-"),
    part("0-9", "bytes=200-,0-9"),
    part("0-19", "bytes=0-9,10-19", nginx=Elsewhere(UNMERGED, 206, "0-9,10-19")),
    part("0-14", "bytes=5-14,0-9", nginx=Elsewhere(UNMERGED, 206, "5-14,0-9")),
    part(
        "0-99",
        "bytes=0-,5-9,-1",
        nginx=Elsewhere("more bytes than the file has: all of it, once", 200, "0-99"),
    ),
    part("97-99", "bytes=-1,-2,-3", nginx=Elsewhere(UNMERGED, 206, "99-99,98-99,97-99")),
    part("5-5", "bytes=5-5,5-5", nginx=Elsewhere(UNMERGED, 206, "5-5,5-5")),
    part("0-99", "bytes=0-49,50-99", nginx=Elsewhere(UNMERGED, 206, "0-49,50-99")),
    part("0-0", "bytes=0-0,-0"),
    # several parts, in the order asked for
    part("0-9,20-29", "bytes=0-9,20-29"),
    part("50-59,0-9", "bytes=50-59,0-9"),
    part("50-59,0-9,99-99", "bytes=50-59, 0-9 ,\t-1", nginx=TABS),
    part("0-0,99-99", "bytes=0-0,-1"),
    part(
        "0-6,50-70",
        "bytes=0-4,2-6,50-60,55-70",
        nginx=Elsewhere(UNMERGED, 206, "0-4,2-6,50-60,55-70"),
    ),
    part("0-49,51-99", "bytes=0-49,51-99"),
    part("0-9,90-99", "bytes=0-9,100-,90-"),
    part(",".join(f"{2 * n}-{2 * n}" for n in range(16)), several(16)),
    whole(
        range=several(17),
        nginx=Elsewhere("no limit on parts", 206, several(17).removeprefix("bytes=")),
    ),
    # entity tags
    whole(if_match="{etag}"),
    whole(if_match='"other", {etag}'),
    whole(("If-Match", '"other"'), ("If-Match", "{etag}"), nginx=TWO_LINES),
    whole(if_match="*"),
    whole(if_match=" * "),
    failed(if_match='"other"'),
    failed(if_match="W/{etag}"),
    failed(if_match="same"),
    failed(if_match=""),
    failed(if_match='""'),
    failed(if_match='"other"', range="bytes=0-9"),
    failed(if_match='"other"', range="bytes=200-"),
    failed(if_match='"other"', if_none_match="{etag}"),
    part("0-9", "bytes=0-9", if_match="{etag}"),
    unsatisfiable("bytes=200-", if_match="{etag}"),
    unmodified(if_match="{etag}", if_none_match="{etag}"),
    unmodified(if_none_match="{etag}"),
    unmodified(if_none_match="W/{etag}"),
    unmodified(if_none_match='"a,b" , W/{etag}'),
    unmodified(if_none_match='"other",{etag},"third"'),
    unmodified(("If-None-Match", '"other"'), ("If-None-Match", "{etag}"), nginx=TWO_LINES),
    unmodified(if_none_match="*"),
    unmodified(if_none_match=" * "),
    whole(if_none_match='"other"'),
    whole(if_none_match=""),
    whole(if_none_match="same"),
    whole(if_none_match='"*"'),
    whole(if_none_match='"\xfc"'),
    unmodified(if_none_match="{etag}", range="bytes=0-9"),
    unmodified(if_none_match="{etag}", range="bytes=200-"),
    part("0-9", "bytes=0-9", if_none_match='"other"'),
    # dates
    unmodified(if_modified_since=SAME),
    unmodified(if_modified_since=LATER, nginx=EXACT),
    unmodified(if_modified_since="Sun, 01 Mar 2099 12:30:45 GMT", nginx=EXACT),
    whole(if_modified_since=EARLIER),
    whole(if_modified_since="Thu, 01 Jan 1970 00:00:00 GMT"),
    unmodified(if_modified_since="Sunday, 01-Mar-26 12:30:45 GMT"),
    unmodified(if_modified_since="Sun Mar  1 12:30:45 2026"),
    whole(if_modified_since="yesterday"),
    whole(if_modified_since=""),
    whole(if_modified_since="Sun, 99 Mar 2026 12:30:45 GMT"),
    whole(
        if_modified_since="Sun, 01 Mar 2026 12:30:45 +0000",
        nginx=Elsewhere("other dates than HTTP-dates count", 304),
    ),
    whole(if_modified_since="Sun, 1 Mar 2026 12:30:45 GMT"),
    whole(if_modified_since="2026-03-01T12:30:45Z"),
    whole(if_modified_since="1772368245"),
    whole(if_modified_since=SAME, if_none_match='"other"'),
    unmodified(
        if_modified_since=EARLIER, if_none_match="{etag}", nginx=Elsewhere(BOTH, 200, "0-99")
    ),
    unmodified(if_modified_since=SAME, range="bytes=0-9"),
    part("0-9", "bytes=0-9", if_modified_since=EARLIER),
    whole(if_unmodified_since=SAME),
    whole(if_unmodified_since=LATER),
    failed(if_unmodified_since=EARLIER),
    failed(if_unmodified_since=EARLIER, range="bytes=0-9"),
    failed(if_unmodified_since=EARLIER, if_none_match="{etag}"),
    unmodified(if_unmodified_since=SAME, if_none_match="{etag}"),
    whole(if_unmodified_since="never", nginx=Elsewhere("what is no date is an early one", 412)),
    whole(if_unmodified_since=EARLIER, if_match="{etag}", nginx=Elsewhere(BOTH, 412)),
    failed(if_unmodified_since=SAME, if_match='"other"'),
    # If-Range
    part("0-9", "bytes=0-9", if_range="{etag}"),
    whole(range="bytes=0-9", if_range="W/{etag}"),
    whole(range="bytes=0-9", if_range='"other"'),
    whole(range="bytes=0-9", if_range="*"),
    whole(range="bytes=0-9", if_range=""),
    whole(range="bytes=0-9", if_range='"other", {etag}'),
    part("0-9", "bytes=0-9", if_range=SAME),
    whole(range="bytes=0-9", if_range=EARLIER),
    whole(range="bytes=0-9", if_range=LATER),
    whole(range="bytes=0-9", if_range="soon"),
    whole(range="bytes=200-", if_range='"other"'),
    unsatisfiable("bytes=200-", if_range="{etag}"),
    part("0-9,20-29", "bytes=0-9,20-29", if_range="{etag}"),
    whole(if_range='"other"'),
    unmodified(range="bytes=0-9", if_range='"other"', if_none_match="{etag}"),
    failed(range="bytes=0-9", if_range="{etag}", if_match='"other"'),
    # HEAD: what GET would send without a range
    head(200),
    head(200, range="bytes=0-9", nginx=Elsewhere(HEAD, 206)),
    head(200, range="bytes=0-9,20-29", nginx=Elsewhere(HEAD, 206)),
    head(200, range="bytes=200-", nginx=Elsewhere(HEAD, 416)),
    head(200, range="bytes=abc", nginx=Elsewhere(HEAD, 416)),
    head(200, range="bytes=0-9", if_range="{etag}", nginx=Elsewhere(HEAD, 206)),
    head(200, if_match="{etag}"),
    head(412, if_match='"other"'),
    head(412, if_unmodified_since=EARLIER, range="bytes=0-9"),
    head(304, if_none_match="{etag}"),
    head(304, if_none_match="*", range="bytes=0-9"),
    head(304, if_modified_since=SAME),
    head(200, if_modified_since=EARLIER),
    # other methods
    row(204, method="OPTIONS", nginx=NO_OPTIONS),
    row(204, method="OPTIONS", range="bytes=0-9", if_match='"other"', nginx=NO_OPTIONS),
    *(row(405, method=method) for method in ("POST", "PUT", "PATCH", "DELETE")),
    row(405, method="DELETE", if_match='"other"'),
    row(405, method="PROPFIND"),
    # what has nothing to do with the file
    whole(accept="text/html", accept_encoding="gzip, br", accept_language="de"),
    whole(accept="image/*;q=0"),
    whole(te="trailers", cache_control="no-cache", pragma="no-cache"),
    whole(content_type="text/plain"),
    whole(x_anything="\xff\xfe"),
]
