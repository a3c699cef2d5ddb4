"""This library."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.applications import Starlette
from starlette.routing import Mount

from benchmarks.contenders import serving
from benchmarks.contenders.buckets import (
    bucket_of_libcloud,
    bucket_of_obstore,
    filesystem_of_fsspec,
)
from benchmarks.contenders.plain import importing, plain_core, plain_session
from benchmarks.kit import Round, Setting, Work, engine_at, multiply
from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.ledger import Ledger
from sqlalchemy_file.processors import Variant, Variants
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.storage.adapters import adapt
from sqlalchemy_file.storage.local import LocalStorage

__all__ = ["plain_core", "plain_session"]

PACKAGES = ("sqlalchemy-file", "apache-libcloud", "obstore", "Pillow")


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "ours"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[File] = mapped_column(FileField)


class LedgerBase(DeclarativeBase):
    pass


class Noted(LedgerBase):
    """A document whose table the ledger watches."""

    __tablename__ = "ours_noted"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[File] = mapped_column(FileField)


LEDGER = Ledger(LedgerBase.metadata)


def picture_model(setting: Setting) -> type[Any]:
    """Return a model whose pictures get the sizes that the setting asks for."""
    first, *others = setting.sizes
    variants = {f"at_{size}": Variant((size, size), "JPEG") for size in others}

    class Picture(Base):
        __tablename__ = "ours_picture"

        id: Mapped[int] = mapped_column(primary_key=True)
        content: Mapped[File] = mapped_column(
            ImageField(
                thumbnail_size=(first, first),
                processors=[Variants(**variants)] if variants else [],
            )
        )

    return Picture


def connect(setting: Setting, folder: Path, s3: dict[str, Any] | None = None) -> None:
    """Add the storage that the setting asks for, in place of the last one."""
    s3 = s3 or setting.options.get("s3")
    StorageManager.clear()
    StorageManager.add_storage("files", _storage(setting.storage, folder / "files", s3))


def _storage(kind: str, folder: Path, s3: Any) -> Any:
    if kind == "obstore":
        return bucket_of_obstore(s3)
    if kind == "libcloud-s3":
        return bucket_of_libcloud(s3)
    if kind == "fsspec":
        from fsspec.implementations.local import LocalFileSystem

        return adapt(LocalFileSystem(), root=str(folder))
    if kind == "fsspec-s3":
        return adapt(filesystem_of_fsspec(s3), root=s3["bucket"])
    if kind == "libcloud":
        from libcloud.storage.drivers.local import LocalStorageDriver

        folder.mkdir(exist_ok=True)
        return LocalStorageDriver(str(folder.parent)).get_container(folder.name)
    # What libcloud's Local containers become, but for the syncing
    return LocalStorage(folder, sidecars=kind == "libcloud-unsynced", fsync=kind == "local-synced")


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


def one_row(setting: Setting) -> Work:
    """Save one file in a session of its own, as a web request does."""

    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine, contents = this.engine(), this.contents()
        Base.metadata.create_all(engine)
        with this.processor_timed():
            for content in contents:
                with Session(engine) as session:
                    session.add(Document(content=File(content, filename="report.pdf")))
                    session.commit()
        engine.dispose()

    return work


def one_row_async(setting: Setting) -> Work:
    def work(this: Round) -> None:
        connect(setting, this.folder)
        asyncio.run(_one_row_async(this))

    return work


async def _one_row_async(this: Round) -> None:
    engine, contents = this.async_engine(), this.contents()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    with this.processor_timed():
        for content in contents:
            async with AsyncSession(engine) as session:
                session.add(Document(content=File(content, filename="report.pdf")))
                await session.commit()
    await engine.dispose()


imports = importing("sqlalchemy_file")
imports_names = importing("sqlalchemy_file.storage", "sqlalchemy_file.types")


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
    def lay(number: int) -> Round:
        this = setting.round(number)
        connect(setting, this.folder, setting.options.get("s3_direct"))
        engine = this.engine()
        with Session(engine) as session:
            _lay(session, this)
        engine.dispose()
        return this

    # All before the first deletion: some file systems are slow at new files after it.
    for number in range(setting.rounds + 1):
        lay(number)

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
    multiply(engine, "ours", "content", setting.n)
    rows = select(Document).execution_options(yield_per=setting.options.get("yield_per"))

    def work(this: Round) -> None:
        with Session(engine) as session, this.timed():
            for _ in session.scalars(rows.limit(this.n)):
                pass

    return work


def load_async(setting: Setting) -> Work:
    load(setting)

    def work(this: Round) -> None:
        asyncio.run(_load_async(setting, this))

    return work


async def _load_async(setting: Setting, this: Round) -> None:
    engine = create_async_engine(setting.database.replace("psycopg", "asyncpg"))
    async with AsyncSession(engine) as session:
        await session.connection()
        with this.timed():
            for _ in await session.scalars(select(Document).limit(this.n)):
                pass
    await engine.dispose()


def save_large(setting: Setting) -> Work:
    """Save one file that is too large for memory, from a file object."""

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


def save_many_large(setting: Setting) -> Work:
    """Save several such files in one flush, with as many at a time as the setting allows."""

    def work(this: Round) -> None:
        connect(setting, this.folder)
        StorageManager.set_limit(setting.limit)
        engine, path = this.engine(), this.large_file()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.memory_watched():
            session.add_all(Document(content=File(path)) for _ in range(this.n))
            session.commit()
        engine.dispose()

    return work


def read_large(setting: Setting) -> Work:
    """Read it back in pieces."""
    save = save_large(setting)
    setting.options["memory"] = True

    def work(this: Round) -> None:
        save(this)
        engine = this.engine()
        with Session(engine) as session:
            document = session.scalars(select(Document)).one()
            with this.memory_watched(), document.content.file as file:
                while file.read(1_000_000):
                    pass
        engine.dispose()

    return work


def thumbnail(setting: Setting) -> Work:
    model = picture_model(setting)
    photo = Path(setting.photo).read_bytes()

    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine = this.engine()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.timed():
            session.add(model(content=File(photo, filename="photo.jpg")))
            session.commit()
        engine.dispose()

    return work


def commits(setting: Setting) -> Work:
    """Commit one file at a time, each in place of the last or beside it."""
    model: type[Any] = Noted if setting.ledger else Document

    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine, contents = this.engine(), this.contents()
        model.metadata.create_all(engine)
        with Session(engine) as session:
            row = model(content=File(b"%PDF-1.7", filename="first.pdf"))
            session.add(row)
            session.commit()
            with this.timed():
                for number, content in enumerate(contents):
                    file = File(content, filename=f"{number}.pdf")
                    if setting.replaces:
                        row.content = file
                    else:
                        session.add(model(content=file))
                    session.commit()
        engine.dispose()

    return work


def serve(setting: Setting) -> Work:
    """Serve one file to many at once, at a signed URL."""
    server = FileServer(secret="of the benchmark only", url="/files")  # noqa: S106
    app = Starlette(routes=[Mount("/files", app=server.asgi)])

    def work(this: Round) -> None:
        connect(setting, this.folder)
        engine = this.engine()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.large_file().open("rb") as content:
            document = Document(content=File(content, filename="a.pdf"))
            session.add(document)
            session.commit()
            url = server.url_for(document.content)
        serving.serve(app, url, setting, this)
        engine.dispose()

    return work


def stall(setting: Setting) -> Work:
    """Save many small files and a large one while an event loop has other things to do."""

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
        Document(content=File(content, filename=f"{number}.pdf"))
        for number, content in enumerate(contents)
    )
