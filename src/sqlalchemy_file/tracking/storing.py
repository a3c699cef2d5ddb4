"""Stores and copies files, a batch at a time, so that all of a batch can be undone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import chain
from os import cpu_count
from typing import NamedTuple, Protocol, cast

from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.file import File
from sqlalchemy_file.objects import fresh_key
from sqlalchemy_file.observing import Task
from sqlalchemy_file.records import paths_of
from sqlalchemy_file.storage import AsyncStorage, StorageManager
from sqlalchemy_file.storage.base import concurrency_of, is_native, named
from sqlalchemy_file.storage.noting import noting
from sqlalchemy_file.storage.syncing import synced_together
from sqlalchemy_file.tracking.claims import Claim
from sqlalchemy_file.tracking.clock import now
from sqlalchemy_file.tracking.deletion import discard
from sqlalchemy_file.tracking.frames import Frame
from sqlalchemy_file.transfer import DEFAULT_LIMIT, Operation, carry_out, in_thread, results
from sqlalchemy_file.types import FileField

_LARGE = 1024 * 1024
"""From how many bytes on hashing takes long enough for a thread of its own."""

_NO_SOURCE = 0


class Unsaved(NamedTuple):
    """A file still to be stored, and the column that wants it."""

    file: File
    field: FileField
    name: str
    claim: Claim | None = None
    """In whose name it is stored, where there is a ledger."""

    @property
    def is_processed(self) -> bool:
        """Whether anything is to be derived from it, which may take long."""
        has_own = type(self.file).apply_processors is not File.apply_processors
        return has_own or bool(self.field.processors)


class Twins:
    """Gives each field its own instance of a file still to be stored.

    One that is assigned to columns of two fields has to pass the validators of both, and each
    may have another storage.
    """

    def __init__(self) -> None:
        self._fields: dict[int, tuple[File, FileField]] = {}

    def of(self, file: File, field: FileField) -> File:
        """Return the file itself for the first field that asks, a copy for any other."""
        _, first = self._fields.setdefault(id(file), (file, field))
        return file if file.saved or first is field else copy(file)


class Attempt:
    """Everything that one flush or statement stores, until a frame answers for it."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._copies: list[str] = []
        self._began = now()

    def store(self, unsaved: Sequence[Unsaved]) -> None:
        """Validate all, then store all; the first error is raised, and nothing more is begun."""
        wanted = list({id(item.file): item for item in unsaved}.values())
        _in_parallel([_Fetching(item) for item in wanted if item.file._needs_fetching])
        _in_parallel([_Checking(item) for item in wanted])
        storings = [_Storing(item, *item.field.place(item.file)) for item in wanted]
        for storing in storings:
            if storing.item.claim is not None:
                storing.item.claim.sign([storing.storage_name])
        self._files += [item.file for item in wanted]
        with self._synced_together():
            _in_parallel(storings)
            _in_parallel([_Processing(item) for item in wanted if item.is_processed])

    @contextmanager
    def _synced_together(self) -> Iterator[None]:
        try:
            with synced_together():
                yield
        except StorageError as error:
            places = map(StorageManager.resolve, self.written)
            error.storage = error.storage or next(
                (name for name, key in places if key == error.key), None
            )
            raise

    def take_over(self, files: Iterable[File]) -> None:
        """Answer for saved files that have stored their objects by themselves, outside a flush."""
        ownerless = {id(file): file for file in files if file._is_ownerless}
        for file in ownerless.values():
            file._finish_saving()
        self._files += ownerless.values()

    def copy(self, files: Sequence[File], claim: Claim | None = None) -> list[File]:
        """Return copies of saved files, each with objects of its own."""
        epoch = None if claim is None else claim.epoch
        moves = [{path: _beside(path, epoch) for path in paths_of(file)} for file in files]
        pairs = list(chain.from_iterable(move.items() for move in moves))
        names = {StorageManager.resolve(new)[0] for _, new in pairs}
        if claim is not None:
            claim.sign(names)
        self._copies += [new for _, new in pairs]
        limit = max((concurrency_of(StorageManager.storage(name)) for name in names), default=1)
        with self._synced_together():
            results(carry_out([_copying(old, new) for old, new in pairs], limit=limit))
        copies = [file._copied(move) for file, move in zip(files, moves, strict=True)]
        self._files += copies
        self._copies = []
        return copies

    def undo(self) -> None:
        """Delete whatever was written, and make every file what it was before."""
        written = self.written
        for file in reversed(self._files):
            file._revert()
        self._files, self._copies = [], []
        discard(written)

    def hand_over(self, frame: Frame, files: Iterable[File] | None = None) -> None:
        """Let a frame answer for what was stored: for these files, or for all."""
        chosen = {id(file) for file in (self._files if files is None else files)}
        mine = [file for file in self._files if id(file) in chosen]
        self._files = [file for file in self._files if id(file) not in chosen]
        frame.files += mine
        if mine:
            frame.note_begin(self._began)
        for file in mine:
            file._is_owned = True
            frame.stored.update(file._stored_paths)

    @property
    def written(self) -> set[str]:
        """The paths of all objects that were written, or begun."""
        return {*self._copies, *(path for file in self._files for path in file._stored_paths)}


class _Step(Protocol):
    """Something to do with one file, for a worker thread or, if it is native, to be awaited."""

    @property
    def item(self) -> Unsaved: ...

    @property
    def is_native(self) -> bool: ...

    @property
    def concurrency(self) -> int:
        """How many steps like this one best go on at the same time; 1 if it waits for nothing."""
        ...

    def run(self) -> None: ...

    async def arun(self) -> None: ...


