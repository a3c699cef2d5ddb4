"""Quart. Run it: ``python examples/web/quart_app.py``."""

from __future__ import annotations

from typing import Any

import uvicorn
from albums import Album, server, set_up
from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware
from quart import Quart, abort, request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from sqlalchemy_file.exceptions import ValidationError
from sqlalchemy_file.integrations.quart import send_file
from sqlalchemy_file.serving import public_record

engine = create_async_engine(set_up().url.set(drivername="sqlite+aiosqlite"))
new_session = async_sessionmaker(engine, expire_on_commit=False)
site = Quart(__name__)
site.after_serving(engine.dispose)


@site.post("/albums")
async def create() -> Any:
    form, files = await request.form, await request.files
    album = Album(title=form["title"], cover=files.get("cover"), pages=files.getlist("pages"))
    async with new_session() as session:
        session.add(album)
        await session.commit()
    return shown(album), 201


@site.get("/albums")
async def albums() -> Any:
    async with new_session() as session:
        return [shown(album) for album in await session.scalars(select(Album).order_by(Album.id))]


@site.get("/albums/<int:number>/cover")
async def cover(number: int) -> Any:
    async with new_session() as session:
        album = await session.get(Album, number)
    if album is None or album.cover is None:
        abort(404)
    try:
        return await send_file(album.cover, variant=request.args.get("variant"))
    except KeyError:
        abort(404)


@site.errorhandler(ValidationError)
async def show_refusal(error: ValidationError) -> Any:
    return {"errors": [each.as_dict() for each in error.refusals]}, 422


def shown(album: Album) -> dict[str, Any]:
    cover = public_record(album.cover)
    pages = [public_record(page) for page in album.pages or ()]
    return {"id": album.id, "title": album.title, "cover": cover, "pages": pages}


app = AsyncioDispatcherMiddleware({server.path: server.asgi, "": site})

if __name__ == "__main__":
    uvicorn.run(app)  # http://127.0.0.1:8000/albums
