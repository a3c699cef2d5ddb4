"""A town of programs and operators on one bucket, for random schedules in one thread.

Everything happens in turn, but a step may come in the middle of another one: before a query of a
drain or a sweep, or before it deletes. So a schedule depends on its seed alone.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, String, event, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import SQLAlchemyFileError
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.stores import named

GRACE = 0.05
"""Seconds; an hour would take a schedule an hour."""

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

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__()
        self._before = before
        self.actor = ""
        self.deleted: dict[str, str] = {}
        """Who deleted an object last."""

    def empty(self) -> None:
        """Forget all objects, and what copies that are gone have signed."""
        super().delete([info.key for info in self.list()])
        self.deleted.clear()
        for name, content in self.notes().items():
            if b"clone" in content:
                self.remove_note(name)

    def delete(self, keys: Sequence[str]) -> None:
        self._before()
        super().delete(keys)
        self.deleted.update({f"main/{key}": self.actor for key in keys})


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

    def named(self) -> set[str]:
        return {
            *named(self.engine, f"{self._prefix}town_sheet", "cover", "pictures"),
            *named(self.engine, f"{self._prefix}town_card", "cover"),
        }

    def write(self, action: Callable[[Session], object], *, commit: bool) -> None:
        with Session(self.engine) as session:
            action(session)
            session.flush()
            if commit:
                session.commit()

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
            connection.execute(update(ledger.releases).values(due_at=0))

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


@contextmanager
def open_bucket(before: Callable[[], None]) -> Iterator[Bucket]:
    bucket = Bucket(before)
    StorageManager.add_storage("main", bucket)
    try:
        yield bucket
    finally:
        StorageManager.clear()


def empty(engine: Engine) -> None:
    """Remove all rows, and what earlier schedules have left in the ledger."""
    with engine.begin() as connection:
        for table in (Sheet.__table__, Card.__table__, ledger.releases):
            prefix = connection.schema_for_object(table)
            name = f"{prefix}.{table.name}" if prefix else table.name
            connection.execute(text(f"DELETE FROM {name}"))
