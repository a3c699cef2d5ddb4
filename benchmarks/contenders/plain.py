"""Statements on a table without files, in a process that has imported the library or has not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from sqlalchemy import Engine, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from benchmarks.kit import Round, Setting, Work


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]


def plain_core(setting: Setting) -> Work:
    """Insert a row and read it, by Core."""

    def work(this: Round) -> None:
        engine = _engine()
        adding, reading = insert(Note.__table__), select(Note.__table__).where(Note.id == 1)
        with engine.connect() as connection, this.processor_timed():
            for _ in range(this.n):
                connection.execute(adding, {"words": "plain"})
                connection.execute(reading).all()
        engine.dispose()

    return work


def plain_session(setting: Setting) -> Work:
    """Add a row in a session of its own, and commit."""

    def work(this: Round) -> None:
        engine = _engine()
        with this.processor_timed():
            for _ in range(this.n):
                with Session(engine) as session:
                    session.add(Note(words="plain"))
                    session.commit()
        engine.dispose()

    return work


def importing(*modules: str) -> Callable[[Setting], Work]:
    """Return the work of importing modules in a new process."""
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]

    def prepared(setting: Setting) -> Work:
        def work(this: Round) -> None:
            with this.timed():
                for _ in range(this.n):
                    subprocess.run(command, check=True)

        return work

    return prepared


def _engine() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    return engine
