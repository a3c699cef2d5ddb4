"""What the end of a test run says of the tests that were skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SKIPPING = """
import pytest

@pytest.fixture
def server():
    pytest.skip("no server here: make services")

@pytest.mark.parametrize("number", range(30))
def test_with_a_server(server, number): ...

@pytest.mark.parametrize("number", range(5))
def test_with_something_else(number):
    pytest.skip("something else is missing")
"""


def test_skipped_tests_take_one_line_for_each_reason(tmp_path: Path) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.completeness"]
    configured = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), str(tmp_path)]
    ran = subprocess.run(
        [*command, *configured],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )
    told = [line for line in ran.stdout.splitlines() if line.startswith("SKIPPED")]
    assert told == [
        "SKIPPED [30] no server here: make services",
        "SKIPPED [5] something else is missing",
    ], ran.stdout
