"""filedepot (DEPOT) 0.12.0, with its own local storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depot.fields.sqlalchemy import UploadedFileField
from depot.io.utils import FileIntent
from depot.manager import DepotManager
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.kit import Round, Setting, Work, engine_at, multiply

PACKAGES = ("filedepot",)


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "depot"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[Any] = mapped_column(UploadedFileField)


def connect(folder: Path) -> None:
    """Make the depot of this round, or the one it had, the default."""
    name = f"round-{folder.name}"
    if DepotManager.get(name) is None:
        DepotManager.configure(name, {"depot.storage_path": str(folder / "files")})
    DepotManager.set_default(name)


def save(_setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(this.folder)
        engine, contents = this.engine(), this.contents()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.timed():
            _add(session, contents)
            session.commit()
        engine.dispose()

    return work


def read(_setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(this.folder)
        engine = this.engine()
        with Session(engine) as session:
            _lay(session, this)
            rows = session.scalars(select(Document)).all()
            with this.timed():
                for row in rows:
                    with row.content.file as file:
                        file.read()
        engine.dispose()

    return work


def delete(setting: Setting) -> Work:
    for number in range(setting.rounds + 1):
        this = setting.round(number)
        connect(this.folder)
        engine = this.engine()
        with Session(engine) as session:
            _lay(session, this)
        engine.dispose()

    def work(this: Round) -> None:
        connect(this.folder)
        engine = this.engine()
        with Session(engine) as session, this.timed():
            for row in session.scalars(select(Document)):
                session.delete(row)
            session.commit()
        engine.dispose()

    return work


def load(setting: Setting) -> Work:
    engine = engine_at(setting.database or f"sqlite:///{setting.folder}/rows.sqlite")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    connect(Path(setting.folder))
    with Session(engine) as session:
        _add(session, [b"%PDF-1.7"])
        session.commit()
    multiply(engine, "depot", "content", setting.n)

    def work(this: Round) -> None:
        with Session(engine) as session, this.timed():
            for _ in session.scalars(select(Document).limit(this.n)):
                pass

    return work


def save_large(_setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(this.folder)
        engine, path = this.engine(), this.large_file()
        Base.metadata.create_all(engine)
        with path.open("rb") as file, Session(engine) as session, this.timed():
            intent = FileIntent(file, "large.pdf", "application/pdf")
            session.add(Document(content=intent))
            session.commit()
        engine.dispose()

    return work


def _lay(session: Session, this: Round) -> None:
    Base.metadata.create_all(session.connection())
    _add(session, this.contents())
    session.commit()


def _add(session: Session, contents: list[bytes]) -> None:
    session.add_all(
        Document(content=FileIntent(content, f"{number}.pdf", "application/pdf"))
        for number, content in enumerate(contents)
    )
