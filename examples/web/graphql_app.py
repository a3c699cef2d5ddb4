"""Strawberry (GraphQL) and msgspec in Starlette. Run it: ``python examples/web/graphql_app.py``."""

from __future__ import annotations

from functools import partial

import msgspec
import strawberry
import uvicorn
from albums import Album, server, set_up
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from strawberry.asgi import GraphQL

from sqlalchemy_file.integrations.msgspec import PublicFile
from sqlalchemy_file.integrations.strawberry import FileType

new_session = partial(Session, set_up(), expire_on_commit=False)


class AlbumOut(msgspec.Struct):
    """An album as JSON."""

    id: int
    title: str
    cover: PublicFile | None
    pages: list[PublicFile]

    @classmethod
    def of(cls, album: Album) -> AlbumOut:
        pages = [PublicFile.of(each) for each in album.pages or ()]
        return cls(album.id, album.title, PublicFile.of(album.cover), pages)


@strawberry.type
class AlbumType:
    """An album of GraphQL."""

    id: int
    title: str
    cover: FileType | None
    pages: list[FileType]


@strawberry.type
class Query:
    """``{ albums { title cover { filename url(variant: "thumbnail") } } }``."""

    @strawberry.field
    def albums(self) -> list[AlbumType]:
        with new_session() as session:
            found = session.scalars(select(Album).order_by(Album.id))
            return [
                AlbumType(
                    id=each.id,
                    title=each.title,
                    cover=FileType.of(each.cover),
                    pages=[FileType.of(page) for page in each.pages or ()],
                )
                for each in found
            ]


async def create(request: Request) -> Response:
    """Take an upload: GraphQL is for what is small."""
    async with request.form() as form:
        album = Album(
            title=form["title"], cover=form.get("cover"), pages=form.getlist("pages") or None
        )
        await run_in_threadpool(store, album)
    return Response(msgspec.json.encode(AlbumOut.of(album)), 201, media_type="application/json")


def store(album: Album) -> None:
    with new_session() as session:
        session.add(album)
        session.commit()


app = Starlette(
    routes=[
        Route("/albums", create, methods=["POST"]),
        Mount(server.path, app=server.asgi),
        Mount("/graphql", app=GraphQL(strawberry.Schema(Query))),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app)  # http://127.0.0.1:8000/graphql/
