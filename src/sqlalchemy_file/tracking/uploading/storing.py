"""Stores the content of a file, derives its further objects, and copies objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import cpu_count

from sqlalchemy_file.exceptions import ObjectExistsError, StorageError
from sqlalchemy_file.file import File
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
from sqlalchemy_file.support.calling import acall
from sqlalchemy_file.tracking.uploading.steps import Reading, Step, grouped, is_async_step
from sqlalchemy_file.transfer import Operation
from sqlalchemy_file.values.objects import LARGE, fresh_key
from sqlalchemy_file.values.records import paths_of
from sqlalchemy_file.values.saving import begin_upload, checked, finish_upload, set_destination
from sqlalchemy_file.values.state import state_of


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
            for awaited, processors in grouped(item.field.processors, calling):
                if not awaited:
                    await calling.run(partial(file.apply_processors, processors, storage_name))
                    continue
                for processor in processors:
                    await acall(processor.process, file, storage_name, row=item.row)
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
                upload = begin_upload(file, self.storage_name)
                finish_upload(file, upload, await upload.arun())
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
