"""One step for each of several files, in threads or awaited, in parallel; how one is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from os import cpu_count
from typing import Any, NamedTuple

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.file import File, Processor, Validator
from sqlalchemy_file.observing import Task
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.calling import (
    IN_LOOP,
    IN_THREAD,
    Calling,
    concurrency_of,
    is_native,
    run,
)
from sqlalchemy_file.storage.common.protocol import named
from sqlalchemy_file.storage.manager import noted
from sqlalchemy_file.support.calling import acall, is_async
from sqlalchemy_file.tracking.claims import Claim
from sqlalchemy_file.transfer import Operation, carry_out, in_thread, results, run_blocking
from sqlalchemy_file.types import FileField
from sqlalchemy_file.values.records import LARGE, fresh_key, paths_of
from sqlalchemy_file.values.saving import checked, release, save, set_destination
from sqlalchemy_file.values.state import state_of

_NO_SOURCE = 0


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


async def take_in_turn(
    steps: Sequence[Validator | Processor],
    calling: Calling,
    apply: Callable[[Sequence[Any], Any], None],
    argument: Any,
    item: Unsaved,
) -> None:
    """Let validators or processors work on a file: by its own method, or awaited one by one."""
    if calling is IN_THREAD:
        apply(steps, argument)  # without steps, too: it may be the program's own
        return
    for awaited, group in groupby(steps, is_async_step):
        if awaited:
            for step in group:
                await acall(step.process, item.file, argument, row=item.row)
        else:
            await calling.run(partial(apply, list(group), argument))


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


# --- storing


@dataclass(slots=True)
class Processing(Step):
    """Lets the processors derive their objects from a file that is stored, and closes its record.

    A step of its own, for these are not as many at a time as the storage takes.
    """

    @property
    def is_native(self) -> bool:
        if type(self.item.file).apply_processors is not File.apply_processors:
            return False
        return any(map(is_async_step, self.item.field.processors))

    async def work(self, calling: Calling) -> None:
        item = self.item
        with Reading(item) as file, checked(file, item.row):
            storage_name = file.get("upload_storage")
            steps = item.field.processors
            await take_in_turn(steps, calling, file.apply_processors, storage_name, item)
            file._freeze()


@dataclass(slots=True)
class Storing(Step):
    """Stores the content of a file, and closes the record unless there are processors to come."""

    storage_name: str
    key: str | None
    folder: str

    async def work(self, calling: Calling) -> None:
        with Reading(self.item) as file, _advising_another_key(self.key):
            claim = self.item.claim
            epoch = None if claim is None else claim.epoch
            set_destination(file, self.item.field, self.key, self.folder, epoch)
            if calling is IN_LOOP:
                await save(file, self.storage_name, IN_LOOP)
            else:
                file.save_to_storage(self.storage_name)
                if not self._is_ours:
                    self._account_for(file)
            if not self.item.is_processed:
                file._freeze()

    @property
    def is_native(self) -> bool:
        return self._is_ours and is_native(StorageManager.storage(self.storage_name))

    @property
    def _is_ours(self) -> bool:
        """Whether the program has left it to us how the content is stored."""
        kind = type(self.item.file)
        return (
            kind.save_to_storage is File.save_to_storage
            and kind.store_content is File.store_content
        )

    @property
    def concurrency(self) -> int:
        hashes_long = (self.item.file.get("size") or 0) >= LARGE
        threads = cpu_count() or 1 if hashes_long else 1
        return max(threads, concurrency_of(StorageManager.storage(self.storage_name)))

    def _account_for(self, file: File) -> None:
        """Answer for what the program's own method has stored."""
        if not (paths := paths_of(file)):
            raise StorageError(
                f"{type(file).__name__}.save_to_storage has left a record without a path: call "
                "super().save_to_storage(), or set path, file_id, upload_storage and saved",
                storage=self.storage_name,
            )
        state_of(file).note_begun(*paths)


@contextmanager
def _advising_another_key(key: str | None) -> Iterator[None]:
    try:
        yield
    except ObjectExistsError as error:
        if key is None:
            raise
        error.reason = (
            f"{error.reason}: key= has given a key that is taken, maybe by the file that this one "
            "replaces, whose object stays until the transaction has ended; return a prefix that "
            "ends with a slash, to which a new id is added, or a key that is new each time"
        )
        raise


def copying(old: str, new: str) -> Operation[None]:
    storage_name, key = StorageManager.resolve(old)
    storage, new_key = StorageManager.storage(storage_name), StorageManager.resolve(new)[1]

    async def copy(calling: Calling) -> None:
        with Task("copy", storage_name, (new_key,)) as task, named(storage_name):
            task.source = key
            task.size = (await calling.call(storage, "copy", key, new_key)).size

    in_loop = partial(copy, IN_LOOP) if is_native(storage) else None
    return Operation(lambda: run(copy(IN_THREAD)), in_loop)


def path_of_copy(path: str, epoch: int | None) -> str:
    """Return the path of a new object in the same folder of the same storage."""
    storage_name, key = StorageManager.resolve(path)
    folder, slash, _ = key.rpartition("/")
    return StorageManager.path(storage_name, fresh_key(f"{folder}{slash}", epoch))
