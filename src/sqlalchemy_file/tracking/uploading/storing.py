"""Store and copy files in batches that can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, groupby
from os import cpu_count
from typing import cast

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.file import File
from sqlalchemy_file.observing import Task
from sqlalchemy_file.processors import Processor
from sqlalchemy_file.storage import AsyncStorage, StorageManager
from sqlalchemy_file.storage.common.protocol import concurrency_of, is_native, named
from sqlalchemy_file.storage.local.writing import synced_together
from sqlalchemy_file.support.calling import acall, is_async
from sqlalchemy_file.tracking.claims import Claim
from sqlalchemy_file.tracking.clock import Moment, now
from sqlalchemy_file.tracking.deleting.deletion import discard
from sqlalchemy_file.tracking.unit.frames import Frame
from sqlalchemy_file.tracking.uploading.checking import (
    check,
    check_now,
    destinations,
    needs_fetching,
)
from sqlalchemy_file.tracking.uploading.chosen import wait_until_free
from sqlalchemy_file.tracking.uploading.steps import Computing, Reading, Unsaved, in_parallel
from sqlalchemy_file.transfer import Operation, carry_out, in_thread, results, run_blocking
from sqlalchemy_file.types import FileField
from sqlalchemy_file.values.objects import fresh_key
from sqlalchemy_file.values.records import paths_of
from sqlalchemy_file.values.saving import apply_defaults, begin_upload, checked, finish_upload
from sqlalchemy_file.values.state import (
    is_ownerless,
    relocated_copy,
    revert,
    state_of,
    stored_paths,
)

_LARGE = 1024 * 1024
"""From how many bytes on hashing takes long enough for a thread of its own."""


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


class UploadBatch:
    """Everything that one flush or statement stores, until a frame answers for it."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._copies: list[str] = []
        self._began: Moment | None = None

    def store(self, unsaved: Sequence[Unsaved]) -> None:
        """Validate all, then store all; nothing more is begun once one could not be stored."""
        if not unsaved:
            return
        self._began = self._began or now()
        wanted = list({id(item.file): item for item in unsaved}.values())
        plain = _plain_storings(wanted)
        if plain is not None:
            with self._synced_together(wanted):
                run_blocking(partial(self._store_now, wanted, plain))
            return
        check(wanted)
        storings = [
            _Storing(item, *place) for item, place in zip(wanted, destinations(wanted), strict=True)
        ]
        for claim, mine in _by_claim(storings):
            claim.sign({storing.storage_name for storing in mine})
            chosen = [(each.storage_name, each.key) for each in mine if each.key is not None]
            wait_until_free(claim, chosen)
        self._files += [item.file for item in wanted]
        processed = [_Processing(item) for item in wanted if item.is_processed]
        with self._synced_together(wanted if not processed else None):
            in_parallel(storings)
            in_parallel(processed)

    def _store_now(self, wanted: Sequence[Unsaved], storings: Sequence[_Storing]) -> None:
        """Store files in this thread, where nothing has to be waited for."""
        check_now(wanted)
        self._files += [item.file for item in wanted]
        for storing in storings:
            storing.run()

    def _synced_together(
        self, wanted: Sequence[Unsaved] | None = None
    ) -> AbstractContextManager[None]:
        """Return a block at whose end all is on disk; a single object is so when it is stored."""
        return nullcontext() if wanted is not None and len(wanted) == 1 else self._all_synced()

    @contextmanager
    def _all_synced(self) -> Iterator[None]:
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
        ownerless = {id(file): file for file in files if is_ownerless(file)}
        if not ownerless:
            return
        self._began = self._began or now()
        for file in ownerless.values():
            file._freeze()
        self._files += ownerless.values()

    def copy(self, files: Sequence[File], claim: Claim | None = None) -> list[File]:
        """Return copies of saved files, each with objects of its own."""
        if not files:
            return []
        self._began = self._began or now()
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
        copies = [relocated_copy(file, move) for file, move in zip(files, moves, strict=True)]
        self._files += copies
        self._copies = []
        return copies

    def undo(self) -> None:
        """Delete everything that was written, and restore every file."""
        written = self.written
        for file in reversed(self._files):
            revert(file)
        self._files, self._copies = [], []
        discard(written)

    def hand_over(self, frame: Frame, files: Iterable[File] | None = None) -> None:
        """Make a frame responsible for the stored objects: of these files, or of all."""
        mine, self._files = self._files, []
        if files is not None:
            chosen = {id(file) for file in files}
            self._files = [file for file in mine if id(file) not in chosen]
            mine = [file for file in mine if id(file) in chosen]
        if not mine:
            return
        frame.files += mine
        frame.note_begin(self._began)
        for file in mine:
            state_of(file).is_owned = True
            frame.stored.update(stored_paths(file))

    @property
    def written(self) -> set[str]:
        """The paths of all objects that were written, or begun."""
        written = set(self._copies)
        for file in self._files:
            written.update(stored_paths(file))
        return written


