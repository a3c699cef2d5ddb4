"""Read a value of a file column, however odd. No text makes it fail."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from sqlalchemy_file.exceptions import InvalidKeyError, escaped
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.keys import check_key
from sqlalchemy_file.values.records import entries_in, own_path, paths_of

_MOST_BYTES = 10**15
_SHOWN = 60


@dataclass(slots=True)
class Stored:
    """One file of a value: its storage, its size, the paths of all its objects."""

    storage: str
    bytes: int
    paths: tuple[str, ...]


@dataclass(slots=True)
class Value:
    """The files of a value, and its faults as sentences."""

    files: list[Stored] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_value(text: str) -> Value:
    """Return the files and faults of the text in a file column."""
    value = Value()
    try:
        entries = entries_in(text)
    except ValueError:
        value.faults.append("it is not JSON")
        return value
    for record in entries:
        if isinstance(record, dict):
            _add(value, record, has_escapes="\\u" in text)
        else:
            value.faults.append(f"{_shown(record)} is not the record of a file")
    return value


def _add(value: Value, record: dict[str, Any], *, has_escapes: bool) -> None:
    size, has_storage = record.get("size"), isinstance(record.get("upload_storage"), str)
    if has_escapes or not has_storage or not _is_size(size):
        value.faults += _faults(record, has_escapes=has_escapes)
    if not has_storage:
        record = {**record, "upload_storage": None}
    own = own_path(record)
    storages = _sound_paths(value, paths_of(record, own))
    if own is not None and own in storages:
        value.files.append(Stored(storages[own], size if _is_size(size) else 0, tuple(storages)))


def _sound_paths(value: Value, paths: Collection[str]) -> dict[str, str]:
    """Return the paths that objects can have, with storages; the others are faults of the value."""
    if not paths:
        value.faults.append("it names no object")
    places = {path: StorageManager.resolve(path) for path in paths}
    sound = {path: place[0] for path, place in places.items() if _is_sound(*place)}
    if len(sound) < len(paths):
        cannot = "which cannot be the path of an object"
        value.faults += [
            f"it names {_shown(path)}, {cannot}" for path in paths if path not in sound
        ]
    return sound


def _faults(record: Mapping[str, Any], *, has_escapes: bool) -> Iterator[str]:
    storage, size = record.get("upload_storage"), record.get("size")
    if size is not None and not _is_size(size):
        yield f"its size is {_shown(size)}"
    if storage is not None and not isinstance(storage, str):
        yield f"its upload_storage is {_shown(storage)}"
    if has_escapes and not _is_text(record):
        yield "it holds a NUL, or half of a character"


def _is_text(record: Mapping[str, Any]) -> bool:
    """Return True if every database could hold the text in a record."""
    try:
        return b"\\u0000" not in json.dumps(record, ensure_ascii=False).encode()
    except (UnicodeError, RecursionError):
        return False


def _is_size(size: Any) -> TypeGuard[int]:
    return type(size) is int and 0 <= size < _MOST_BYTES


def _is_sound(storage: str, key: str) -> bool:
    try:
        check_key(key)
        storage.encode()
    except (InvalidKeyError, UnicodeError):
        return False
    return bool(storage)


def _shown(thing: Any) -> str:
    try:
        text = escaped(repr(thing))
    except RecursionError:
        text = f"a deeply nested {type(thing).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
