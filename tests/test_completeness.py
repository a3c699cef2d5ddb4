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


def ends(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run tests that are skipped, and return how the run ended."""
    (folder / "part").mkdir()
    (folder / "part" / "test_skipping.py").write_text(SKIPPING)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.completeness"]
    configured = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    return subprocess.run(
        [*command, *configured],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(ROOT), **environment},
    )


def lines(ran: subprocess.CompletedProcess[str], begin: str) -> list[str]:
    return [line for line in ran.stdout.splitlines() if line.startswith(begin)]


def test_skipped_tests_take_one_line_for_each_reason(tmp_path: Path) -> None:
    ran = ends(tmp_path)
    assert lines(ran, "SKIPPED") == [
        "SKIPPED [30] no server here: make services",
        "SKIPPED [5] something else is missing",
    ], ran.stdout
    assert ran.returncode == 0


def test_in_ci_skipped_tests_fail_the_run_by_one_line_for_each_folder(tmp_path: Path) -> None:
    ran = ends(tmp_path, CI="true")
    assert lines(ran, "INCOMPLETE") == ["INCOMPLETE: 35 skipped in part; in CI nothing may be"]
    assert ran.returncode == 1
