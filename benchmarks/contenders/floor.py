"""No library: a plain JSON column, and plain files or bare calls of obstore."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.contenders import serving
from benchmarks.contenders.buckets import bucket_of_obstore
from benchmarks.contenders.plain import importing, plain_core, plain_session
from benchmarks.kit import Round, Setting, Work, engine_at, multiply

__all__ = ["plain_core", "plain_session"]

PACKAGES = ("obstore", "Pillow")
CHUNK = 1_000_000


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "plain"

    id: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)


def record(key: str, filename: str, size: int, checksum: str | None = None) -> dict[str, Any]:
    """Return what one would want to know of a file, in the same words as our own record."""
    return {
        "content_path": None,
        "filename": filename,
        "content_type": "application/pdf",
        "declared_content_type": "application/pdf",
        "size": size,
        "files": [f"files/{key}"],
        "extra": {
            "content_type": "application/pdf",
            "meta_data": {"filename": filename, "content_type": "application/pdf"},
        },
        "headers": None,
        "file_id": key,
        "upload_storage": "files",
        "uploaded_at": datetime.now(UTC).isoformat(),
        "path": f"files/{key}",
        "url": None,
        "saved": True,
        "checksum": checksum,
    }


def save(setting: Setting) -> Work:
    pool = ThreadPoolExecutor(8)

    def work(this: Round) -> None:
        engine, contents, folder = this.engine(), this.contents(), this.folder / "files"
        folder.mkdir()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.timed():
            keys = _save_all(setting, folder, contents, pool)
            _add(session, keys, contents)
            session.commit()
        engine.dispose()

    return work


def _save_all(
    setting: Setting, folder: Path, contents: list[bytes], pool: ThreadPoolExecutor
) -> list[str]:
    keys = [str(uuid.uuid4()) for _ in contents]
    if setting.storage == "obstore":
        asyncio.run(_put_all(setting, keys, contents))
    elif setting.storage == "local-synced":
        list(pool.map(_write_and_sync, [f"{folder}/{key}" for key in keys], contents))
        _sync(folder)
    else:
        for key, content in zip(keys, contents, strict=True):
            with open(f"{folder}/{key}", "wb") as file:
                file.write(content)
    return keys


def _write_and_sync(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


async def _put_all(
    setting: Setting, keys: list[str], contents: list[bytes], s3: Any = None
) -> None:
    store, gate = bucket_of_obstore(s3 or setting.s3), asyncio.Semaphore(setting.at_once)

    async def put(key: str, content: bytes) -> None:
        async with gate:
            await store.put_async(key, content)

    await asyncio.gather(*map(put, keys, contents))


def one_row(setting: Setting) -> Work:
    def work(this: Round) -> None:
        engine, contents, folder = this.engine(), this.contents(), this.folder / "files"
        folder.mkdir()
        Base.metadata.create_all(engine)
        with this.processor_timed():
            for content in contents:
                with Session(engine) as session:
                    session.add(_stored(folder, content))
                    session.commit()
        engine.dispose()

    return work


def one_row_async(setting: Setting) -> Work:
    def work(this: Round) -> None:
        asyncio.run(_one_row_async(this))

    return work


async def _one_row_async(this: Round) -> None:
    engine, contents, folder = this.async_engine(), this.contents(), this.folder / "files"
    folder.mkdir()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    with this.processor_timed():
        for content in contents:
            async with AsyncSession(engine) as session:
                session.add(await asyncio.to_thread(_stored, folder, content))
                await session.commit()
    await engine.dispose()


def _stored(folder: Path, content: bytes) -> Document:
    key = str(uuid.uuid4())
    with open(f"{folder}/{key}", "wb") as file:
        file.write(content)
    return Document(content=record(key, "report.pdf", len(content)))


imports = imports_names = importing("sqlalchemy.orm", "sqlalchemy.ext.mutable")


def read(_setting: Setting) -> Work:
    def work(this: Round) -> None:
        for number, content in enumerate(this.contents()):
            (this.folder / str(number)).write_bytes(content)
        paths = [f"{this.folder}/{number}" for number in range(this.n)]
        with this.timed():
            for path in paths:
                with open(path, "rb") as file:
                    file.read()

    return work


def delete(setting: Setting) -> Work:
    def lay(number: int) -> None:
        this = setting.round(number)
        contents, folder, engine = this.contents(), this.folder / "files", this.engine()
        folder.mkdir()
        keys = [str(uuid.uuid4()) for _ in contents]
        if setting.storage == "obstore":
            asyncio.run(_put_all(setting, keys, contents, setting.s3_direct))
        else:
            for key, content in zip(keys, contents, strict=True):
                (folder / key).write_bytes(content)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            _add(session, keys, contents)
            session.commit()
        engine.dispose()

    for number in range(setting.rounds + 1):
        lay(number)

    def work(this: Round) -> None:
        engine = this.engine()
        with Session(engine) as session, this.timed():
            keys = []
            for row in session.scalars(select(Document)):
                keys.append(row.content["file_id"])
                session.delete(row)
            session.commit()
            if setting.storage == "obstore":
                bucket_of_obstore(setting.s3).delete(keys)
            else:
                for key in keys:
                    os.unlink(f"{this.folder}/files/{key}")
        engine.dispose()

    return work


def load(setting: Setting) -> Work:
    engine = engine_at(setting.database or f"sqlite:///{setting.folder}/rows.sqlite")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        _add(session, [str(uuid.uuid4())], [b"%PDF-1.7"])
        session.commit()
    multiply(engine, "plain", "content", setting.n)
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
    """Copy and hash, one after the other."""

    def work(this: Round) -> None:
        engine, path = this.engine(), this.large_file()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.timed():
            size, checksum = _copy(path, this.folder / "copy", setting.storage == "local-synced")
            content = record(str(uuid.uuid4()), "large.pdf", size, checksum)
            session.add(Document(content=content))
            session.commit()
        engine.dispose()

    return work


def _copy(source: Path, target: Path, sync: bool) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
            writing.write(chunk)
            size += len(chunk)
        if sync:
            writing.flush()
            os.fsync(writing.fileno())
    return size, digest.hexdigest()


def thumbnail(setting: Setting) -> Work:
    """Save the photo and its smaller copies; the decoder reduces where it can."""
    from PIL import Image

    photo = Path(setting.photo).read_bytes()

    def work(this: Round) -> None:
        engine = this.engine()
        Base.metadata.create_all(engine)
        with Session(engine) as session, this.timed():
            (this.folder / "photo.jpg").write_bytes(photo)
            for size in setting.sizes:
                with Image.open(BytesIO(photo)) as image:
                    image.thumbnail((size, size))
                    image.save(this.folder / f"{size}.jpg")
            session.add(Document(content=record("photo", "photo.jpg", len(photo))))
            session.commit()
        engine.dispose()

    return work


def serve(setting: Setting) -> Work:
    """Serve one file to many at once: by Starlette's `FileResponse`, or bare from the bucket."""
    store = bucket_of_obstore(setting.s3) if setting.storage == "obstore" else None

    def work(this: Round) -> None:
        path = this.large_file()
        if store is not None:
            store.put("served", path)

        async def whole(request: Request) -> Response:
            return FileResponse(path, filename="a.pdf")

        async def from_bucket(request: Request) -> Response:
            return await _streamed(store, request)

        answer = whole if store is None else from_bucket
        serving.serve(Starlette(routes=[Route("/a.pdf", answer)]), "/a.pdf", setting, this)

    return work


