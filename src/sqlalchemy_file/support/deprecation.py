"""Deprecated names and parameters, with their warnings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def moved(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module that has lost some of its names.

    ``homes`` maps each of them to the module that has it now. Their use is deprecated.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home = homes[name]
        advice = "" if home.endswith(".legacy") else f": import it from {home}"
        message = f"{name} of {module} is deprecated{advice}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(import_module(home), name)

    return find


def with_metadata(
    extra: Mapping[str, Any] | None, metadata: Mapping[str, Any] | None, *, stacklevel: int = 3
) -> dict[str, Any] | None:
    """Return ``extra`` with the deprecated ``metadata``, which replaces its ``meta_data``."""
    if metadata is None:
        return None if extra is None else dict(extra)
    warnings.warn(
        'metadata attribute is deprecated. Use extra={"meta_data": ...} instead',
        DeprecationWarning,
        stacklevel=stacklevel,
    )
    return {**(extra or {}), "meta_data": dict(metadata)}
