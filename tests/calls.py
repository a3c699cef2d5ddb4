"""Calls of the library's functions, counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy_file

HOME = str(Path(sqlalchemy_file.__file__).parent)


@contextmanager
def calls_noted() -> Iterator[list[str]]:
    """Note the file of each function of the library that is called in the block."""
    places: list[str] = []

    def note(frame: FrameType, what: str, argument: Any) -> None:
        if what == "call" and frame.f_code.co_filename.startswith(HOME):
            places.append(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield places
    finally:
        sys.setprofile(before)
