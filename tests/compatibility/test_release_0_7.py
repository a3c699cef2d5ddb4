"""Rows and objects of release 0.7.0 and of this package are used by the other, as it is installed.

So a rolling deployment, and a rollback, keep every file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services import release_0_7
from tests.services.required import require

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("release_0_7_program.py")


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    require(release_0_7)


def run(who: str, folder: Path, command: str) -> Any:
    """Let a command of the program run on the old release, or on this package."""
    python = sys.executable if who == "new" else release_0_7.python()
    source = {"PYTHONPATH": str(ROOT / "src")} if who == "new" else {}
    done = subprocess.run(
        [python, "-W", "ignore", PROGRAM, folder, command],
        capture_output=True,
        text=True,
        check=False,
        env=source,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def objects(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "att").iterdir())


@pytest.mark.parametrize(("writer", "reader"), [("old", "new"), ("new", "old")])
def test_what_one_writes_the_other_reads_changes_and_removes(
    writer: str, reader: str, tmp_path: Path
) -> None:
    run(writer, tmp_path, "write")
    own, others = run(writer, tmp_path, "read"), run(reader, tmp_path, "read")
    assert others == own
    assert [file["text"] for file in own[0] if file["text"][1:4] != "PNG"] == [
        *("hello", "one", "two")
    ]
    assert own[1] == [None, None]
    assert own[0][1]["thumbnail"] is True
    run(reader, tmp_path, "change")
    changed = run(writer, tmp_path, "read")
    assert [file and file["text"] for file in changed[0]] == ["changed", None, "two"]
    assert len([name for name in objects(tmp_path) if not name.endswith(".json")]) == 2
    run(writer, tmp_path, "remove")
    assert objects(tmp_path) == []
