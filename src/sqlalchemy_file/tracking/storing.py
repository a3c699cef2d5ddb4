"""Stores and copies files, a batch at a time, so that all of a batch can be undone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain

from uuid_utils import uuid7

from sqlalchemy_file.file import File
from sqlalchemy_file.records import paths_of
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.base import named
from sqlalchemy_file.tracking.deletion import discard
from sqlalchemy_file.tracking.frames import Frame
from sqlalchemy_file.transfer import Operation, carry_out, results
from sqlalchemy_file.types import FileField


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A file still to be stored, and the column that wants it."""

    file: File
    field: FileField
    name: str


class Attempt:
    """Everything that one flush or statement stores, until a frame answers for it."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._copies: list[str] = []

    def store(self, unsaved: Sequence[Unsaved]) -> None:
        """Validate all, then store all; the first error is raised, and nothing more is begun."""
        wanted = list({id(item.file): item for item in unsaved}.values())
        _in_parallel(_check, wanted)
        places = {id(item.file): item.field.place(item.file) for item in wanted}
        self._files += [item.file for item in wanted]
        _in_parallel(lambda item: _store(item, *places[id(item.file)]), wanted)

    def copy(self, files: Sequence[File]) -> list[File]:
        """Return copies of saved files, each with objects of its own."""
        moves = [{path: _beside(path) for path in paths_of(file)} for file in files]
        pairs = list(chain.from_iterable(move.items() for move in moves))
        self._copies += [new for _, new in pairs]
        results(carry_out([Operation(partial(_copy, old, new)) for old, new in pairs]))
        copies = [file.copied(move) for file, move in zip(files, moves, strict=True)]
        self._files += copies
        self._copies = []
        return copies

    def undo(self) -> None:
        """Delete whatever was written, and make every file what it was before."""
        written = self.written
        for file in reversed(self._files):
            file.revert()
        self._files, self._copies = [], []
        discard(written)

    def hand_over(self, frame: Frame, files: Iterable[File] | None = None) -> None:
        """Let a frame answer for what was stored: for these files, or for all."""
        chosen = {id(file) for file in (self._files if files is None else files)}
        mine = [file for file in self._files if id(file) in chosen]
        self._files = [file for file in self._files if id(file) not in chosen]
        frame.files += mine
        frame.stored.update(path for file in mine for path in file.begun)

    @property
    def written(self) -> set[str]:
        """The paths of all objects that were written, or begun."""
        return {*self._copies, *(path for file in self._files for path in file.begun)}


def _check(item: Unsaved) -> None:
    with _at(item):
        item.file.prepare()
        item.file.apply_validators(item.field.validators, item.name)


def _store(item: Unsaved, storage_name: str, key: str | None, folder: str) -> None:
    with _at(item):
        item.file.apply_defaults(item.field.extra, item.field.headers)
        item.file.save_to_storage(storage_name, key=key, folder=folder)
        item.file.apply_processors(item.field.processors, storage_name)
        item.file.finish_saving()


@contextmanager
def _at(item: Unsaved) -> Iterator[None]:
    """Add to an error which file of which column it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while storing {item.file['filename']!r} for {item.name}")
        raise


def _copy(old: str, new: str) -> None:
    storage_name, key = StorageManager.resolve(old)
    with named(storage_name):
        StorageManager.storage(storage_name).copy(key, StorageManager.resolve(new)[1])


def _beside(path: str) -> str:
    """Return the path of a new object in the same folder of the same storage."""
    storage_name, key = StorageManager.resolve(path)
    folder, slash, _ = key.rpartition("/")
    return StorageManager.path(storage_name, f"{folder}{slash}{uuid7()}")


def _in_parallel(function: Callable[[Unsaved], None], items: Iterable[Unsaved]) -> None:
    """Call a function for each item at the same time; those that read one handle in turn."""
    by_source: dict[int, list[Unsaved]] = defaultdict(list)
    for item in items:
        by_source[item.file.source].append(item)

    def each(group: list[Unsaved]) -> None:
        for item in group:
            function(item)

    results(carry_out([Operation(partial(each, group)) for group in by_source.values()]))
