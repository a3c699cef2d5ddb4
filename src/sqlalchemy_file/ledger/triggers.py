"""A trigger: a name that contains its version, and its SQL."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement

VERSION = 2
PREFIX = "sqlalchemy_file_"
LONGEST_PATH = 2048
"""In bytes. Storages take keys of half that; PostgreSQL's indexes refuse much longer ones."""
LONGEST_VALUE = 16 * 1024 * 1024
"""In bytes. Triggers do not read longer values, which would take minutes."""

_NAME = re.compile(rf"{PREFIX}([a-z]+)_v\d+_[0-9a-f]{{12}}")
_NOTE = re.compile(r"/\*sqlalchemy-file (.*?)\*/", re.DOTALL)


Lookup = Callable[[Sequence[str]], ColumnElement[bool]]
"""Returns a condition, which an index answers, of all rows that may contain these paths."""


class Place(NamedTuple):
    """A table as the database's catalog names it."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


class Trigger(NamedTuple):
    """A trigger that has to be there."""

    place: Place
    kind: str
    name: str
    create: tuple[str, ...]


class Found(NamedTuple):
    """A trigger that is there.

    ``fault`` says why it does not work, and ``repair`` is SQL for that; without ``repair`` it has
    to be created again.
    """

    place: Place
    name: str
    drop: tuple[str, ...]
    body: str
    fault: str | None = None
    repair: tuple[str, ...] = ()
    is_inherited: bool = False

    @property
    def kind(self) -> str:
        return kind_of(self.name) or ""


def quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, 2 * mark) + mark


def qualified(where: Place, mark: str = '"') -> str:
    return f"{quoted(where.schema, mark)}.{quoted(where.table, mark)}"


def trigger_name(kind: str, *parts: object) -> str:
    """Return a name that changes with the version and with anything in ``parts``."""
    text = json.dumps([VERSION, kind, *map(str, parts)])
    return f"{PREFIX}{kind}_v{VERSION}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def kind_of(name: str) -> str | None:
    """Return the kind of trigger of this name, or None for one that is not ours."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def note(ledger: Place, columns: Sequence[str] = (), kept: Sequence[str] = ()) -> str:
    """Return a comment for a trigger's body, with the names of its ledger and columns.

    Without ``kept`` it is that of earlier versions, whose triggers need not be replaced.
    """
    said: dict[str, Any] = {"ledger": str(ledger), "columns": list(columns)}
    text = json.dumps(said | ({"kept": list(kept)} if kept else {}))
    # Without asterisks: no name may end the comment, or open another.
    return f"/*sqlalchemy-file {text.replace('*', chr(92) + 'u002a')}*/"


def read_note(body: str) -> dict[str, Any]:
    """Return what `note` wrote into a body, or an empty dict."""
    match = _NOTE.search(body)
    try:
        found: dict[str, Any] = json.loads(match[1]) if match else {}
    except ValueError:
        return {}
    return found
