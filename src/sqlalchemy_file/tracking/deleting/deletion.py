"""Delete unreferenced objects. Failures are logged, never raised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from sqlalchemy_file.exceptions import InvalidKeyError, StorageError
from sqlalchemy_file.observing import Task, failures_of, is_watched, released
from sqlalchemy_file.storage import StorageManager
from sqlalchemy_file.storage.common.calling import IN_LOOP, IN_THREAD, Calling, run
from sqlalchemy_file.storage.common.keys import RESERVED
from sqlalchemy_file.transfer import Operation, carry_out

BATCH_SIZE = 1000
"""The most keys that S3 takes in one request."""


def discard(paths: Iterable[str]) -> set[str]:
    """Delete objects by path, each storage's in batches, several at a time; return what is gone."""
    wanted = set(paths)
    return wanted - delete_objects(wanted).keys()


def tell_released(paths: Iterable[str]) -> None:
    """Report to observers which objects a committed transaction left unreferenced."""
    if is_watched():
        for storage_name, keys in _by_storage(paths).items():
            released(storage_name, keys)


def delete_objects(paths: Iterable[str]) -> dict[str, BaseException]:
    """Delete objects by path, as `discard` does, and return what failed."""
    wanted = set(paths)
    failed: dict[str, BaseException] = {
        path: _RESERVED for path in wanted if f"/{RESERVED}" in path
    }
    batches = [
        (storage_name, keys[start : start + BATCH_SIZE])
        for storage_name, keys in _by_storage(wanted - failed.keys()).items()
        for start in range(0, len(keys), BATCH_SIZE)
    ]
    operations = [_deleting(name, keys) for name, keys in batches]
    for (storage_name, keys), outcome in zip(
        batches, carry_out(operations, go_on=True), strict=True
    ):
        if not outcome.is_done:
            causes = failures_of(keys, outcome.error or _INTERRUPTED)
            failed.update({f"{storage_name}/{key}": cause for key, cause in causes.items()})
    return failed


def _by_storage(paths: Iterable[str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        storage_name, key = StorageManager.resolve(path)
        keys[storage_name].append(key)
    return keys


def _deleting(storage_name: str, keys: list[str]) -> Operation[None]:
    async def delete(calling: Calling) -> None:
        with Task("delete", storage_name, keys):
            await calling.call(StorageManager.storage(storage_name), "delete", keys)

    return Operation(lambda: run(delete(IN_THREAD)), partial(delete, IN_LOOP))


_RESERVED = InvalidKeyError(f"{RESERVED!r} is no place for objects")
_INTERRUPTED = StorageError("not deleted: an earlier deletion of the same batch was interrupted")
