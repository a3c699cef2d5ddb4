"""sqlalchemy-file 0.7.0, through libcloud, the only way it has."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

from libcloud.storage.drivers.local import LocalStorageDriver
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.contenders.buckets import bucket_of_libcloud
from benchmarks.kit import Round, Setting, Work, engine_at, multiply
from sqlalchemy_file import File, FileField, ImageField
from sqlalchemy_file.storage import StorageManager

PACKAGES = ("sqlalchemy-file", "apache-libcloud", "Pillow")


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "release_0_7"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[Any] = mapped_column(FileField)


def connect(setting: Setting, folder: Path, s3: dict[str, Any] | None = None) -> None:
    StorageManager._clear()
    s3 = s3 or setting.options.get("s3")
    if setting.storage in ("obstore", "libcloud-s3"):
        container = bucket_of_libcloud(s3)
    else:
        (folder / "files").mkdir(exist_ok=True)
        container = LocalStorageDriver(str(folder)).get_container("files")
    StorageManager.add_storage("files", container)


def save(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine, contents = this.engine(), this.contents()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.timed():
            _add(session, contents)
            session.commit()
        engine.dispose()

    return work


def read(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine = this.engine()
        with Session(engine) as session:
            _lay(session, this)
            rows = session.scalars(select(Document)).all()
            with this.timed():
                for row in rows:
                    row.content.file.read()
        engine.dispose()

    return work


def delete(setting: Setting) -> Work:
    for number in range(setting.rounds + 1):
        this = setting.round(number)
        connect(setting, this.folder, setting.options.get("s3_direct"))
        engine = this.engine()
        with Session(engine) as session:
            _lay(session, this)
        engine.dispose()

    def work(this: Round) -> None:
        connect(setting, this.folder)
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
    connect(setting, Path(setting.folder))
    with Session(engine) as session:
        _add(session, [b"%PDF-1.7"])
        session.commit()
    multiply(engine, "release_0_7", "content", setting.n)

    def work(this: Round) -> None:
        with Session(engine) as session, this.timed():
            for _ in session.scalars(select(Document).limit(this.n)):
                pass

    return work


def save_large(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine, path = this.engine(), this.large_file()
        Base.metadata.create_all(engine)
        watch = this.memory_watched if setting.options.get("memory") else this.timed
        with path.open("rb") as file, Session(engine) as session, watch():
            session.add(Document(content=File(file, filename="large.pdf")))
            session.commit()
        engine.dispose()

    return work


def thumbnail(setting: Setting) -> Work:
    size = setting.sizes[-1]

    class Picture(Base):
        __tablename__ = "picture"

        id: Mapped[int] = mapped_column(primary_key=True)
        content: Mapped[Any] = mapped_column(ImageField(thumbnail_size=(size, size)))

    photo = Path(setting.photo).read_bytes()

    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine = this.engine()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.timed():
            session.add(Picture(content=File(photo, filename="photo.jpg")))
            session.commit()
        engine.dispose()

    return work


def stall(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        asyncio.run(_stall(setting, this))

    return work


async def _stall(setting: Setting, this: Round) -> None:
    engine, contents = this.async_engine(), this.contents()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    large = Round(this.number, this.folder, 1, setting.large if this.number else 100_000)
    with large.large_file().open("rb") as file:
        async with AsyncSession(engine) as session, this.loop_watched():
            _add(session, contents)
            session.add(Document(content=File(file, filename="large.pdf")))
            await session.commit()
    await engine.dispose()


def _lay(session: Session, this: Round) -> None:
    Base.metadata.create_all(session.connection())
    _add(session, this.contents())
    session.commit()


def _add(session: Session | AsyncSession, contents: list[bytes]) -> None:
    session.add_all(
        Document(content=File(io.BytesIO(content), filename=f"{number}.pdf"))
        for number, content in enumerate(contents)
    )
