"""FastAPI with an `AsyncSession`. Run it: ``python examples/web/fastapi_app.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from albums import Album, server, set_up
from fastapi import Depends, FastAPI, Form, HTTPException, Request, UploadFile
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import ValidationError
from sqlalchemy_file.integrations.starlette import FileResponse, refusal_response

engine = create_async_engine(set_up().url.set(drivername="sqlite+aiosqlite"))
new_session = async_sessionmaker(engine, expire_on_commit=False)


class AlbumOut(BaseModel):
    """An album as clients see it: its files with their URLs, not how they are kept."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    cover: File | None
    pages: list[File] | None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


async def open_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


Database = Annotated[AsyncSession, Depends(open_session)]
app = FastAPI(lifespan=lifespan)
app.mount(server.path, server.asgi)
app.add_exception_handler(ValidationError, refusal_response)


@app.post("/albums", status_code=201)
async def create(
    session: Database,
    title: Annotated[str, Form()],
    cover: UploadFile | None = None,
    pages: list[UploadFile] | None = None,
) -> AlbumOut:
    album = Album(title=title, cover=cover, pages=pages)
    session.add(album)
    await session.commit()
    return AlbumOut.model_validate(album)


@app.get("/albums")
async def albums(session: Database) -> list[AlbumOut]:
    found = await session.scalars(select(Album).order_by(Album.id))
    return [AlbumOut.model_validate(album) for album in found]


@app.head("/albums/{number}/cover", include_in_schema=False)
@app.get("/albums/{number}/cover")
async def cover(
    request: Request, session: Database, number: int, variant: str | None = None
) -> FileResponse:
    album = await session.get(Album, number)
    if album is None or album.cover is None:
        raise HTTPException(404)
    try:
        return FileResponse(request, album.cover, variant=variant)
    except KeyError:
        raise HTTPException(404) from None


if __name__ == "__main__":
    uvicorn.run(app)  # http://127.0.0.1:8000/docs
