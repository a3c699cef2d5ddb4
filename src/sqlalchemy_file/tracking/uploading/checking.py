"""Validate all files of a flush or statement, and choose their storages and keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from os import cpu_count
from typing import Any

from sqlalchemy_file.content.sources import AsyncStreamContent, Content, StreamContent
from sqlalchemy_file.detection import HEAD_SIZE
from sqlalchemy_file.detection.encodings import is_encoded
from sqlalchemy_file.exceptions import ValidationError, ValidationErrors
from sqlalchemy_file.file import File
from sqlalchemy_file.support.calling import acall, is_async
from sqlalchemy_file.support.limits import CONCURRENCY
from sqlalchemy_file.tracking.uploading.judged import note, still_accepted
from sqlalchemy_file.tracking.uploading.steps import Computing, Reading, Unsaved, in_parallel
from sqlalchemy_file.transfer import in_thread
from sqlalchemy_file.types import Destination
from sqlalchemy_file.values.saving import checked, expect_processors, prepare
from sqlalchemy_file.values.state import unspent


def check_now(items: Sequence[Unsaved]) -> None:
    """Look at the content of files that nobody judges, one after the other."""
    for item in items:
        checking = _Checking(item)
        checking.run()
        if checking.refusal is not None:  # by the content itself, as it is read
            raise checking.refusal


def check(items: Sequence[Unsaved], *, is_ahead: bool = False) -> None:
    """Run all validators on all files; all refusals are raised together.

    ``is_ahead`` is for files that are not stored next: nothing is left to processors.

    Of one file that is what its first validator says that refuses it. A single refusal is raised
    as it is, several as `ValidationErrors`.
    """
    refused: dict[int, ValidationError] = {}
    fetching = [_Fetching(item) for item in items if needs_fetching(item.file)]
    if fetching:
        in_parallel(fetching)
        refused = _refused_by(fetching)
    checking = [_Checking(item, is_ahead) for item in items if id(item) not in refused]
    in_parallel(checking)
    refused |= _refused_by(checking)
    if len(refused) == 1:
        raise refused.popitem()[1]
    if refused:
        raise ValidationErrors([refused[id(item)] for item in items if id(item) in refused])


def _refused_by(steps: Sequence[_Fetching | _Checking]) -> dict[int, ValidationError]:
    return {id(step.item): step.refusal for step in steps if step.refusal is not None}


def destinations(items: Sequence[Unsaved]) -> list[Destination]:
    """Return where each file goes, as its field and its row decide."""
    if not any(item.field.chooses_async for item in items):
        return [item.field.place(item.file, item.row) for item in items]
    steps = [_Choosing(item) for item in items]
    in_parallel(steps)
    return [step.destination for step in steps if step.destination is not None]


@dataclass(slots=True)
class _Fetching:
    """Reads a stream that cannot be read twice, as fast as it arrives.

    Validators that can tell from what has come so far end it early.
    """

    item: Unsaved
    refusal: ValidationError | None = None

    @property
    def is_native(self) -> bool:
        content = self.item.file._content
        return isinstance(content, AsyncStreamContent) and content.needs_await

    @property
    def concurrency(self) -> int:
        return CONCURRENCY

    def run(self) -> None:
        try:
            with Reading(self.item) as file:
                self._watched(file).open()
        except ValidationError as refusal:
            self.refusal = _located(refusal, self.item)

    async def arun(self) -> None:
        try:
            with Reading(self.item) as file:
                content = self._watched(file)
                if isinstance(content, AsyncStreamContent):
                    await content.afetch()
        except ValidationError as refusal:
            self.refusal = _located(refusal, self.item)

    def _watched(self, file: File) -> Content:
        content = unspent(file)
        if isinstance(content, StreamContent):
            content.watch(_Watch(self.item))
        return content


@dataclass(slots=True)
class _Watch:
    """Lets validators judge a stream by what has come so far."""

    item: Unsaved
    _size: int = 0
    _head: bytearray = field(default_factory=bytearray)

    def __call__(self, piece: Any) -> None:
        wanted = HEAD_SIZE - len(self._head)
        self._size += len(piece)
        if wanted > 0 and isinstance(piece, bytes | bytearray | memoryview):
            self._head += piece[:wanted]
        item, has_head = self.item, wanted > 0 and len(self._head) == HEAD_SIZE
        # What a validator may replace, and what is compressed, is not known by its first bytes.
        is_final = has_head and not is_encoded(item.file.get("headers") or item.field.headers)
        is_final = is_final and not _has_own_validators(item.file)
        for validator in item.field.validators:
            by_size = getattr(validator, "process_early", None)
            by_head = getattr(validator, "process_head", None)
            if by_size is not None:
                by_size(item.file, item.name, self._size)
            if by_head is not None and is_final:
                by_head(item.file, item.name, bytes(self._head))
            is_final = is_final and not (by_size is None and by_head is None)


@dataclass(slots=True)
class _Checking(Computing):
    """Looks at the content of a file, lets the validators judge it and the transforms change it."""

    is_ahead: bool = False
    refusal: ValidationError | None = None

    @property
    def is_native(self) -> bool:
        if _has_own_validators(self.item.file):
            return False
        return any(_is_async(validator) for validator in self.item.field.validators)

    @property
    def concurrency(self) -> int:
        if self.is_native:
            return CONCURRENCY
        field = self.item.field
        is_long = field.validators or field.transforms or _has_own_validators(self.item.file)
        return cpu_count() or 1 if is_long else 1

    def run(self) -> None:
        item, field = self.item, self.item.field
        try:
            with Reading(item) as file:
                if self._begin(file):
                    return
                has_steps = field.validators or field.processors or field.transforms
                if has_steps or _has_own_validators(file):
                    with checked(file, item.row):
                        file.apply_validators(field.validators, item.name)
                        file._apply_transforms(field.joined_transforms, item.name)
                self._end(file)
        except ValidationError as refusal:
            self.refusal = _located(refusal, item)

    async def arun(self) -> None:
        item = self.item
        if not self.is_native:
            await in_thread(self.run)
            return
        try:
            with Reading(item) as file:
                if await in_thread(partial(self._begin, file)):
                    return
                with checked(file, item.row):
                    for awaited, validators in groupby(item.field.validators, _is_async):
                        await self._judge(file, list(validators), awaited=awaited)
                    transforms = item.field.joined_transforms
                    await in_thread(partial(file._apply_transforms, transforms, item.name))
                await in_thread(partial(self._end, file))
        except ValidationError as refusal:
            self.refusal = _located(refusal, item)

    def _begin(self, file: File) -> bool:
        """Prepare a file; say whether it was accepted ahead, and nothing is left to do."""
        field = self.item.field
        processors = () if self.is_ahead else field.processors
        if field.validators or field.processors or field.transforms:
            expect_processors(file, [*field.transforms, *processors])
        if file._state.judged and not self.is_ahead and still_accepted(file, field):
            return True
        prepare(file, field.headers)
        return False

    def _end(self, file: File) -> None:
        if self.is_ahead:
            note(file, self.item.field)

    async def _judge(self, file: File, validators: Sequence[Any], *, awaited: bool) -> None:
        if not awaited:
            await in_thread(partial(file.apply_validators, validators, self.item.name))
            return
        for validator in validators:
            await acall(validator.process, file, self.item.name, row=self.item.row)


@dataclass(slots=True)
class _Choosing:
    """Asks a field's own functions where a file goes."""

    item: Unsaved
    destination: Destination | None = None

    @property
    def is_native(self) -> bool:
        return self.item.field.chooses_async

    @property
    def concurrency(self) -> int:
        return CONCURRENCY

    def run(self) -> None:
        self.destination = self.item.field.place(self.item.file, self.item.row)

    async def arun(self) -> None:
        self.destination = await self.item.field.aplace(self.item.file, self.item.row)


def needs_fetching(file: File) -> bool:
    """Return True if the content is a stream that was not read yet, and may make others wait."""
    return isinstance(file._content, StreamContent) and not file._content.is_fetched


def _has_own_validators(file: File) -> bool:
    """Return True if a file's class judges it by a method of its own."""
    return type(file).apply_validators is not File.apply_validators


def _is_async(validator: Any) -> bool:
    return is_async(validator.process)


def _located(refusal: ValidationError, item: Unsaved) -> ValidationError:
    """Say which file of which object was refused, where the validator did not."""
    refusal.file = item.file if refusal.file is None else refusal.file
    refusal.index = item.position if refusal.index is None else refusal.index
    if refusal.instance is None and hasattr(item.row, "_sa_instance_state"):
        refusal.instance = item.row
    return refusal
