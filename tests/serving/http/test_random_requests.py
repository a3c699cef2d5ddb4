"""Random headers never raise, leave the file's bounds, or get more bytes than it has."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from sqlalchemy_file import StorageManager
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.serving.http import (
    ByteRange,
    FileFacts,
    content_disposition,
    plan,
    requested_ranges,
)
from sqlalchemy_file.serving.target import RequestFacts, Target
from sqlalchemy_file.storage import Attributes
from tests.serving.models import SECRET
from tests.serving.reading import answer_of, stream

EXAMPLES = int(os.environ.get("SQLALCHEMY_FILE_TEST_REQUESTS", "500"))

sizes = st.one_of(st.integers(0, 60), st.integers(0, 1 << 62))
position = st.one_of(st.just(""), st.integers(0, 70).map(str), st.integers(0, 1 << 66).map(str))
spec = st.one_of(
    st.tuples(position, st.just("-"), position).map("".join),
    st.text("0123456789-, \t=+", max_size=12),
)
ranges = st.one_of(
    st.lists(spec, max_size=40).map(lambda specs: "bytes=" + ",".join(specs)),
    st.tuples(st.sampled_from(["bytes=", "items=", "bytes", ""]), st.text(max_size=60)).map(
        "".join
    ),
)
tags = st.one_of(
    st.sampled_from(['"same"', 'W/"same"', "*", '"other"', "same", '"a", "same"', '"']), st.text()
)
dates = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda date: f"{date:%a, %d %b %Y %H:%M:%S GMT}"),
    st.text(max_size=40),
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "range": ranges,
        "if-range": st.one_of(tags, dates),
        "if-match": tags,
        "if-none-match": tags,
        "if-modified-since": dates,
        "if-unmodified-since": dates,
    },
)


@settings(max_examples=EXAMPLES)
@given(requests, sizes, st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]))
def test_no_request_leaves_the_bounds_of_the_file(
    headers: dict[str, str], size: int, method: str
) -> None:
    require_within_bounds(headers, size, method)


def require_within_bounds(headers: dict[str, str], size: int, method: str) -> None:
    modified = datetime(2026, 3, 1, tzinfo=UTC)
    facts = FileFacts(size, "image/png", "a.png", etag='"same"', modified=modified)
    found = plan(method, headers, facts)
    parts = [part for part in found.body if isinstance(part, ByteRange)]
    assert all(0 <= part.start < part.end <= size for part in parts)
    assert sum(part.size for part in parts) <= size
    assert method == "GET" or not found.body
    if found.status in (200, 206) and method == "GET":
        assert dict(found.headers)["Content-Length"] == str(found.size)
    assert all("\r" not in value and "\n" not in value for _, value in found.headers)


CONTENT = bytes(range(60))
server = FileServer(secret=SECRET, public=["main"])
target = Target("main", "key", "image/png", "a.png", "inline", len(CONTENT), "ab" * 32)
TOKEN = server._signer.sign(target, datetime(2126, 1, 1, tzinfo=UTC))
segments = st.one_of(
    st.sampled_from(["public", "main", "key", "..", ".", "", TOKEN, TOKEN[:-1], "%2e", "a.png"]),
    st.text(max_size=30),
)
lines = st.tuples(
    st.one_of(
        st.sampled_from([b"range", b"if-range", b"if-match", b"if-none-match", b"sec-fetch-site"]),
        st.binary(max_size=20),
    ),
    st.one_of(st.binary(max_size=60), ranges.map(lambda text: text.encode("latin-1", "replace"))),
)


@contextmanager
def one_object() -> Iterator[None]:
    StorageManager.clear()
    StorageManager.add_storage("main", "memory://")
    attributes = Attributes(content_type="image/png")
    StorageManager.storage("main").put("key", io.BytesIO(CONTENT), attributes)
    yield


@settings(max_examples=EXAMPLES // 2)
@given(
    st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]),
    st.lists(segments, max_size=5).map("/".join),
    st.lists(lines, max_size=8),
)
def test_no_bytes_of_a_request_make_the_server_fail(
    method: str, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    scope = {"method": method, "path": f"/{path}", "root_path": "", "headers": headers}
    with one_object():
        answer = answer_of(server.answering(RequestFacts.of_scope(scope)))
        if answer.target is not None:
            assert answer.target.key == "key"
            sent = b"".join(stream("main", "key", answer.plan.body))
            assert len(sent) == int(dict(answer.plan.headers)["Content-Length"])
    assert answer.plan.status in (200, 204, 206, 304, 403, 404, 405, 412, 416)


@settings(max_examples=EXAMPLES)
@given(ranges, st.integers(1, 60))
def test_merged_ranges_hold_just_the_bytes_asked_for(header: str, size: int) -> None:
    found = requested_ranges(header, size)
    if found is None:
        return
    sent = [number for each in found for number in range(each.start, each.end)]
    asked = set()
    for item in filter(None, (item.strip(" \t") for item in header.partition("=")[2].split(","))):
        first, _, last = item.partition("-")
        if first:
            asked |= set(range(size)[int(first) : int(last) + 1 if last else None])
        elif int(last):
            asked |= set(range(size)[-int(last) :])
    assert sorted(sent) == sorted(asked)


@settings(max_examples=EXAMPLES)
@given(st.text(max_size=400), st.sampled_from(["inline", "attachment"]))
def test_no_file_name_leaves_its_header(filename: str, disposition: str) -> None:
    value = content_disposition(disposition, filename)
    assert value.isascii()
    assert value.isprintable()
    quoted = value.split('"')
    assert len(quoted) == 3
    assert not set(quoted[1]) & set('\\/%"')
    assert len(value) < 2500
