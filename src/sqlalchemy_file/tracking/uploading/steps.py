"""One step for each of several files, in threads or awaited, in parallel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from os import cpu_count
from typing import Any, NamedTuple, TypeVar

from sqlalchemy_file.file import File, Processor, Validator
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling, run
from sqlalchemy_file.storage.manager import noted
from sqlalchemy_file.support.calling import is_async
from sqlalchemy_file.tracking.claims import Claim
from sqlalchemy_file.transfer import Operation, carry_out, in_thread, results, run_blocking
from sqlalchemy_file.types import FileField
from sqlalchemy_file.values.saving import release
from sqlalchemy_file.values.state import state_of

_NO_SOURCE = 0
_T = TypeVar("_T", Validator, Processor)


class Unsaved(NamedTuple):
    """A file still to be stored, and the column that wants it."""

    file: File
    field: FileField
    name: str
    claim: Claim | None = None
    """In whose name it is stored, where there is a ledger."""
    position: int | None = None
    """Where it stands in a list."""
    row: Any = None
    """The object that holds it, or what a statement says about the row."""

    @property
    def needs_fetching(self) -> bool:
        """Whether its content is a stream that was not read yet."""
        content = self.file._content
        return content is not None and content.needs_fetching

    @property
    def is_processed(self) -> bool:
        """Whether anything is to be derived from it, which may take long."""
        has_own = type(self.file).apply_processors is not File.apply_processors
        return has_own or bool(self.field.processors)


@dataclass(slots=True)
class Step:
    """Something to do with one file, for a worker thread or, if it is native, to be awaited."""

    item: Unsaved

    @property
    def is_native(self) -> bool:
        return False

    @property
    def concurrency(self) -> int:
        """How many steps like this one best go on at the same time; 1 if it waits for nothing.

        What works on content takes a core each.
        """
        return cpu_count() or 1

    def run(self) -> None:
        run(self.work(IN_THREAD))

    async def work(self, calling: Calling) -> None:
        """Take the step: in a thread, or in the event loop if the step is native."""
        raise NotImplementedError


class Reading:
    """A block that reads a file's content. Its errors name the file and the column.

    What a program's own code stores meanwhile is noted in the file.
    """

    __slots__ = ("_item", "_noted", "_token")

    def __init__(self, item: Unsaved) -> None:
        self._item = item
        self._noted: list[str] = []

    def __enter__(self) -> File:
        self._token = noted.set(self._noted)
        return self._item.file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        noted.reset(self._token)
        file = self._item.file
        if self._noted:
            state = state_of(file)
            state.stored_by_program = (*state.stored_by_program, *self._noted)
        if isinstance(error, Exception):
            add_note(error, self._item)
        release(file)


def add_note(error: Exception, item: Unsaved) -> None:
    error.add_note(f"while storing {item.file['filename']!r} for {item.name}")


def is_async_step(step: Validator | Processor) -> bool:
    return is_async(step.process)


def grouped(steps: Sequence[_T], calling: Calling) -> Iterator[tuple[bool, Sequence[_T]]]:
    """Yield validators or processors that can be called together, and whether to await them."""
    if calling is IN_THREAD:
        yield False, steps
        return
    for awaited, group in groupby(steps, is_async_step):
        yield awaited, list(group)


def in_parallel(steps: Sequence[Step]) -> None:
    """Take one step for each file at the same time; files that read one handle in turn.

    So do those that wait for nothing: handing them to threads would take longer.
    """
    if not steps:
        return
    waiting = {_source(step): n for step in steps if (n := step.concurrency) > 1}
    if not waiting and not any(step.is_native for step in steps):
        run_blocking(partial(_run_all, steps))
        return
    lanes: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        source = _source(step)
        lanes[source if source in waiting else _NO_SOURCE].append(step)
    limit = max(waiting.values(), default=1)
    results(carry_out([_in_turn(lane) for lane in lanes.values()], limit=limit))


def _source(step: Step) -> int:
    """Return what tells apart the sources of two files: they may not be read at the same time."""
    content = step.item.file._content
    return id(step.item.file) if content is None else content.identity()


def _run_all(steps: Sequence[Step]) -> None:
    for step in steps:
        step.run()


def _in_turn(steps: Sequence[Step]) -> Operation[None]:

    async def arun() -> None:
        for step in steps:
            await (step.work(IN_LOOP) if step.is_native else in_thread(step.run))

    return Operation(
        partial(_run_all, steps), arun if any(step.is_native for step in steps) else None
    )
