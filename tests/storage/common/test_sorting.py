"""More items than are held in memory are sorted by a temporary database."""

from __future__ import annotations

import random

import pytest

from sqlalchemy_file.storage.common.keys import in_order


@pytest.mark.parametrize("count", [0, 4, 5, 6, 500])
def test_items_come_in_the_order_of_their_keys(count: int) -> None:
    items = [f"{number:03}" for number in range(count)]
    mixed = random.Random(7).sample(items, count)
    assert list(in_order(iter(mixed), run_size=5)) == items


def test_keys_are_ordered_by_code_points_and_equal_ones_all_come() -> None:
    keys = ["\U0001f600", "z", "ü", "\udc80", "a", "a", "Z"]
    assert list(in_order(keys, run_size=2)) == sorted(keys)


def test_an_error_of_the_items_is_their_own() -> None:
    def items():
        yield from "abc"
        raise ConnectionResetError("went away")

    with pytest.raises(ConnectionResetError, match="went away"):
        in_order(items(), run_size=2)
