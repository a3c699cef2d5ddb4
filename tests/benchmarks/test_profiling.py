"""The profile of a case tells what was at work, and for how much of the time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_profile_sums_up_to_about_the_whole() -> None:
    command = [sys.executable, "-m", "benchmarks.profiling", "flush_100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines()[2:]]
    shares = {part.strip(): int(share.strip().rstrip("%")) for part, share, _ in rows}
    assert {"SQLAlchemy", "SHA-256", "ours: storage", "ours: tracking"} <= shares.keys()
    assert 85 <= sum(shares.values()) <= 105
