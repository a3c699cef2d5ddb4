"""Litestar with Advanced Alchemy's DTOs. Run it: ``python examples/web/litestar_app.py``."""

from __future__ import annotations

from typing import Annotated

import uvicorn
from advanced_alchemy.extensions.litestar.dto import SQLAlchemyDTO, SQLAlchemyDTOConfig
from albums import Album, server, set_up
from litestar import Litestar, Request, get, post, route
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotFoundException
from litestar.handlers import asgi
from litestar.params import Body, FromPath, FromQuery
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from sqlalchemy_file.integrations.litestar import FileResponse, FilesDTO, FilesPlugin

engine = create_async_engine(set_up().url.set(drivername="sqlite+aiosqlite"))
new_session = async_sessionmaker(engine, expire_on_commit=False)


class AlbumIn(FilesDTO, SQLAlchemyDTO[Album]):
    """What a form sends."""

    config = SQLAlchemyDTOConfig(exclude={"id"})


class AlbumOut(FilesDTO, SQLAlchemyDTO[Album]):
    """An album as clients see it."""


Form = Annotated[Album, Body(media_type=RequestEncodingType.MULTI_PART)]


@post("/albums", dto=AlbumIn, return_dto=AlbumOut)
async def create(data: Form) -> Album:
    async with new_session() as session:
        session.add(data)
        await session.commit()
    return data


@get("/albums", return_dto=AlbumOut)
async def albums() -> list[Album]:
    async with new_session() as session:
        return list(await session.scalars(select(Album).order_by(Album.id)))


@route("/albums/{number:int}/cover", http_method=["GET", "HEAD"])
async def cover(
    request: Request, number: FromPath[int], variant: FromQuery[str | None] = None
) -> FileResponse:
    async with new_session() as session:
        album = await session.get(Album, number)
    if album is None or album.cover is None:
        raise NotFoundException
    try:
        return FileResponse(request, album.cover, variant=variant)
    except KeyError:
        raise NotFoundException from None


files = asgi(server.path, is_mount=True, copy_scope=True)(server.asgi)


app = Litestar(
    [create, albums, cover, files], plugins=[FilesPlugin()], on_shutdown=[engine.dispose]
)

if __name__ == "__main__":
    uvicorn.run(app)  # http://127.0.0.1:8000/schema
