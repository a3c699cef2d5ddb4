"""What is kept of a storage under its name, and which names there may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.storage.adapters import adapt
from sqlalchemy_file.storage.base import Storage, named
from sqlalchemy_file.storage.location import overlap


@dataclass(frozen=True, slots=True)
class Registered:
    """A storage, and the thing that a program gave to be one."""

    given: Any
    storage: Storage


def registered_as(name: str, thing: Any, options: Mapping[str, Any]) -> Registered:
    """Return what to keep under a name; the errors of a storage say that name."""
    _check_name(name)
    return Registered(thing, _adapted(name, thing, options))


def refuse_ambiguous(name: str, others: Iterable[str]) -> None:
    """Raise `RuntimeError` for a name that is taken, or with which a path could mean either."""
    if name in others:
        raise RuntimeError(
            f"Storage {name} has already been added; say replace=True to put another one in its "
            "place, or use StorageManager.override for the length of a test"
        )
    other = next((each for each in others if overlap(each, name)), None)
    if other is not None:
        raise RuntimeError(
            f"Storage {name!r} cannot be added beside {other!r}: a path that begins with both "
            "names could mean an object of either; choose a name that does not begin like "
            "another one"
        )


def _adapted(name: str, thing: Any, options: Mapping[str, Any]) -> Storage:
    try:
        with named(name):
            return adapt(thing, **options)
    except MissingExtraError as error:
        error.storage = name
        raise
    except TypeError as error:
        error.add_note(f"while adding the storage {name!r}")
        raise


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a storage is a string, not {type(name).__name__}")
    if not name or name.startswith("/") or name.endswith("/"):
        raise ValueError(f"the name of a storage neither begins nor ends with a slash: {name!r}")