@dataclass(slots=True)
class _Fetching:
    """Reads a stream that cannot be read twice, as fast as whoever sends it lets it."""

    item: Unsaved

    @property
    def is_native(self) -> bool:
        return self.item.file._needs_await

    @property
    def concurrency(self) -> int:
        return DEFAULT_LIMIT

    def run(self) -> None:
        with _Reading(self.item) as file:
            file._fetch_content()

    async def arun(self) -> None:
        with _Reading(self.item) as file:
            await file._afetch_content()


@dataclass(slots=True)
class _Computing:
    """Works on the content of a file: in threads only, and no more of them than there are cores."""

    item: Unsaved

    @property
    def is_native(self) -> bool:
        return False

    @property
    def concurrency(self) -> int:
        return cpu_count() or 1

    def run(self) -> None:
        raise NotImplementedError

    async def arun(self) -> None:
        await in_thread(self.run)


@dataclass(slots=True)
class _Checking(_Computing):
    """Looks at the content of a file, and lets the validators judge it."""

    @property
    def concurrency(self) -> int:
        return cpu_count() or 1 if self.item.field.validators else 1

    def run(self) -> None:
        with _Reading(self.item) as file:
            file._prepare()
            if self.item.field.validators or self.item.field.processors:
                file._expect_processors(self.item.field.processors)
                with file._checked():
                    file.apply_validators(self.item.field.validators, self.item.name)


@dataclass(slots=True)
class _Processing(_Computing):
    """Lets the processors derive their objects from a file that is stored, and closes its record.

    A step of its own, for these are not as many at a time as the storage takes.
    """

    def run(self) -> None:
        with _Reading(self.item) as file:
            file.apply_processors(self.item.field.processors, file.get("upload_storage"))
            file._finish_saving()


@dataclass(slots=True)
class _Storing:
    """Stores the content of a file, and closes the record unless there are processors to come."""

    item: Unsaved
    storage_name: str
    key: str | None
    folder: str

    def run(self) -> None:
        with _Reading(self.item) as file:
            self._place(file)
            file.save_to_storage(self.storage_name)
            if not self._is_ours:
                self._account_for(file)
            self._finish(file)

    async def arun(self) -> None:
        with _Reading(self.item) as file:
            self._place(file)
            upload = file._begin_upload(self.storage_name)
            file._finish_upload(upload, await upload.arun())
            self._finish(file)

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
        hashes_long = (self.item.file.get("size") or 0) >= _LARGE
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
        file._note_begun(*paths)

    def _place(self, file: File) -> None:
        file._apply_defaults(self.item.field.extra, self.item.field.headers)
        claim = self.item.claim
        epoch = None if claim is None else claim.epoch
        file._place(key=self.key, folder=self.folder, epoch=epoch)

    def _finish(self, file: File) -> None:
        if not self.item.is_processed:
            file._finish_saving()


class _Reading:
    """A block that reads a file's content: its errors say which file of which column.

    What a program's own code stores meanwhile is noted in the file.
    """

    __slots__ = ("_item", "_noted", "_noting")

    def __init__(self, item: Unsaved) -> None:
        self._item = item
        self._noted: list[str] = []
        self._noting = noting(self._noted)

    def __enter__(self) -> File:
        self._noting.__enter__()
        return self._item.file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._noting.__exit__(None, None, None)
        file = self._item.file
        if self._noted:
            file._beside = [*file._beside, *self._noted]
        if isinstance(error, Exception):
            error.add_note(f"while storing {file['filename']!r} for {self._item.name}")
        file._release()


def _copying(old: str, new: str) -> Operation[None]:
    storage_name, key = StorageManager.resolve(old)
    storage, new_key = StorageManager.storage(storage_name), StorageManager.resolve(new)[1]

    def run() -> None:
        with Task("copy", storage_name, (new_key,)) as task, named(storage_name):
            task.source = key
            task.size = storage.copy(key, new_key).size

    async def arun() -> None:
        with Task("copy", storage_name, (new_key,)) as task, named(storage_name):
            task.source = key
            task.size = (await cast("AsyncStorage", storage).acopy(key, new_key)).size

    return Operation(run, arun if is_native(storage) else None)


def _beside(path: str, epoch: int | None) -> str:
    """Return the path of a new object in the same folder of the same storage."""
    storage_name, key = StorageManager.resolve(path)
    folder, slash, _ = key.rpartition("/")
    return StorageManager.path(storage_name, fresh_key(f"{folder}{slash}", epoch))


def _in_parallel(steps: Sequence[_Step]) -> None:
    """Take one step for each file at the same time; files that read one handle in turn.

    So do those that wait for nothing: handing them to threads would take longer.
    """
    waiting = {step.item.file._source: n for step in steps if (n := step.concurrency) > 1}
    lanes: dict[int, list[_Step]] = defaultdict(list)
    for step in steps:
        source = step.item.file._source
        lanes[source if source in waiting else _NO_SOURCE].append(step)
    limit = max(waiting.values(), default=1)
    results(carry_out([_in_turn(lane) for lane in lanes.values()], limit=limit))


def _in_turn(steps: Sequence[_Step]) -> Operation[None]:
    def run() -> None:
        for step in steps:
            step.run()

    async def arun() -> None:
        for step in steps:
            await (step.arun() if step.is_native else in_thread(step.run))

    return Operation(run, arun if any(step.is_native for step in steps) else None)
