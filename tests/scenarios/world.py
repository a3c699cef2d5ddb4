"""The world of one scenario: a database, storages, and the promise that ties them together."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, close_all_sessions
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.transfer import wait_for_background

from .content import DERIVED, content_of, filename_of, label_of
from .databases import Database, Named
from .flaky import FlakyStorage
from .ledgers import DrainedLedger
from .meeting import Barrier, Event, TaskBarrier, TaskEvent, pause, together
from .places import Place

MAIN = "main"
ARCHIVE = "archive"
PATIENCE = 20
"""Seconds after which a thread that waits for another gives up."""

T = TypeVar("T")


class World:
    """What a scenario acts in. Rows are read from outside, by a connection that only looks."""

    def __init__(
        self,
        database: Database,
        places: dict[str, Place],
        folder: Path,
        *,
        second: Callable[[], Database],
        through_asyncio: bool,
        ledger: DrainedLedger | None = None,
    ) -> None:
        self.database = database
        self._databases = [database]
        self._make_second = second
        self.places = places
        self.folder = folder
        """A folder for the files that a scenario needs, outside of all storages."""
        self.through_asyncio = through_asyncio
        self._ledger = ledger
        self._used = [MAIN]
        self._engines: list[Engine] = []
        self._tables: list[Table] = []
        self._kept: set[str] = set()
        StorageManager.clear()
        StorageManager.add_storage(MAIN, places[MAIN].fresh())

    def run(self, scenario: Callable[[World], None]) -> None:
        """Play a scenario, and check what it leaves; under asyncio as `AsyncSession` would."""
        if self.through_asyncio:
            asyncio.run(greenlet_spawn(self._play, scenario))  # type: ignore[arg-type]
        else:
            self._play(scenario)

    def _play(self, scenario: Callable[[World], None]) -> None:
        with self.opened():
            scenario(self)
            self.check()
        if self._ledger:
            self._mend()
            self._ledger.drain()
            self._check_after_the_drain()

    def _mend(self) -> None:
        for name in self._used:
            storage = StorageManager.storage(name)
            if isinstance(storage, FlakyStorage):
                storage.mend()

    def _check_after_the_drain(self) -> None:
        """Assert that nothing is missing, and that only what was left over on purpose may be."""
        rows = (one for database in self._databases for one in database.named())
        named = {path for one in rows for path in _paths(one)}
        objects = set(self.objects())
        assert named <= objects
        assert objects - named <= self._kept

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let the world be used, and close what was opened in it."""
        self.engine = self.new_engine()
        try:
            yield
        finally:
            self._end()

    def _end(self) -> None:
        close_all_sessions()
        for engine in self._engines:
            engine.dispose()
        for table in self._tables:
            self.database.remove(table)

    # ways in

    def new_engine(self, **options: Any) -> Engine:
        """Return a further engine on the same database."""
        make = self.database.async_engine if self.through_asyncio else self.database.engine
        engine = make(**options)
        self._engines.append(engine)
        return engine

    def add_database(self) -> Engine:
        """Return an engine on a second database, with the same tables."""
        second = self._make_second()
        self._databases.append(second)
        engine = second.engine()
        self._engines.append(engine)
        return engine

    def session(self, bind: Any = None, **options: Any) -> Session:
        return Session(self.engine if bind is None else bind, **options)

    def save(self, *rows: Any) -> Any:
        """Commit rows in a session of their own; return the key of the first."""
        with self.session(expire_on_commit=False) as session:
            session.add_all(rows)
            session.commit()
            return inspect(rows[0]).identity

    def create(self, table: Table) -> None:
        """Create a table of this scenario's own."""
        self._tables.append(table)
        self.database.add(table)

    def add_archive(self) -> None:
        """Add the second storage."""
        self._used.append(ARCHIVE)
        StorageManager.add_storage(ARCHIVE, self.places[ARCHIVE].fresh())

    def make_flaky(self, name: str = MAIN) -> FlakyStorage:
        """Put a storage that can be told to fail before one of the storages."""
        storages = {each: StorageManager.storage(each) for each in self._used}
        storages[name] = flaky = FlakyStorage(storages[name])
        StorageManager.clear()
        for each, storage in storages.items():
            StorageManager.add_storage(each, storage)
        return flaky

    # files

    def file(self, label: str, **options: Any) -> File:
        return File(content_of(label), filename=filename_of(label), **options)

    def file_from(self, content: Any, label: str) -> File:
        """Return a file of content in whatever shape, named after its label."""
        return File(content, filename=filename_of(label))

    def opens(self, file: File | None) -> str:
        """Open a saved file, read it, and return the label of what it holds."""
        assert file is not None
        with file.file as stream:
            content = stream.read()
        label = file.filename.removesuffix(".txt")
        return label_of(content) if self.places[MAIN].keeps_bytes else label

    # what is committed

    def labels(self, column: Any) -> list[Any]:
        """Return, row by row, the label of what a column's files hold; a list's as a list."""
        objects = self.objects()
        return [_labels(named, objects) for named in self._named_by(column)]

    def label(self, column: Any) -> Any:
        """Return the same for the only row there is."""
        (label,) = self.labels(column)
        return label

    def paths(self, column: Any) -> list[str]:
        """Return the paths of all objects that a column's rows name, in their order."""
        return [path for named in self._named_by(column) for path in _paths(named)]

    def path(self, column: Any) -> str:
        (path,) = self.paths(column)
        return path

    def _named_by(self, column: Any) -> Iterator[Named]:
        """Yield what the rows of one column say; those of a second database come last."""
        mapped = getattr(column, "property", None)
        target = column if mapped is None else mapped.columns[0]
        for database in self._databases:
            for named in database.named(target.table.name):
                if named.column == target.name:
                    yield named

    def objects(self) -> dict[str, bytes]:
        """Return what all storages hold, by path, once finalizers have had their way."""
        wait_for_background()
        return {
            f"{name}/{key}": content
            for name in self._used
            for key, content in self.places[name].objects().items()
        }

    def discard(self, path: str) -> None:
        """Delete an object behind the library's back."""
        storage, _, key = path.partition("/")
        self.places[storage].discard(key)

    # the promise

    def keep(self, paths: Iterable[str]) -> None:
        """Expect objects that no row names: archived, or left where nothing may be deleted."""
        self._kept.update(paths)

    def check(self) -> None:
        """Assert that the storages hold exactly what committed rows name, byte by byte."""
        objects = self.objects()
        named = [one for database in self._databases for one in database.named()]
        paths = [path for one in named for path in _paths(one)]
        twice = {path for path in paths if paths.count(path) > 1}
        assert not twice, f"named more than once: {sorted(twice)}"
        missing = {str(one): path for one in named for path in _paths(one) if path not in objects}
        assert not missing, f"rows name objects that are gone: {missing}"
        over = set(objects) - set(paths) - self._kept
        assert not over, f"left over: { {path: objects[path][:40] for path in sorted(over)} }"
        assert self._kept <= set(objects), f"deleted: {sorted(self._kept - set(objects))}"
        for one in named:
            for record in one.records:
                self._check_record(record, objects)
        self._check_litter()

    def _check_record(self, record: dict[str, Any], objects: dict[str, bytes]) -> None:
        assert record["saved"] is True
        assert record["files"][0] == record["path"]
        assert record["path"] == f"{record['upload_storage']}/{record['file_id']}"
        if not self.places[MAIN].keeps_bytes:
            return
        content = objects[record["path"]]
        label = label_of(content)
        assert record["filename"] in (filename_of(label), "unnamed")
        assert record["size"] == len(content)
        assert record["checksum"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        for path in record["files"][1:]:
            assert label_of(objects[path]).startswith(f"{label}{DERIVED}")

    def _check_litter(self) -> None:
        litter = [name for storage in self._used for name in self.places[storage].litter()]
        litter += [str(path) for path in Path(tempfile.gettempdir()).iterdir()]
        assert not litter, f"litter: {litter}"

    @contextmanager
    def logged(self) -> Iterator[list[str]]:
        """Collect what the library logs meanwhile, as text."""
        lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("sqlalchemy_file")
        logger.addHandler(handler)
        try:
            yield lines
        finally:
            logger.removeHandler(handler)

    # several at once, or later

    def eventually(self, holds: Callable[[], bool]) -> None:
        """Wait for what a finalizer has left to a thread in the background."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.01)

    def at_once(self, *works: Callable[[], T]) -> list[T]:
        """Run every function in a thread or task of its own; return what they return, in order."""
        if self.through_asyncio:
            return together(works, PATIENCE * 3)
        with ThreadPoolExecutor(len(works)) as pool:
            running = [pool.submit(work) for work in works]
            return [future.result(PATIENCE * 3) for future in running]

    def new_event(self) -> Event:
        """Return an event for those whom `at_once` runs."""
        return TaskEvent() if self.through_asyncio else threading.Event()

    def new_barrier(self, parties: int) -> Barrier:
        """Return a barrier for those whom `at_once` runs."""
        return TaskBarrier(parties) if self.through_asyncio else threading.Barrier(parties)

    def retrying(self, work: Callable[[], T]) -> T:
        """Run ``work`` again while the database refuses it as a victim of concurrency."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return work()
            except DBAPIError as error:
                if not _is_refusal(error) or time.monotonic() > deadline:
                    raise
            pause(0.01) if self.through_asyncio else time.sleep(0.01)


def _is_refusal(error: DBAPIError) -> bool:
    """Tell a deadlock, a lock timeout or a serialization failure from a real error."""
    text = str(error.orig).lower()
    return any(sign in text for sign in ("locked", "deadlock", "serialize", "lock wait"))


def _paths(named: Named) -> list[str]:
    return [path for record in named.records for path in record["files"]]


def _labels(named: Named, objects: dict[str, bytes]) -> Any:
    if named.is_list:
        return [_label(record, objects) for record in named.records]
    return None if named.value is None else _label(named.value, objects)


def _label(record: dict[str, Any], objects: dict[str, bytes]) -> str:
    assert record["path"] in objects, f"a row names {record['path']}, which is gone"
    content = objects[record["path"]]
    return label_of(content) if content else record["filename"].removesuffix(".txt")


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let temporary files go to a folder of the scenario's own, where none may stay."""
    before = tempfile.tempdir
    folder.mkdir(parents=True)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
