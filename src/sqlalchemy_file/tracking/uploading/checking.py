"""Validate all files of a flush or statement, and choose their storages and keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from os import cpu_count
from typing import Any

from sqlalchemy_file.content.sources import AsyncStreamContent, Content, StreamContent
from sqlalchemy_file.detection import HEAD_SIZE
from sqlalchemy_file.detection.names import content_encoding
from sqlalchemy_file.exceptions import ValidationError, ValidationErrors
from sqlalchemy_file.file import File
from sqlalchemy_file.storage.common.calling import IN_LOOP, Calling
from sqlalchemy_file.storage.common.protocol import CHUNK_SIZE
from sqlalchemy_file.support.calling import takes_row
from sqlalchemy_file.support.defaults import CONCURRENCY
from sqlalchemy_file.tracking.uploading.steps import (
    Reading,
    Step,
    Unsaved,
    in_parallel,
    is_async_step,
    take_in_turn,
)
from sqlalchemy_file.types import FileField
from sqlalchemy_file.values.saving import Destination, checked, expect_processors, prepare
from sqlalchemy_file.values.state import source_content, state_of, unspent


def check(items: Sequence[Unsaved], *, is_ahead: bool = False) -> None:
    """Run all validators on all files; the first refusal of each file is raised.

    A single one is raised as it is, several as `ValidationErrors`. ``is_ahead`` is for files that
    are not stored next: nothing is left to processors.
    """
    refused: dict[int, ValidationError] = {}
    fetching = [_Fetching(item) for item in items if item.needs_fetching]
    if fetching:
        in_parallel(fetching)
        refused = _refused_by(fetching)
    checking = [_Checking(item, is_ahead=is_ahead) for item in items if id(item) not in refused]
    in_parallel(checking)
    refused |= _refused_by(checking)
    if len(refused) == 1:
        raise refused.popitem()[1]
    if refused:
        raise ValidationErrors([refused[id(item)] for item in items if id(item) in refused])


def _refused_by(steps: Sequence[_Fetching | _Checking]) -> dict[int, ValidationError]:
    return {id(step.item): step.refusal for step in steps if step.refusal is not None}


def destinations(items: Sequence[Unsaved]) -> list[Destination]:
    if not any(item.field.chooses_async for item in items):
        return [item.field.place(item.file, item.row) for item in items]
    steps = [_Choosing(item) for item in items]
    in_parallel(steps)
    return [step.destination for step in steps if step.destination is not None]


@dataclass(slots=True)
class _Judging(Step):
    """A step that may refuse its file."""

    refusal: ValidationError | None = None

    @contextmanager
    def _reading(self) -> Iterator[File]:
        """Keep a refusal, and add the file, its position in a list and its row to it."""
        item = self.item
        try:
            with Reading(item) as file:
                yield file
        except ValidationError as refusal:
            refusal.file = item.file if refusal.file is None else refusal.file
            refusal.index = item.position if refusal.index is None else refusal.index
            if refusal.instance is None and hasattr(item.row, "_sa_instance_state"):
                refusal.instance = item.row
            self.refusal = refusal


@dataclass(slots=True)
class _Fetching(_Judging):
    """Reads a stream that cannot be read twice, as fast as it arrives.

    Validators that can tell from what has come so far end it early.
    """

    concurrency = CONCURRENCY

    @property
    def is_native(self) -> bool:
        content = self.item.file._content
        return isinstance(content, AsyncStreamContent) and content.needs_await

    async def work(self, calling: Calling) -> None:
        with self._reading() as file:
            content = unspent(file)
            if isinstance(content, StreamContent):
                content.watch(_Watch(self.item).see)
            if calling is IN_LOOP and isinstance(content, AsyncStreamContent):
                await content.afetch()
            else:
                content.open()


@dataclass(slots=True)
class _Watch:
    """Lets validators judge a stream by what has come so far."""

    item: Unsaved
    _size: int = 0
    _head: bytearray = field(default_factory=bytearray)

    def see(self, piece: Any) -> None:
        """Let validators see the size so far, and the head once it is there."""
        item = self.item
        is_head_final = self._completes_head(piece) and self._is_judged_by_head
        for validator in item.field.validators:
            by_size = getattr(validator, "process_early", None)
            by_head = getattr(validator, "process_head", None)
            if by_size is not None:
                by_size(item.file, item.name, self._size)
            if by_head is not None and is_head_final:
                by_head(item.file, item.name, bytes(self._head))
            if by_size is None and by_head is None:
                is_head_final = False  # this validator may replace the content

    def _completes_head(self, piece: Any) -> bool:
        missing = HEAD_SIZE - len(self._head)
        self._size += len(piece)
        if missing > 0 and isinstance(piece, bytes | bytearray | memoryview):
            self._head += piece[:missing]
        return missing > 0 and len(self._head) == HEAD_SIZE

    @property
    def _is_judged_by_head(self) -> bool:
        """Whether the first bytes tell the type: those of compressed content do not."""
        file = self.item.file
        is_compressed = bool(content_encoding(file.get("headers") or self.item.field.headers))
        return not is_compressed and not _has_own_validators(file)


@dataclass(slots=True)
class _Checking(_Judging):
    """Looks at the content of a file, lets the validators judge it and the transforms change it."""

    is_ahead: bool = False

    @property
    def is_native(self) -> bool:
        if _has_own_validators(self.item.file):
            return False
        return any(map(is_async_step, self.item.field.validators))

    @property
    def concurrency(self) -> int:
        if self.is_native:
            return CONCURRENCY
        field = self.item.field
        is_long = field.validators or field.transforms or _has_own_validators(self.item.file)
        return cpu_count() or 1 if is_long else 1

    async def work(self, calling: Calling) -> None:
        item, field = self.item, self.item.field
        with self._reading() as file:
            if await calling.run(partial(self._is_accepted, file)):
                return
            has_steps = field.validators or field.processors or field.transforms
            if has_steps or _has_own_validators(file):
                with checked(file, item.row):
                    validate = file.apply_validators
                    await take_in_turn(field.validators, calling, validate, item.name, item)
                    transforms = field.joined_transforms
                    await calling.run(partial(file._apply_transforms, transforms, item.name))
            if self.is_ahead:
                await calling.run(partial(note, file, field))

    def _is_accepted(self, file: File) -> bool:
        """Return True if a file was accepted ahead; otherwise prepare it."""
        field = self.item.field
        processors = () if self.is_ahead else field.processors
        if field.validators or field.processors or field.transforms:
            expect_processors(file, [*field.transforms, *processors])
        if file._state.judged and not self.is_ahead and still_accepted(file, field):
            return True
        prepare(file, field.headers)
        return False


@dataclass(slots=True)
class _Choosing(Step):
    """Asks a field's own functions where a file goes."""

    destination: Destination | None = None
    concurrency = CONCURRENCY

    @property
    def is_native(self) -> bool:
        return self.item.field.chooses_async

    async def work(self, calling: Calling) -> None:
        field, file, row = self.item.field, self.item.file, self.item.row
        is_awaited = calling is IN_LOOP
        self.destination = await field.aplace(file, row) if is_awaited else field.place(file, row)


def _has_own_validators(file: File) -> bool:
    return type(file).apply_validators is not File.apply_validators


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
    by_row = any(takes_row(each.process, 2) for each in field.validators) or any(
        takes_row(each.transform, 2) for each in field.joined_transforms
    )
    if _has_own_validators(file) or by_row:
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
    source = source_content(file)
    is_same = (
        judged.field is field
        and list(map(id, judged.steps)) == list(map(id, _steps(field)))
        and source is judged.source
        and dict(file) == judged.record
        and _checksum(source) == judged.checksum
    )
    if is_same:
        file._state.accepted_format = judged.accepted_format
    return is_same


def _steps(field: FileField) -> tuple[Any, ...]:
    return (*field.validators, *field.transforms)


def _checksum(content: Content) -> str:
    stream, digest = content.open(), hashlib.sha256()
    while chunk := stream.read(CHUNK_SIZE):
        digest.update(chunk)
    return digest.hexdigest()
