"""The pace of a client: how much it is sent at once."""

from __future__ import annotations

import math

from sqlalchemy_file.serving.budget import AHEAD, LARGEST, SMALLEST, Pace

MB = 1_000_000


def taking(pace: Pace, size: int, *, rate: float, buffers: int = 0) -> list[int]:
    """Return the pieces of ``size`` bytes to a client whose buffers are filled at once."""
    pieces, free, left = [], buffers, size
    while left > 0:
        piece = pace.size
        left -= piece
        free -= piece
        waited = 0.0
        if free < 0:
            waited = (buffers - free) / rate
            free = buffers
        pace.note(piece, waited)
        pieces.append(piece)
    return pieces


def test_each_piece_that_is_taken_at_once_doubles_the_next_one() -> None:
    pieces = taking(Pace(), 2 * MB, rate=math.inf)
    doubled = [SMALLEST * factor for factor in (1, 2, 4, 8, 16)]
    assert pieces[:7] == [*doubled, LARGEST, LARGEST]


def test_no_piece_is_smaller_or_larger_than_the_limits() -> None:
    for rate in (1.0, 1e5, 1e6, 1e7, 1e8, 1e12):
        pieces = taking(Pace(), 20 * MB, rate=rate)
        assert min(pieces) >= SMALLEST
        assert max(pieces) <= LARGEST


def test_a_slow_client_gets_the_smallest_pieces() -> None:
    assert set(taking(Pace(), 5 * MB, rate=0.3 * MB)) == {SMALLEST}


def test_a_client_gets_what_it_takes_in_the_time_ahead() -> None:
    assert taking(Pace(), 20 * MB, rate=5 * MB)[-1] / (5 * MB) <= 1.1 * AHEAD
    assert taking(Pace(), 20 * MB, rate=5 * MB)[-1] / (5 * MB) >= 0.9 * AHEAD


def test_buffers_that_are_filled_at_once_make_no_client_quick() -> None:
    pace = Pace()
    taking(pace, 4 * MB, rate=0.3 * MB, buffers=800_000)
    later = taking(pace, 20 * MB, rate=0.3 * MB, buffers=800_000)
    assert max(later) < 4 * SMALLEST


def test_a_client_that_pauses_is_quick_again_after_a_few_megabytes() -> None:
    pace = Pace()
    taking(pace, 10 * MB, rate=1e9)
    assert pace.is_quick
    pace.note(LARGEST, 600)
    assert pace.size < LARGEST / 4
    taking(pace, 10 * MB, rate=1e9)
    assert pace.is_quick


def test_a_client_that_is_quick_for_a_terabyte_has_a_pace() -> None:
    pace = Pace()
    for _ in range(100_000):
        pace.note(10 * MB, 0.0)
    assert pace.size == LARGEST
