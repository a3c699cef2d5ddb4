"""Files that were validated before the flush, which need not be validated again."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import dataclass
from operator import is_
from typing import Any

from sqlalchemy_file.content.sources import Content
from sqlalchemy_file.file import File
from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE
from sqlalchemy_file.support.calling import takes_row
from sqlalchemy_file.types import FileField
from sqlalchemy_file.values.state import source_content, state_of


@dataclass(frozen=True, slots=True)
class Judged:
    """A field that has accepted a file, and what the file was then."""

    field: FileField
    steps: tuple[Any, ...]
    """The field's validators and transforms, which a program may change."""
    source: Content
    checksum: str
    record: dict[str, Any]
    accepted_format: str


def note(file: File, field: FileField) -> None:
    """Note that a field has accepted a file.

    Nothing is noted if the row has a say: it may change without notice.
    """
    state = state_of(file)
    has_own = type(file).apply_validators is not File.apply_validators
    by_row = any(takes_row(each.process, 2) for each in field.validators) or any(
        takes_row(each.transform, 2) for each in field.joined_transforms
    )
    if has_own or by_row:
        state.judged = None
        return
    source = source_content(file)
    record = deepcopy(dict(file))
    state.judged = Judged(
        field, _steps(field), source, _checksum(source), record, state.accepted_format
    )


def still_accepted(file: File, field: FileField) -> bool:
    """Return True if a field has accepted just this content, under this name and type."""
    judged: Judged = file._state.judged
    if judged.field is not field or not _are_same(judged.steps, _steps(field)):
        return False
    source = source_content(file)
    if source is not judged.source or dict(file) != judged.record:
        return False
    if _checksum(source) != judged.checksum:
        return False
    file._state.accepted_format = judged.accepted_format
    return True


def _steps(field: FileField) -> tuple[Any, ...]:
    return (*field.validators, *field.transforms)


def _are_same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now))


def _checksum(content: Content) -> str:
    stream, digest = content.open(), hashlib.sha256()
    while chunk := stream.read(CHUNK_SIZE):
        digest.update(chunk)
    return digest.hexdigest()
