"""The value of a file attribute after an assignment, given what the row has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import InstanceState

from sqlalchemy_file.file import File
from sqlalchemy_file.mutable_list import MutableList, same_file
from sqlalchemy_file.tracking.changes import files_in
from sqlalchemy_file.tracking.tables import FileAttribute


def meant(state: InstanceState[Any], attribute: FileAttribute, value: Any, old: Any) -> Any:
    """Return the file, the list of files, or None that the attribute is to hold.

    An upload that nobody has chosen leaves the attribute as it is. A record that the row holds
    already, which a form or a PATCH request sends back, is the file it describes. Raises
    `TypeError` for what is no file.
    """
    field = attribute.field
    if value is None or isinstance(value, File):
        return field.coerce(value, attribute.label)
    if field.is_unchosen(value):
        return _held(state, attribute, old)
    if _has_records(value):
        value = _handed_back(value, _files_held(state, attribute, old))
    found = field.coerce(value, attribute.label)
    if isinstance(found, MutableList) and found.is_held_by_another(state, attribute.name):
        found = MutableList(found, kind=field.upload_type)
    return found


def _held(state: InstanceState[Any], attribute: FileAttribute, old: Any) -> Any:
    """Return what the attribute holds; it is loaded if it has to be."""
    if attribute.name not in state.dict and state.key is not None:
        return getattr(state.obj(), attribute.name)
    return old if isinstance(old, File | MutableList) else None


def _files_held(state: InstanceState[Any], attribute: FileAttribute, old: Any) -> Sequence[File]:
    now = files_in(_held(state, attribute, old))
    before = state.committed_state.get(attribute.name)
    return [*now, *files_in(before if isinstance(before, File | list) else None)]


def _has_records(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_records, value)) if not hasattr(value, "_fields") else False
    return isinstance(value, dict) and not isinstance(value, File)


def _handed_back(value: Any, held: Sequence[File]) -> Any:
    if isinstance(value, dict):
        return same_file(value, held)
    return [same_file(item, held) for item in value]
