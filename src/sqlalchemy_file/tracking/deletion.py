"""Deletes objects that no row names. What fails is logged, and never raised."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import cast

from sqlalchemy_file.exceptions import DeletionError
from sqlalchemy_file.storage import AsyncStorage, StorageManager
from sqlalchemy_file.storage.base import is_native
from sqlalchemy_file.transfer import Operation, carry_out, in_thread

logger: logging.Logger = logging.getLogger("sqlalchemy_file")

BATCH_SIZE = 1000
"""The most keys that S3 takes in one request."""


def discard(paths: Iterable[str]) -> set[str]:
    """Delete objects by path, each storage's in batches, several at a time; return what is gone."""
    wanted = set(paths)
    failures = delete_objects(wanted)
    for path, cause in failures.items():
        logger.error("could not delete %s, which no row names any more: %s", path, cause)
    return wanted - failures.keys()


def delete_objects(paths: Iterable[str]) -> dict[str, BaseException]:
    """Delete objects by path, as `discard` does, and return what failed."""
    batches = [
        (storage_name, keys[start : start + BATCH_SIZE])
        for storage_name, keys in _by_storage(paths).items()
        for start in range(0, len(keys), BATCH_SIZE)
    ]
    operations = [_deleting(name, keys) for name, keys in batches]
    failed: dict[str, BaseException] = {}
    for (storage_name, keys), outcome in zip(
        batches, carry_out(operations, go_on=True), strict=True
    ):
        failed |= _failures(storage_name, keys, outcome.error)
    return failed


def _by_storage(paths: Iterable[str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        storage_name, key = StorageManager.resolve(path)
        keys[storage_name].append(key)
    return keys


def _deleting(storage_name: str, keys: list[str]) -> Operation[None]:
    def run() -> None:
        StorageManager.storage(storage_name).delete(keys)

    async def arun() -> None:
        storage = StorageManager.storage(storage_name)
        if is_native(storage):
            await cast("AsyncStorage", storage).adelete(keys)
        else:
            await in_thread(run)

    return Operation(run, arun)


def _failures(
    storage_name: str, keys: list[str], error: BaseException | None
) -> dict[str, BaseException]:
    if error is None:
        return {}
    causes = error.failures if isinstance(error, DeletionError) else dict.fromkeys(keys, error)
    return {f"{storage_name}/{key}": cause for key, cause in causes.items()}
