"""What keys tell, without asking anybody."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import uuid4, uuid7

from sqlalchemy_file.reconcile.ownership import is_ours, made_at, owner
from sqlalchemy_file.reconcile.sweep import bound, time_prefixes

MOMENTS = st.integers(0, 2**47)


def test_ids_of_both_releases_are_ours_in_any_folder() -> None:
    for made in (uuid4(), uuid7()):
        assert is_ours(str(made))
        assert is_ours(f"users/42/{made}")
        assert is_ours(f"{made}.metadata.json")
        assert not is_ours(f"{made}.txt")
        assert not is_ours(str(made).upper() + "x")
        assert not is_ours(f"{made}/x")


def test_only_ids_with_a_time_tell_when_they_were_made() -> None:
    made = made_at(f"users/{uuid7()}")
    assert made is not None
    assert abs(made - time.time() * 1000) < 60_000
    assert made_at(str(uuid4())) is None


def test_a_file_of_metadata_belongs_to_its_object() -> None:
    assert owner("a/b.metadata.json") == "a/b"
    assert owner("a/b") == "a/b"


@given(MOMENTS, MOMENTS)
def test_bounds_stand_between_ids_by_their_time(made: int, when: int) -> None:
    key = f"{bound(made)}-7000-8000-000000000000"
    assert made_at(key) == made
    assert (bound(when) < key) == (when <= made)


@given(MOMENTS, st.integers(0, 10**12), st.floats(0, 1))
def test_few_prefixes_cover_a_span_of_time(since: int, length: int, part: float) -> None:
    prefixes = list(time_prefixes(since, since + length))
    assert 1 <= len(prefixes) <= 24
    assert prefixes == sorted(prefixes)
    inside = bound(since + int(length * part))
    assert any(inside.startswith(prefix) for prefix in prefixes)
