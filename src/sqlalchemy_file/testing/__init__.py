"""Tools for the tests of applications, and of storages of your own.

`FaultyStorage` injects faults between a program and its storage: `fails`, `hangs`, `tears` and
others.

`StorageConformance` tests a storage. Subclass it, and give it a fixture::

    pytest.register_assert_rewrite("sqlalchemy_file.testing")  # in conftest.py: better messages

    class TestMyStorage(StorageConformance):
        @pytest.fixture
        def storage(self):
            return MyStorage(...)

`AsyncStorageConformance` tests native coroutines. Only these two need pytest.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy_file.support.names import late
from sqlalchemy_file.testing.faults import (
    Fault,
    delays,
    fails,
    flips_a_bit,
    hangs,
    loses_reply,
    repeats,
    tears,
)
from sqlalchemy_file.testing.faulty import FaultyStorage

if TYPE_CHECKING:
    from sqlalchemy_file.testing.conformance import AsyncStorageConformance, StorageConformance

__all__ = [
    "AsyncStorageConformance",
    "Fault",
    "FaultyStorage",
    "StorageConformance",
    "delays",
    "fails",
    "flips_a_bit",
    "hangs",
    "loses_reply",
    "repeats",
    "tears",
]

__getattr__: Callable[[str], Any] = late(  # these need pytest
    __name__,
    {
        "AsyncStorageConformance": "sqlalchemy_file.testing.conformance",
        "StorageConformance": "sqlalchemy_file.testing.conformance",
    },
)
