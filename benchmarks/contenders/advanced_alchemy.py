"""advanced-alchemy 1.12.0, with its obstore backend."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from advanced_alchemy.config import SQLAlchemySyncConfig
from advanced_alchemy.types import FileObject, StoredObject
from advanced_alchemy.types.file_object import storages
from advanced_alchemy.types.file_object.backends.obstore import ObstoreBackend
from obstore.store import LocalStore
from sqlalchemy import Engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.contenders.buckets import bucket_of_obstore
from benchmarks.kit import Round, Setting, Work, engine_at, multiply

PACKAGES = ("advanced-alchemy", "obstore")


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "advanced"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[FileObject] = mapped_column(StoredObject(backend="files"))


def connect(setting: Setting, folder: Path, s3: dict[str, Any] | None = None) -> None:
    if setting.storage == "obstore":
        store: Any = bucket_of_obstore(s3 or setting.s3)
    else:
        store = LocalStore(str(folder / "files"), mkdir=True)
    storages.register_backend(ObstoreBackend(key="files", fs=store))


def session_on(engine: Engine) -> Session:
    """Return a session whose files follow its transactions."""
    config = SQLAlchemySyncConfig(engine_instance=engine, create_all=False)
    return config.get_session()


def save(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine, contents = this.engine(), this.contents()
        Base.metadata.create_all(engine)
        with session_on(engine) as session, this.timed():
            _add(session, contents)
            session.commit()
        engine.dispose()

    return work


def read(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine = this.engine()
        with session_on(engine) as session:
            _lay(session, this)
            rows = session.scalars(select(Document)).all()
            with this.timed():
                for row in rows:
                    row.content.get_content()
        engine.dispose()

    return work


def delete(setting: Setting) -> Work:
    for number in range(setting.rounds + 1):
        this = setting.round(number)
        connect(setting, this.folder, setting.options.get("s3_direct"))
        engine = this.engine()
        with session_on(engine) as session:
            _lay(session, this)
        engine.dispose()

    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine = this.engine()
        with session_on(engine) as session, this.timed():
            for row in session.scalars(select(Document)):
                session.delete(row)
            session.commit()
        engine.dispose()

    return work


def load(setting: Setting) -> Work:
    engine = engine_at(setting.database or f"sqlite:///{setting.folder}/rows.sqlite")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    connect(setting, Path(setting.folder))
    with session_on(engine) as session:
        _add(session, [b"%PDF-1.7"])
        session.commit()
    multiply(engine, "advanced", "content", setting.n)

    def work(this: Round) -> None:
        with session_on(engine) as session, this.timed():
            for _ in session.scalars(select(Document).limit(this.n)):
                pass

    return work


def save_large(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine, path = this.engine(), this.large_file()
        Base.metadata.create_all(engine)
        with session_on(engine) as session, this.timed():
            content = FileObject(backend="files", filename="large.pdf", source_path=path)
            session.add(Document(content=content))
            session.commit()
        engine.dispose()

    return work


def _lay(session: Session, this: Round) -> None:
    Base.metadata.create_all(session.connection())
    _add(session, this.contents())
    session.commit()


def _add(session: Session, contents: list[bytes]) -> None:
    # Its files are stored under their names, which have to be unique.
    session.add_all(
        Document(
            content=FileObject(backend="files", filename=f"{uuid.uuid4()}.pdf", content=content)
        )
        for content in contents
    )
