"""Tables as data."""

from __future__ import annotations

from importlib.resources import files


def rows(name: str) -> list[list[str]]:
    """Return the words of each line of a table, without blank lines and comments."""
    lines = files(__name__).joinpath(f"{name}.txt").read_text("utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]
