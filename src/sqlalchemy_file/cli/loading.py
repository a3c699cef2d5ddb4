"""Load the function of ``--app``, which sets up storages and the engine."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine, MetaData

_SHAPE = "module:callable, such as myapp.files:setup"


App = tuple[Engine, MetaData]


def load(app: str) -> list[App]:
    """Call ``module:callable`` and return each engine with the metadata that it returns.

    That may be one pair, or a list of pairs: several ledgers that write to the same storages.
    Modules are looked for in the current folder too. Raises `click.ClickException` for anything
    else, also for an `AsyncEngine`.
    """
    function = _function(app)
    try:
        returned = function()
    except Exception as error:
        raise _wrong(f"{app} raised {type(error).__name__}: {error}") from error
    return _checked(app, returned)


def _function(app: str) -> Any:
    module_name, colon, path = app.partition(":")
    if not (module_name and colon and path):
        raise _wrong(f"--app is {_SHAPE}, not {app!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise _wrong(f"--app: cannot import {module_name}: {error}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise _wrong(f"--app: {module_name} has no {path!r}")
        found = getattr(found, name)
    if not callable(found):
        raise _wrong(f"--app: {app} is not callable; it is to be {_SHAPE}")
    return found


def _checked(app: str, returned: Any) -> list[App]:
    pairs = returned if isinstance(returned, list) and returned else [returned]
    return [_pair(app, each) for each in pairs]


def _pair(app: str, returned: Any) -> App:
    if isinstance(returned, tuple) and len(returned) == 2:
        engine, metadata = returned
        metadata = getattr(metadata, "metadata", metadata)
        if isinstance(engine, Engine) and isinstance(metadata, MetaData):
            return engine, metadata
    kind = type(returned).__name__
    shown = f"({', '.join(type(e).__name__ for e in returned)})" if kind == "tuple" else kind
    raise _wrong(
        f"--app: {app} is to return an Engine (not an AsyncEngine) and a MetaData, or a "
        f"declarative base, or a list of such pairs, not {shown}"
    )


def _wrong(message: str) -> click.ClickException:
    return click.ClickException(message)
