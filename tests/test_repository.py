"""What must hold for every file of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Written so that they do not match this file.
PRIVATE = {
    "a path of one machine": r"(?<![\w.])/(?:work|tmp/w)/",
    "a package registry's host": (
        r"(?i)\b(?:[\w-]+\.)*(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)"
        r"|(?:deb|security)\.debian\.org|archive\.ubuntu\.com|crates\.io|proxy\.golang\.org)\b"
    ),
}


def _files() -> list[Path]:
    """Return the files that are, or would be, committed; all files of an unpacked archive."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in output.decode().split("\0") if name]
    else:
        patterns = ("*", "src/**/*", "tests/**/*", "docs/**/*", "examples/**/*")
        paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("what", PRIVATE)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(PRIVATE[what].encode())
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in _files()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert found == []
