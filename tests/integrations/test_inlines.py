"""Rows that an admin edits within the form of another row, and their files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import flask_admin
import pytest
from flask_admin.contrib.sqla import ModelView as FlaskModelView
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette_admin.contrib.sqla import Admin, InlineModelView, ModelView

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.integrations import flask_admin as for_flask_admin
from sqlalchemy_file.integrations import starlette_admin as for_starlette_admin
from sqlalchemy_file.serving import FileServer
from tests.stores import contents, sqlite

pytestmark = [  # the admins leave it to the garbage collector to close what forms upload
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*Spooled"),
]
SECRET = "0123456789abcdef"


class Base(DeclarativeBase):
    pass


class Trip(Base):
    __tablename__ = "trip"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    stops: Mapped[list[Stop]] = relationship(back_populates="trip", cascade="all, delete-orphan")


class Stop(Base):
    __tablename__ = "stop"
    id: Mapped[int] = mapped_column(primary_key=True)
    trip_id: Mapped[int] = mapped_column(ForeignKey(Trip.id))
    trip: Mapped[Trip] = relationship(back_populates="stops")
    ticket: Mapped[File | None] = mapped_column(FileField)
    pages: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))


class StopInline(for_starlette_admin.FilesView, InlineModelView):
    model = Stop
    fields = ("id", "ticket", "pages")


class TripView(for_starlette_admin.FilesView, ModelView):
    inlines = (StopInline,)
    fields = ("id", "title")


class FlaskTripView(for_flask_admin.FilesView, FlaskModelView):
    inline_models = (Stop,)
    form_columns = ("title", "stops")


class OfStarletteAdmin:
    """The forms of starlette-admin: their names, and how they are sent."""

    edited, prefix, key = "/admin/trip/edit?pk=1", "inlines.stop.0.", "pk"

    def __init__(self, engine: Engine) -> None:
        app = Starlette()
        plugins = [for_starlette_admin.FilesPlugin(FileServer(secret=SECRET))]
        admin = Admin(engine, plugins=plugins, secret_key=SECRET)
        admin.add_view(TripView(Trip))
        admin.mount_to(app)
        self.client = TestClient(app)

    def close(self) -> None:
        pass

    def form(self) -> str:
        return self.client.get(self.edited).text

    def send(self, data: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> None:
        token = re.search(r'name="(csrftoken)"[^>]*value="([^"]+)"', self.form())
        assert token
        sent = self.client.post(self.edited, data={**data, token[1]: token[2]}, files=files)
        assert sent.status_code == 200, sent.text


class OfFlaskAdmin:
    """The same of Flask-Admin."""

    edited, prefix, key = "/admin/trip/edit/?id=1", "stops-0-", "id"

    def __init__(self, engine: Engine) -> None:
        app = flask.Flask(__name__)
        app.config.update(SECRET_KEY=SECRET, SQLALCHEMY_DATABASE_URI=engine.url)
        self.app, self.db = app, SQLAlchemy(app, model_class=Base)
        flask_admin.Admin(app).add_view(FlaskTripView(Trip, self.db))
        self.client = app.test_client()

    def close(self) -> None:
        with self.app.app_context():
            self.db.engine.dispose()

    def form(self) -> str:
        return self.client.get(self.edited).text

    def send(self, data: dict[str, Any], files: dict[str, tuple[str, bytes]]) -> None:
        uploads = {name: (io.BytesIO(content), each) for name, (each, content) in files.items()}
        assert self.client.post(self.edited, data={**data, **uploads}).status_code == 302


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    StorageManager.add_storage("stops", "memory://")
    engine = sqlite(Base, f"sqlite:///{tmp_path / 'trips.sqlite'}")
    with Session(engine) as session:
        pages = [File(name.encode(), filename=f"{name}.txt") for name in ("one", "two")]
        ticket = File(b"ticket", filename="ticket.txt")
        session.add(Trip(title="A", stops=[Stop(ticket=ticket, pages=pages)]))
        session.commit()
    yield engine
    engine.dispose()


@pytest.mark.parametrize("kind", [OfStarletteAdmin, OfFlaskAdmin])
def test_the_files_of_an_inline_row_are_kept_replaced_and_removed(
    engine: Engine, kind: Callable[[Engine], Any]
) -> None:
    admin = kind(engine)
    own = {"title": "B", f"{admin.prefix}{admin.key}": "1"}
    admin.send(own, {})
    assert contents(StorageManager.storage("stops")) == [b"one", b"ticket", b"two"]
    first, second = re.findall(
        rf'name="{re.escape(admin.prefix)}pages-replace-(\w+)"', admin.form()
    )
    admin.send(
        {**own, f"{admin.prefix}pages-remove": first},
        {
            f"{admin.prefix}pages-replace-{second}": ("2.txt", b"2"),
            f"{admin.prefix}pages": ("3.txt", b"3"),
        },
    )
    with Session(engine) as session:
        (stop,) = session.query(Stop)
        assert stop.ticket.filename == "ticket.txt"
        assert [page.filename for page in stop.pages] == ["2.txt", "3.txt"]
    assert contents(StorageManager.storage("stops")) == [b"2", b"3", b"ticket"]
    admin.close()
