"""Sort more than fits into memory, with a temporary database."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import Any, TypeVar

T = TypeVar("T")

RUN_SIZE = 100_000
"""How many items are sorted in memory."""


def in_order(
    items: Iterable[T], key: Callable[[T], str] = str, *, run_size: int = RUN_SIZE
) -> Iterator[T]:
    """Return the items in the order of their keys; all are read before it returns.

    More than ``run_size`` are pickled into a temporary file.
    """
    rest = iter(items)
    held = list(islice(rest, run_size))
    if len(held) < run_size:
        return iter(sorted(held, key=key))
    return _read(_written(chain(held, rest), key))


def _written(items: Iterable[Any], key: Callable[[Any], str]) -> Any:
    import sqlite3  # noqa: PLC0415  few programs need it here

    database = sqlite3.connect("", check_same_thread=False)  # the empty name: a temporary file
    try:
        database.execute("CREATE TABLE item (key BLOB, content BLOB)")
        # UTF-8 sorts like the characters.
        rows = ((key(each).encode("utf-8", "surrogatepass"), pickle.dumps(each)) for each in items)
        database.executemany("INSERT INTO item VALUES (?, ?)", rows)
    except BaseException:
        database.close()
        raise
    return database


def _read(database: Any) -> Iterator[Any]:
    with closing(database):
        for (content,) in database.execute("SELECT content FROM item ORDER BY key"):
            yield pickle.loads(content)  # noqa: S301  written above
