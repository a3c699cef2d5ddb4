"""Old value and new value in; what is kept, acquired and released out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_file import File
from sqlalchemy_file.mutable_list import MutableList
from sqlalchemy_file.tracking.changes import change, files_in, records_in
from sqlalchemy_file.values.records import own_path, paths_of, relocated


def record(name: str, *derived: str) -> dict[str, Any]:
    own = f"main/{name}"
    return {"saved": True, "path": own, "files": [own, *(f"main/{one}" for one in derived)]}


def file(name: str, *derived: str) -> File:
    return File.decode(record(name, *derived))


def names(paths: Any) -> list[str]:
    return sorted(path.removeprefix("main/") for path in paths)


# --- change


@pytest.mark.parametrize(
    ("old", "new", "released", "acquired"),
    [
        ("", "", "", []),
        ("", "a", "", [0]),
        ("a", "", "a", []),
        ("a", "a", "", []),
        ("a", "b", "a", [0]),
        ("abc", "cab", "", []),
        ("abc", "ab", "c", []),
        ("abc", "axc", "b", [1]),
        ("ab", "xaby", "", [0, 3]),
        ("a", "aa", "", [1]),
        ("aa", "a", "a", []),
        ("ab", "bb", "a", [1]),
        ("aab", "bba", "a", [1]),
    ],
)
def test_files_are_told_apart_by_path_and_counted(
    old: str, new: str, released: str, acquired: list[int]
) -> None:
    found = change([record(name) for name in old], [file(name) for name in new])
    assert names(found.released) == sorted(released)
    assert [position for position, _ in found.acquired] == acquired
    assert [one["path"] for _, one in found.acquired] == [f"main/{new[at]}" for at in acquired]


def test_a_file_is_released_with_all_that_belongs_to_it() -> None:
    found = change([record("a", "a-small", "a-large")], [])
    assert names(found.released) == ["a", "a-large", "a-small"]


def test_a_file_is_kept_with_all_that_belongs_to_it() -> None:
    assert change([record("a", "a-small")], [file("a", "a-small")]).released == ()


def test_what_a_kept_file_names_no_more_is_released() -> None:
    assert names(change([record("a", "a-small")], [file("a")]).released) == ["a-small"]


letters = st.lists(st.sampled_from("abcd"), max_size=8)


@given(old=letters, new=letters)
def test_a_change_is_the_difference_of_two_counts(old: list[str], new: list[str]) -> None:
    found = change([record(name) for name in old], [file(name) for name in new])
    before, after = Counter(old), Counter(new)
    assert Counter(names(found.released)) == before - after
    assert Counter(names(one["path"] for _, one in found.acquired)) == after - before
    assert all(new[at] == names([one["path"]])[0] for at, one in found.acquired)


# --- what a column holds


def test_the_files_of_a_value() -> None:
    one, two = file("a"), file("b")
    assert files_in(None) == ()
    assert files_in(one) == (one,)
    assert files_in([one, two]) == (one, two)
    assert files_in(MutableList([one])) == (one,)


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (None, 0),
        ("null", 0),
        ('{"path": "main/a"}', 1),
        (b'{"path": "main/a"}', 1),
        ('[{"path": "main/a"}, {"path": "main/b"}]', 2),
        ({"path": "main/a"}, 1),
        ([{"path": "main/a"}, None, 4], 1),
        ("[]", 0),
        ("", 0),
        ("not JSON", 0),
        ('"text"', 0),
        ("42", 0),
        ('{"path": "main/a"', 0),
        (b"\xff\xfe", 0),
        (7, 0),
    ],
    ids=repr,
)
def test_the_records_of_a_raw_value(raw: Any, count: int) -> None:
    assert len(records_in(raw)) == count


# --- records

THUMBNAIL = {"file_id": "t", "path": "main/t", "upload_storage": "main"}


@pytest.mark.parametrize(
    ("stored", "paths"),
    [
        ({}, ()),
        ({"path": None, "files": None}, ()),
        ({"path": "main/a"}, ("main/a",)),
        ({"files": ["main/a", "main/t"]}, ("main/a", "main/t")),
        ({"upload_storage": "main", "file_id": "a"}, ("main/a",)),
        ({"path": "main/a", "files": ["main/a"]}, ("main/a",)),
        ({"path": "main/a", "files": ["main/t", "main/a"]}, ("main/a", "main/t")),
        ({"path": "main/a", "thumbnail": THUMBNAIL}, ("main/a", "main/t")),
        (
            {"path": "main/a", "files": ["main/a", "main/t"], "thumbnail": THUMBNAIL},
            ("main/a", "main/t"),
        ),
        ({"path": "main/a", "variants": {"small": THUMBNAIL, "odd": 4}}, ("main/a", "main/t")),
        ({"path": "main/a", "thumbnail": "a name", "variants": []}, ("main/a",)),
        ({"path": "main/a", "files": ["main/a", None, 5]}, ("main/a",)),
        ({"path": "main/a", "files": "main/b"}, ("main/a",)),
    ],
    ids=repr,
)
def test_every_path_of_a_record_is_found_its_own_first(
    stored: dict[str, Any], paths: tuple[str, ...]
) -> None:
    assert paths_of(stored) == paths
    assert own_path(stored) == (paths[0] if paths else None)


def test_a_relocated_record_names_the_new_objects_everywhere() -> None:
    old = {
        "path": "main/x/a",
        "file_id": "x/a",
        "upload_storage": "main",
        "url": "old",
        "files": ["main/x/a", "other/t"],
        "thumbnail": {**THUMBNAIL, "path": "other/t", "upload_storage": "other", "url": "old"},
        "variants": {"small": {**THUMBNAIL, "path": "other/t", "upload_storage": "other"}},
    }
    new = relocated(old, {"main/x/a": "main/x/b", "other/t": "other/u"}, lambda path: f"at {path}")
    assert (new["path"], new["file_id"], new["url"]) == ("main/x/b", "x/b", "at main/x/b")
    assert new["files"] == ["main/x/b", "other/u"]
    for part in (new["thumbnail"], new["variants"]["small"]):
        assert (part["path"], part["file_id"], part["url"]) == ("other/u", "u", "at other/u")
    assert old["files"] == ["main/x/a", "other/t"]
    assert old["thumbnail"]["path"] == "other/t"
