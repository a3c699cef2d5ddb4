from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.processors import Processor
from sqlalchemy_file.values.saving import prepare

Process = Callable[..., File]


@pytest.fixture
def process() -> Process:
    """Return a function that stores content and lets a processor derive its objects."""
    StorageManager.add_storage("pictures", "memory://")

    def run(processor: Processor, content: bytes, **arguments: Any) -> File:
        file = File(content, **{"filename": "photo.png", **arguments})
        prepare(file)
        file.save_to_storage("pictures")
        file.apply_processors([processor], "pictures")
        file._freeze()
        return file

    return run
