"""Check the validators, transforms and processors of a field."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import FunctionType
from typing import Any


def checked_steps(steps: Any, parameter: str) -> list[Any]:
    """Return validators or processors as a list; raise `TypeError` for anything else.

    A class whose ``process`` needs no instance is accepted.
    """
    if not isinstance(steps, Iterable | None):
        raise TypeError(f"{parameter} is a list: give [{type(steps).__name__}(...)]")
    listed = list(steps or ())
    for step in listed:
        if not callable(getattr(step, "process", None)):
            raise TypeError(f"{parameter} are objects with a method process, not {step!r}")
        is_class = isinstance(step, type)
        if is_class and isinstance(inspect.getattr_static(step, "process"), FunctionType):
            name = step.__name__
            raise TypeError(f"{parameter} are objects, not classes: give {name}(...), not {name}")
    return listed
