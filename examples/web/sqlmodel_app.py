"""SQLModel in FastAPI. Run it: ``python examples/web/sqlmodel_app.py``."""

from __future__ import annotations

from typing import Annotated

import uvicorn
from albums import server, set_up
from fastapi import FastAPI, Form, HTTPException, Request, UploadFile
from sqlmodel import Column, Field, Session, SQLModel, select

from sqlalchemy_file import File, FileField, ImageField
from sqlalchemy_file.integrations.starlette import FileResponse


class PictureBase(SQLModel):
    """What the table and the API have in common."""

    title: str


class Picture(PictureBase, table=True):
    """A table's model: its file columns are columns of SQLAlchemy."""

    id: int | None = Field(default=None, primary_key=True)
    cover: File | None = Field(default=None, sa_column=Column(ImageField(thumbnail_size=(96, 96))))
    pages: list[File] | None = Field(default=None, sa_column=Column(FileField(multiple=True)))


class PictureOut(PictureBase):
    """A picture as clients see it."""

    id: int
    cover: File | None
    pages: list[File] | None


engine = set_up()
SQLModel.metadata.create_all(engine)
app = FastAPI()
app.mount(server.path, server.asgi)


@app.post("/albums", status_code=201, response_model=PictureOut)
def create(
    title: Annotated[str, Form()],
    cover: UploadFile | None = None,
    pages: list[UploadFile] | None = None,
) -> Picture:
    with Session(engine) as session:
        picture = Picture(title=title, cover=cover, pages=pages)
        session.add(picture)
        session.commit()
        session.refresh(picture)  # until now SQLModel shows the uploads, and not the files
        return picture


@app.get("/albums", response_model=list[PictureOut])
def albums() -> list[Picture]:
    with Session(engine) as session:
        return list(session.exec(select(Picture).order_by(Picture.id)))


@app.head("/albums/{number}/cover", include_in_schema=False)
@app.get("/albums/{number}/cover")
def cover(request: Request, number: int, variant: str | None = None) -> FileResponse:
    with Session(engine) as session:
        picture = session.get(Picture, number)
    if picture is None or picture.cover is None:
        raise HTTPException(404)
    try:
        return FileResponse(request, picture.cover, variant=variant)
    except KeyError:
        raise HTTPException(404) from None


if __name__ == "__main__":
    uvicorn.run(app)  # http://127.0.0.1:8000/docs
