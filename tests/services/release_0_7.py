"""Release 0.7.0 of this package, in an environment of its own, made by `make test`."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python() -> Path:
    """Return the interpreter of that environment."""
    return Path(os.environ.get("OLD", ROOT / ".venv-release-0.7.0")) / "bin" / "python"


@cache
def missing() -> str | None:
    """Return what is not installed, or None."""
    if python().exists():
        found = subprocess.run(
            [python(), "-I", "-c", "import PIL, fasteners, sqlalchemy_file"],
            capture_output=True,
            check=False,
        )
        if found.returncode == 0:
            return None
    return "release 0.7.0 is not installed: make .venv-release-0.7.0/.with-0.7.0"
