"""The profile of a case tells what was at work, and for how much of the time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("case", "parts"), [("flush_100", {"SHA-256"}), ("one_row", {"built-in functions"})]
)
def test_a_profile_sums_up_to_about_the_whole(case: str, parts: set[str]) -> None:
    command = [sys.executable, "-m", "benchmarks.profiling", case]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    shares = {part.strip(): int(share.strip().rstrip("%")) for part, share, _ in rows}
    assert {"SQLAlchemy", "ours: storage", "ours: tracking"} | parts <= shares.keys()
    assert 85 <= sum(shares.values()) <= 105
