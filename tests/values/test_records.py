"""The checksum of a large content: the same, from other threads, in order."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from sqlalchemy_file.values.records import LARGE, HashBehind, Measured


class Witness:
    """A hash that notes what it is fed, and by whom."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.threads: set[int] = set()

    def update(self, data: Any, /) -> None:
        self.data.append(bytes(data))
        self.threads.add(threading.get_ident())

    def hexdigest(self) -> str:
        return "all of it"


def checksum(measured: Measured, chunk_size: int) -> str:
    while measured.read(chunk_size):
        pass
    return measured.checksum


@pytest.mark.parametrize("size", [0, 1, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE, 5 * LARGE + 7])
@pytest.mark.parametrize("chunk_size", [100_000, 256 * 1024, LARGE, 4 * LARGE])
def test_a_content_of_any_size_has_the_checksum_of_its_bytes(size: int, chunk_size: int) -> None:
    data = os.urandom(size)
    expected = f"sha256:{hashlib.sha256(data).hexdigest()}"
    measured = Measured(io.BytesIO(data))
    assert checksum(measured, chunk_size) == expected
    assert measured.checksum == expected
    assert measured.size == size


def test_a_stream_that_has_no_bytes_yet_is_not_taken_for_one_at_its_end() -> None:
    class Waiting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> Any:
            return super().read(size) or None

    measured = Measured(Waiting(b"some"))
    assert measured.read(4) == b"some"
    with pytest.raises(TypeError):
        measured.read(4)


def test_a_large_content_is_hashed_by_others_and_in_order() -> None:
    witness = Witness()
    behind = HashBehind(witness)
    chunks = [os.urandom(200_000) for _ in range(30)]
    for chunk in chunks:
        behind.update(chunk)
    assert threading.get_ident() not in witness.threads
    assert behind.hexdigest() == "all of it"
    assert b"".join(witness.data) == b"".join(chunks)


def test_a_buffer_that_is_lent_may_be_overwritten_at_once() -> None:
    behind, expected = HashBehind(hashlib.sha256()), hashlib.sha256()
    buffer = bytearray(300_000)
    for number in range(20):
        buffer[:] = bytes([number]) * len(buffer)
        expected.update(buffer)
        behind.update(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert behind.hexdigest() == expected.hexdigest()


def test_an_error_of_another_thread_is_raised_here() -> None:
    class Broken(Witness):
        def update(self, data: Any, /) -> None:
            raise MemoryError("no room")

    behind = HashBehind(Broken())
    behind.update(bytes(LARGE))
    with pytest.raises(MemoryError, match="no room"):
        behind.hexdigest()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that is the story
def test_a_forked_child_has_threads_of_its_own() -> None:
    data = bytes(4 * LARGE)
    expected = checksum(Measured(io.BytesIO(data)), 256 * 1024)
    child = os.fork()
    if child == 0:
        try:
            os._exit(checksum(Measured(io.BytesIO(data)), 256 * 1024) != expected)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_program_that_ends_can_still_hash() -> None:
    program = (
        "import atexit, io\n"
        "from sqlalchemy_file.values.records import Measured\n"
        "measured = Measured(io.BytesIO(bytes(4_000_000)))\n"
        "def last():\n"
        "    while measured.read(300_000): pass\n"
        "    print(measured.checksum)\n"
        "atexit.register(last)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == f"sha256:{hashlib.sha256(bytes(4_000_000)).hexdigest()}"
