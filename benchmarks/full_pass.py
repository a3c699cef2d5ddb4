"""Measure the full pass: ``python benchmarks/full_pass.py [sorted|folder] [objects] [place]``.

``sorted`` compares a listing that comes in order, as a bucket's does, with rows of SQLite;
``folder`` a local folder with as many real files, which the disk lists in no order; they are made
in ``place``, by default in the folder for temporary files. Prints seconds and the most memory that
the process held.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.reconcile import compare
from sqlalchemy_file.storage import LocalStorage, MemoryStorage, ObjectInfo

LOST_EVERY = 100_000
STRIDE = 7_368_787  # a prime, so that files are made in no order
KEY = "{:08x}-0000-7000-8000-000000000000"


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    file: Mapped[File | None] = mapped_column(FileField())


Ledger(Base.metadata)


class Listed(MemoryStorage):
    """Lists so many objects, which are nowhere."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        for number in range(self._count):
            yield ObjectInfo(key=KEY.format(number), size=1)


def main(kind: str, count: int, place: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=place) as files:
        engine = create_engine(f"sqlite:///{folder}/rows.db")
        Base.metadata.create_all(engine)
        began = time.monotonic()
        fill(engine, count)
        StorageManager.add_storage("main", storage_of(kind, count, Path(files)))
        say("prepared", began)
        began = time.monotonic()
        found = [each.kind for each in compare(engine, Base.metadata)]
        say(f"{count:,} objects, {kind}, {len(found)} findings", began)
        engine.dispose()


def fill(engine: Engine, count: int) -> None:
    """Make a row for each object but one in a hundred thousand, without any of the library."""
    statement = text("""
        INSERT INTO item (id, file)
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)
        SELECT i, json_object('path', 'main/' || k, 'files', json_array('main/' || k),
            'file_id', k, 'upload_storage', 'main', 'size', 1, 'filename', 'name.txt',
            'content_type', 'text/plain', 'saved', json('true'))
        FROM (SELECT i, printf('%08x-0000-7000-8000-000000000000', i) AS k FROM n)
        WHERE i % :every <> 0
    """)
    with engine.begin() as connection:
        connection.execute(statement, {"count": count, "every": LOST_EVERY})


def storage_of(kind: str, count: int, folder: Path) -> Any:
    if kind == "sorted":
        return Listed(count)
    for step in range(count):
        number = step * STRIDE % count
        name = KEY.format(number)
        os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))
        if number % LOST_EVERY == 0:
            os.utime(folder / name, (1, 1))
    return LocalStorage(folder)


def say(what: str, began: float) -> None:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {time.monotonic() - began:.1f} s, {most:.0f} MB at most", flush=True)


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["sorted", "1000000"]
    main(arguments[0], int(arguments[1]), *arguments[2:3])
