"""Tables as data."""

from __future__ import annotations

from importlib.resources import files


def rows(name: str) -> list[list[str]]:
    """Return the words of each row of a table, without comments.

    An indented line continues the row before it.
    """
    text = files(__name__).joinpath(f"{name}.txt").read_text("utf-8")
    lines = text.replace("\n ", " ").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]