async def _streamed(store: Any, request: Request) -> Response:
    asked = request.headers.get("range")
    options = {}
    if asked:
        start, end = map(int, asked.removeprefix("bytes=").split("-"))
        options = {"range": (start, end + 1)}
    found = await store.get_async("served", options=options)
    first, last = found.range
    headers = {"Content-Length": str(last - first), "Accept-Ranges": "bytes"}
    if asked:
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{found.meta['size']}"
    body = found.stream(min_chunk_size=CHUNK)
    return StreamingResponse(body, 206 if asked else 200, headers, "application/pdf")


def stall(setting: Setting) -> Work:
    """Write in a worker thread, as one would by hand."""

    def work(this: Round) -> None:
        asyncio.run(_stall(setting, this))

    return work


async def _stall(setting: Setting, this: Round) -> None:
    engine, contents = this.async_engine(), this.contents()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    large = Round(this.number, this.folder, 1, setting.large if this.number else 100_000)
    path = large.large_file()
    async with AsyncSession(engine) as session, this.loop_watched():
        keys = await asyncio.to_thread(_write_all, this.folder, contents)
        await asyncio.to_thread(_copy, path, this.folder / "copy", True)
        _add(session, keys, contents)
        await session.commit()
    await engine.dispose()


def _write_all(folder: Path, contents: list[bytes]) -> list[str]:
    keys = [str(uuid.uuid4()) for _ in contents]
    for key, content in zip(keys, contents, strict=True):
        _write_and_sync(f"{folder}/{key}", content)
    return keys


def _add(session: Session | AsyncSession, keys: Iterable[str], contents: Iterable[bytes]) -> None:
    session.add_all(
        Document(content=record(key, f"{number}.pdf", len(content)))
        for number, (key, content) in enumerate(zip(keys, contents, strict=True))
    )
