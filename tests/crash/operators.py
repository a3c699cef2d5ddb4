"""A town of programs and operators on one bucket, for random schedules in one thread.

Everything happens in turn, but a step may come in the middle of another one: before a query of a
drain or a sweep, or before it deletes. So a schedule depends on its seed alone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, String, delete, event, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import SQLAlchemyFileError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.ledger.tables import KEPT
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.changes import records_in
from tests.stores import keys

GRACE = 60
"""Seconds. Objects get older by some of them with each step, so that nobody has to wait."""

FORGIVEN = (DBAPIError, SQLAlchemyFileError, StaleDataError)
"""A step may be refused, or be a victim of another one: then it has to be as if it never was."""


class Base(DeclarativeBase):
    pass


class Sheet(Base):
    __tablename__ = "town_sheet"

    id: Mapped[int] = mapped_column(primary_key=True)
    cover: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))
    pictures: Mapped[list[File] | None] = mapped_column(
        FileField(upload_storage="main", multiple=True)
    )
    archive: Mapped[File | None] = mapped_column(
        FileField(upload_storage="attic", on_release="keep")
    )


class Card(Base):
    """Another table that files move to and from; its keys are chosen, and used again."""

    __tablename__ = "town_card"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    cover: Mapped[File | None] = mapped_column(
        FileField(upload_storage="main", key=lambda file: file.get("wanted_key"))
    )


ledger = Ledger(Base.metadata)


class Bucket(MemoryStorage):
    """A storage that knows who deleted what, and lets others act before it deletes."""

    def __init__(self, name: str, before: Callable[[], None]) -> None:
        super().__init__()
        self._name = name
        self._before = before
        self.actor = ""
        self.deleted: dict[str, str] = {}
        """Who deleted an object last."""

    def empty(self) -> None:
        """Forget all objects, and what copies that are gone have signed."""
        self._objects.clear()
        self.deleted.clear()
        for name, content in self.notes().items():
            if b"clone" in content:
                self.remove_note(name)

    def age(self, seconds: float) -> None:
        """Make all objects older."""
        by = timedelta(seconds=seconds)
        self._objects = {
            key: (data, replace(info, last_modified=info.last_modified and info.last_modified - by))
            for key, (data, info) in self._objects.items()
        }

    def paths(self) -> set[str]:
        return {f"{self._name}/{key}" for key in keys(self)}

    def delete(self, keys: Sequence[str]) -> None:
        self._before()
        super().delete(keys)
        self.deleted.update({f"{self._name}/{key}": self.actor for key in keys})


class Buckets:
    """The storages of the town: one of fields that delete, and one of a field that keeps."""

    def __init__(self, before: Callable[[], None]) -> None:
        self.all = [Bucket(name, before) for name in ("main", "attic")]
        for name, bucket in zip(("main", "attic"), self.all, strict=True):
            StorageManager.add_storage(name, bucket)

    @contextmanager
    def acting(self, actor: str) -> Iterator[None]:
        """Let an actor answer for what is deleted in the block."""
        before = self.all[0].actor
        for bucket in self.all:
            bucket.actor = actor
        try:
            yield
        finally:
            for bucket in self.all:
                bucket.actor = before

    def empty(self) -> None:
        for bucket in self.all:
            bucket.empty()

    def age(self, seconds: float) -> None:
        for bucket in self.all:
            bucket.age(seconds)

    def there(self) -> set[str]:
        return set().union(*(bucket.paths() for bucket in self.all))

    def deleted_by(self, path: str) -> str:
        return {**self.all[0].deleted, **self.all[1].deleted}[path]


class Program:
    """One database of the town, with the engines of its program and of its operator.

    ``origin`` is the program of which this one is a copy, if it is one. ``schema`` is that of a
    tenant, whose tables stand beside those of another program in one database.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        operators: Engine,
        origin: Program | None = None,
        schema: str | None = None,
    ) -> None:
        self.name = name
        self._prefix = f"{schema}." if schema else ""
        self.engine = engine
        self.operators = operators
        self.origin = origin
        self.excused: set[str] = set()
        """What its rows may name although it is gone: of before a restore, or of a copy."""
        self.archived: set[str] = set()
        """What its keeping field has held, committed."""
        self.kept: set[str] = set()
        """What that field has let go of, so that it has to stay."""
        self._now: tuple[set[str], set[str]] = (set(), set())
        self._reader = engine.raw_connection()
        self._reader.detach()  # a connection of its own: nothing interrupts its queries
        _commit_each_statement(self._reader.dbapi_connection)

    def close(self) -> None:
        self._reader.close()

    def begin(self) -> None:
        """Forget an earlier schedule."""
        self.excused, self.archived, self.kept, self._now = set(), set(), set(), (set(), set())

    def named(self) -> set[str]:
        named, archived = self._read()
        return named | archived

    def look(self, moved: set[str]) -> set[str]:
        """Take note of what the keeping field has let go of since the last look.

        What sessions have ``moved`` may have been let go of by a field that deletes.
        """
        named, archived = self._read()
        self.archived |= archived
        self.kept |= self._now[1] - named - archived - moved
        self._now = named, archived
        return named | archived

    def start_again(self) -> None:
        """Take the rows for those of a restored database, which has lost its later entries."""
        self.kept.clear()
        self._now = self._read()

    def _read(self) -> tuple[set[str], set[str]]:
        """Return what fields that delete hold, and what the one that keeps does."""
        sheets = self._select("cover, pictures, archive", "town_sheet")
        cards = self._select("cover", "town_card")
        named = [value for row in (*sheets, *cards) for value in row[:2]]
        return _paths(named), _paths(row[2] for row in sheets)

    def _select(self, columns: str, table: str) -> list[Any]:
        cursor = self._reader.dbapi_connection.cursor()
        cursor.execute(f"SELECT {columns} FROM {self._prefix}{table}")
        rows = list(cursor.fetchall())
        cursor.close()
        return rows

    def write(self, action: Callable[[Session], object], *, commit: bool) -> set[str]:
        """Do something in a session, and return what it has moved from one row to another."""
        moved = set[str]()
        info = {"moved": moved, "archived": set[str](), "look": lambda: self.look(moved)}
        with Session(self.engine, info=info) as session:
            action(session)
            session.flush()
            if commit:
                session.commit()
                self.archived |= session.info["archived"]  # also what no look has seen there
        return moved

    def execute(self, statement: str) -> None:
        """Do what another program does, which knows nothing of files."""
        statement = statement.replace("town_", f"{self._prefix}town_")
        connection = self.engine.raw_connection()
        try:
            connection.cursor().execute(statement)
            connection.commit()
        except self.engine.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(statement, None, error) from error
        finally:
            connection.close()

    def make_due(self) -> None:
        with self.operators.begin() as connection:
            is_kept = ledger.releases.c.lease == KEPT
            connection.execute(update(ledger.releases).where(is_kept.isnot(True)).values(due_at=0))

    def listed(self) -> set[str]:
        """Return what its ledger lists: objects that are still to be deleted."""
        paths = self._select("path", ledger.releases.name)
        return {str(path) for (path,) in paths}

    def copy_to(self, path: Path) -> None:
        """Copy its SQLite database into another file, over what is there."""
        with closing(sqlite3.connect(path)) as target:
            self._backup(lambda own: own.backup(target, progress=_never_wait))

    def restore_from(self, path: Path) -> None:
        """Make its SQLite database what it was when it was copied."""
        with closing(sqlite3.connect(path)) as source:
            self._backup(lambda own: source.backup(own, progress=_never_wait))
        for engine in (self.engine, self.operators):
            engine.dispose()  # programs are stopped for that, and started again

    def _backup(self, action: Callable[[Any], object]) -> None:
        own = self.engine.raw_connection()
        try:
            action(own.driver_connection)
        except sqlite3.Error as error:
            raise DBAPIError("backup", None, error) from error
        finally:
            own.close()


