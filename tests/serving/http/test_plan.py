"""What RFC 9110 says about a request for a file, row by row."""

from __future__ import annotations

from datetime import timedelta
from email.parser import BytesParser
from http import HTTPStatus

import pytest

from sqlalchemy_file.serving import content_disposition
from sqlalchemy_file.serving.http import MOST_RANGES, ByteRange, FileFacts, Plan, plan
from tests.serving.checking import difference, received
from tests.serving.table import DATA, MODIFIED, ROWS, SAME, Row

FACTS = FileFacts(
    size=100,
    content_type="image/png",
    filename="a.png",
    etag='"same"',
    modified=MODIFIED,
    sha256="ab" * 32,
    headers=[("Cache-Control", "private")],
)
EMPTY = FileFacts(size=0, content_type="text/plain", filename="empty.txt", etag='"same"')


NOW = MODIFIED + timedelta(days=1)


def answer(method: str = "GET", facts: FileFacts = FACTS, **headers: str) -> Plan:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return plan(method, given, facts, now=NOW, boundary="limit")


def sent(found: Plan, data: bytes = DATA) -> bytes:
    return b"".join(
        part if isinstance(part, bytes) else data[part.start : part.end] for part in found.body
    )


def header(found: Plan, name: str) -> str | None:
    values = [value for key, value in found.headers if key.lower() == name.lower()]
    assert len(values) <= 1, f"{name} stands there twice"
    return values[0] if values else None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_a_request_gets_what_the_rfc_says(row: Row) -> None:
    found = plan(row.method, row.joined('"same"'), FACTS, now=NOW, boundary="limit")
    assert difference(received(found), row.method, row.status, row.sent) is None
    if row.status in (200, 206):
        length = len(sent(found)) if row.method == "GET" else len(DATA)
        assert header(found, "Content-Length") == str(length)
        assert header(found, "ETag") == '"same"'
        assert header(found, "Accept-Ranges") == "bytes"
        assert (
            header(found, "Repr-Digest") == "sha-256=:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=:"
        )
    else:
        assert sent(found) == b""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_head_gets_the_headers_of_get_and_ignores_ranges(row: Row) -> None:
    given = row.joined('"same"')
    found = plan("HEAD", given, FACTS, now=NOW)
    without_range = {name: value for name, value in given.items() if name != "range"}
    same = plan("GET", without_range, FACTS, now=NOW)
    assert (found.status, found.headers) == (same.status, same.headers)
    assert found.body == ()


def test_several_ranges_are_parts_in_the_order_asked_for() -> None:
    found = answer(range="bytes=50-59,0-9,-1")
    assert found.status == HTTPStatus.PARTIAL_CONTENT
    assert header(found, "Content-Range") is None
    assert header(found, "Content-Length") == str(len(sent(found)))
    kind = header(found, "Content-Type")
    parsed = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + sent(found))
    parts = parsed.get_payload()
    assert [part["Content-Range"] for part in parts] == [
        "bytes 50-59/100",
        "bytes 0-9/100",
        "bytes 99-99/100",
    ]
    assert [part.get_content_type() for part in parts] == ["image/png"] * 3
    assert [part for part in found.body if isinstance(part, ByteRange)] == [
        (50, 60),
        (0, 10),
        (99, 100),
    ]


@pytest.mark.parametrize(("count", "status"), [(MOST_RANGES, 206), (MOST_RANGES + 1, 200)])
def test_many_parts_are_answered_with_the_whole_file(count: int, status: int) -> None:
    asked = ",".join(f"{2 * number}-{2 * number}" for number in range(count))
    assert answer(range=f"bytes={asked}").status == status


def test_an_unsatisfiable_range_is_told_the_size() -> None:
    found = answer(range="bytes=100-")
    assert header(found, "Content-Range") == "bytes */100"
    assert header(found, "Content-Length") == "0"
    assert header(found, "Content-Type") is None


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=7-9"])
def test_an_empty_file_is_sent_whole(asked: str) -> None:
    found = answer(facts=EMPTY, range=asked)
    assert (found.status, found.body) == (HTTPStatus.OK, ())
    assert header(found, "Content-Length") == "0"


def test_not_modified_repeats_what_caches_need_and_describes_no_body() -> None:
    found = answer(if_none_match='"same"')
    assert dict(found.headers) == {
        "Cache-Control": "private",
        "ETag": '"same"',
        "Last-Modified": SAME,
    }


def test_a_fraction_of_a_second_does_not_make_a_file_newer() -> None:
    facts = FileFacts(100, "image/png", "a", modified=MODIFIED + timedelta(microseconds=900))
    assert answer(facts=facts, if_modified_since=SAME).status == HTTPStatus.NOT_MODIFIED


def test_a_date_of_this_second_is_too_weak_for_a_range() -> None:
    headers = {"range": "bytes=0-9", "if-range": SAME}
    fresh = plan("GET", headers, FACTS, now=MODIFIED + timedelta(microseconds=5))
    assert fresh.status == HTTPStatus.OK


def test_without_validators_conditions_are_those_of_a_file_without_a_version() -> None:
    facts = FileFacts(100, "image/png", "a")
    assert answer(facts=facts, if_match='"same"').status == HTTPStatus.PRECONDITION_FAILED
    assert answer(facts=facts, if_match="*").status == HTTPStatus.OK
    assert answer(facts=facts, if_none_match='"same"').status == HTTPStatus.OK
    assert answer(facts=facts, if_modified_since=SAME).status == HTTPStatus.OK
    assert answer(facts=facts, range="bytes=0-9", if_range=SAME).status == HTTPStatus.OK


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"])
def test_other_methods_are_refused_and_told_which_are_allowed(method: str) -> None:
    found = answer(method)
    assert found.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert header(found, "Allow") == "GET, HEAD, OPTIONS"


def test_options_tells_the_methods() -> None:
    found = answer("OPTIONS")
    assert (found.status, found.body) == (HTTPStatus.NO_CONTENT, ())
    assert header(found, "Allow") == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("name", ["x" * 400, "x" * 300 + "." + "y" * 100])
def test_a_long_name_without_a_suffix_is_cut_at_its_end(name: str) -> None:
    value = content_disposition("attachment", name)
    kept = value.removeprefix('attachment; filename="').removesuffix('"')
    assert name.startswith(kept)
    assert 100 < len(kept) < 300
