"""Sort more than fits into memory, with a temporary file."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, BinaryIO, TypeVar, cast

T = TypeVar("T")

RUN_SIZE = 100_000
"""How many items are held in memory while they are sorted."""

_CHUNK_SIZE = 500  # items of each run that are held while the runs are merged


def in_order(
    items: Iterable[T], key: Callable[[T], Any] | None = None, *, run_size: int = RUN_SIZE
) -> Iterator[T]:
    """Return the items in order, all of them read at once but at most ``run_size`` held.

    They have to be such as ``pickle`` takes. What does not fit is spooled to a file in the
    folder for temporary files.
    """
    rest = iter(items)
    first = _next_run(rest, key, run_size)
    if len(first) < run_size:
        return iter(first)
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  closed with the iterator
    try:
        runs = [_write(file, first)]
        while run := _next_run(rest, key, run_size):
            first = run  # lets go of the run before
            runs.append(_write(file, run))
    except BaseException:
        file.close()
        raise
    merged = _merged(file, runs, key)
    weakref.finalize(merged, file.close)  # it may be let go of before its first item
    return merged


def _next_run(rest: Iterator[T], key: Callable[[T], Any] | None, run_size: int) -> list[T]:
    run = list(islice(rest, run_size))
    run.sort(key=key)
    return run


def _write(file: BinaryIO, run: list[Any]) -> tuple[int, int]:
    """Append a run in chunks, and return where it begins and how many chunks it has."""
    begin = file.tell()
    chunks = range(0, len(run), _CHUNK_SIZE)
    for start in chunks:
        pickle.dump(run[start : start + _CHUNK_SIZE], file, pickle.HIGHEST_PROTOCOL)
    return begin, len(chunks)


def _merged(
    file: BinaryIO, runs: list[tuple[int, int]], key: Callable[[Any], Any] | None
) -> Iterator[Any]:
    with file:
        yield from merge(*(_read(file, *run) for run in runs), key=key)


def _read(file: BinaryIO, position: int, chunks: int) -> Iterator[Any]:
    for _ in range(chunks):
        file.seek(position)
        chunk = pickle.load(file)  # noqa: S301  written above, to a file that has no name
        position = file.tell()
        yield from chunk