def _plain_storings(items: Sequence[Unsaved]) -> list[_Storing] | None:
    """Return how to store files that are written at once: nobody judges, derives or waits.

    Returns None if anything else has to be done for one of them.
    """
    storings = []
    for item in items:
        field, file = item.field, item.file
        is_plain = (
            item.claim is None
            and not (field.validators or field.transforms or field.processors)
            and (file.get("size") or _LARGE) < _LARGE
            and not needs_fetching(file)
            and _is_stored_by_us(type(file))
        )
        storage_name = field.fixed_storage(file) if is_plain else None
        if storage_name is None:
            return None
        storage = StorageManager.storage(storage_name)
        if is_native(storage) or concurrency_of(storage) > 1:
            return None
        storings.append(_Storing(item, storage_name, None, ""))
    return storings


@cache
def _is_stored_by_us(kind: type[File]) -> bool:
    """Return True if no method of a file's class has a say in how it is checked and stored."""
    return all(getattr(kind, name) is getattr(File, name) for name in _OVERRIDDEN)


_OVERRIDDEN = ("save_to_storage", "store_content", "apply_validators", "apply_processors")


def _by_claim(storings: Iterable[_Storing]) -> Iterator[tuple[Claim, list[_Storing]]]:
    found: dict[int, tuple[Claim, list[_Storing]]] = {}
    for storing in storings:
        claim = storing.item.claim
        if claim is not None:
            found.setdefault(id(claim), (claim, []))[1].append(storing)
    yield from found.values()


@dataclass(slots=True)
class _Processing(Computing):
    """Lets the processors derive their objects from a file that is stored, and closes its record.

    A step of its own, for these are not as many at a time as the storage takes.
    """

    @property
    def is_native(self) -> bool:
        if type(self.item.file).apply_processors is not File.apply_processors:
            return False
        return any(map(_is_async, self.item.field.processors))

    def run(self) -> None:
        item = self.item
        with Reading(item) as file, checked(file, item.row):
            file.apply_processors(item.field.processors, file.get("upload_storage"))
            file._freeze()

    async def arun(self) -> None:
        item = self.item
        if not self.is_native:
            await in_thread(self.run)
            return
        with Reading(item) as file, checked(file, item.row):
            storage_name = file.get("upload_storage")
            for awaited, processors in groupby(item.field.processors, _is_async):
                if not awaited:
                    derive = partial(file.apply_processors, list(processors), storage_name)
                    await in_thread(derive)
                    continue
                for processor in processors:
                    await acall(processor.process, file, storage_name, row=item.row)
            file._freeze()


@dataclass(slots=True)
class _Storing:
    """Stores the content of a file, and closes the record unless there are processors to come."""

    item: Unsaved
    storage_name: str
    key: str | None
    folder: str

    def run(self) -> None:
        with Reading(self.item) as file, self._advising():
            self._place(file)
            file.save_to_storage(self.storage_name)
            if not self._is_ours:
                self._account_for(file)
            self._finish(file)

    async def arun(self) -> None:
        with Reading(self.item) as file, self._advising():
            self._place(file)
            upload = begin_upload(file, self.storage_name)
            finish_upload(file, upload, await upload.arun())
            self._finish(file)

    @property
    def is_native(self) -> bool:
        return self._is_ours and is_native(StorageManager.storage(self.storage_name))

    def _advising(self) -> AbstractContextManager[None]:
        return nullcontext() if self.key is None else _advising_another_key()

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
        state_of(file).note_begun(*paths)

    def _place(self, file: File) -> None:
        field = self.item.field
        apply_defaults(file, field.extra, field.headers, field.disposition)
        state, claim = state_of(file), self.item.claim
        state.key, state.folder = self.key, self.folder
        state.epoch = None if claim is None else claim.epoch

    def _finish(self, file: File) -> None:
        if not self.item.is_processed:
            file._freeze()


def _is_async(processor: Processor) -> bool:
    return is_async(processor.process)


@contextmanager
def _advising_another_key() -> Iterator[None]:
    try:
        yield
    except ObjectExistsError as error:
        error.reason = (
            f"{error.reason}: key= has given a key that is taken, maybe by the file that this one "
            "replaces, whose object stays until the transaction has ended; return a prefix that "
            "ends with a slash, to which a new id is added, or a key that is new each time"
        )
        raise


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