def _never_wait(status: int, _remaining: int, _total: int) -> None:
    """Give up where ``backup`` would wait for a lock: in one thread nobody would release it."""
    if status & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise sqlite3.OperationalError("database is locked")


class Interruptions:
    """Steps that come in the middle of others, and errors of the database in our own queries."""

    def __init__(self) -> None:
        self.dice = Random(0)
        self._step: Callable[[], None] | None = None
        self._is_inside = False
        self._error_in: int | None = None
        self.counts: Counter[str] = Counter()

    @contextmanager
    def armed(self, step: Callable[[], None] | None, error_in: int | None) -> Iterator[None]:
        """Let a step come at a random moment of the block, and its ``error_in``-th query fail."""
        self._step, self._error_in = step, error_in
        try:
            yield
        finally:
            self._step = self._error_in = None

    def maybe(self) -> None:
        step = self._step
        if step is None or self._is_inside or self.dice.random() > 0.2:
            return
        self._step, self._is_inside = None, True
        try:
            step()
            self.counts["in the middle"] += 1
        finally:
            self._is_inside = False

    def now_and_then(self, check: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a check of the tables that is mostly left out: no step changes their layout."""
        return lambda context: check(context) if self.dice.random() < 0.2 else ()

    def watch(self, engine: Engine) -> None:
        event.listen(engine, "before_cursor_execute", self._before_query, retval=True)

    def _before_query(
        self, _connection: Any, _cursor: Any, sql: str, params: Any, _context: Any, many: bool
    ) -> tuple[str, Any]:
        self.maybe()
        if self._error_in is not None and not self._is_inside:
            self._error_in -= 1
            if self._error_in < 0 and "sqlalchemy_file_" in sql and not many:
                self._error_in = None
                self.counts["errors"] += 1
                return "SELECT no_such_column FROM no_such_table", _none_of(params)
        return sql, params


def _none_of(params: Any) -> Any:
    return type(params)() if params else params


def _commit_each_statement(connection: Any) -> None:
    """Let a driver's connection begin no transaction, whose driver spells that in its own way."""
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None
    elif callable(connection.autocommit):
        connection.autocommit(True)
    else:
        connection.autocommit = True


def _paths(values: Iterable[Any]) -> set[str]:
    return {path for value in values for record in records_in(value) for path in record["files"]}


@contextmanager
def open_buckets(before: Callable[[], None]) -> Iterator[Buckets]:
    try:
        yield Buckets(before)
    finally:
        StorageManager.clear()


def empty(engine: Engine) -> None:
    """Remove all rows, and what earlier schedules have left in the ledger."""
    with engine.begin() as connection:
        for table in (Sheet.__table__, Card.__table__, ledger.releases):
            prefix = connection.schema_for_object(table)
            name = f"{prefix}.{table.name}" if prefix else table.name
            connection.exec_driver_sql(f"DELETE FROM {name}")
        connection.execute(delete(ledger.state).where(ledger.state.c.name == "keeping"))
