"""Deleting by path: what is gone, what stays, and what was never tried."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file import StorageManager
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking import deletion
from sqlalchemy_file.tracking.deletion import delete_objects, discard
from tests.stores import add_memory


class Interrupted(MemoryStorage):
    def delete(self, keys: Sequence[str]) -> None:
        raise asyncio.CancelledError


def test_what_is_gone_is_told_from_what_stays() -> None:
    add_memory("good")
    StorageManager.add_storage("bad", Interrupted())
    paths = {"good/a", "good/b"}
    assert discard(paths, paths) == paths
    assert delete_objects(paths) == {}


def test_what_was_not_begun_after_an_interruption_is_not_taken_for_gone() -> None:
    StorageManager.add_storage("bad", Interrupted())
    paths = [f"bad/{number:05}" for number in range(deletion.BATCH_SIZE * 20)]
    failed = asyncio.run(greenlet_spawn(delete_objects, paths))
    assert failed.keys() == set(paths)
