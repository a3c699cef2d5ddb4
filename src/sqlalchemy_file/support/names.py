"""Names of modules that load at their first use, and deprecated names."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late(
    module: str, homes: Mapping[str, str], otherwise: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module that loads some of its names at their first use.

    ``homes`` maps each of them to the module that defines it; ``otherwise`` finds all others.
    """

    def find(name: str) -> Any:
        if name in homes:
            value = getattr(import_module(homes[name]), name)
            setattr(sys.modules[module], name, value)
            return value
        if otherwise is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return otherwise(name)

    return find


def submodule_of(package: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that imports its modules when they are asked for."""

    def find(name: str) -> Any:
        module = f"{package}.{name}"
        if not name.startswith("_"):
            try:
                return import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


_at_first_column: list[Callable[[], None]] = []
_lock = threading.RLock()


def at_first_column(start: Callable[[], None]) -> None:
    """Call a function once, when the first file column is declared."""
    _at_first_column[:] = [start]


def column_declared() -> None:
    """Call that function if no file column has been declared before."""
    if _at_first_column:
        with _lock:  # another thread that declares one waits until all has started
            for start in _at_first_column:
                start()
            _at_first_column.clear()


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
