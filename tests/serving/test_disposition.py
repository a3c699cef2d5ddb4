"""What a field says about its files: shown by browsers, or saved by them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Mapped, Session, mapped_column
from werkzeug.test import Client

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.storage.memory import MemoryStorage
from tests.pictures import encoded, quadrants

from .models import SECRET, Base

PNG = encoded(quadrants())
PAGE = b"<!doctype html><script>alert(1)</script>"


class Download(Base):
    __tablename__ = "served_download"
    id: Mapped[int] = mapped_column(primary_key=True)
    saved: Mapped[File | None] = mapped_column(
        ImageField(upload_storage="main", disposition="attachment", thumbnail_size=(8, 8))
    )
    shown: Mapped[File | None] = mapped_column(
        FileField(upload_storage="main", disposition="inline")
    )


def stored(engine: Engine, **files: File) -> Download:
    with Session(engine, expire_on_commit=False) as session:
        download = Download(**files)
        session.add(download)
        session.commit()
    return download


def sent(server: FileServer, url: str) -> str:
    found = Client(server.wsgi, use_cookies=False).get(url.removeprefix(server.url))
    assert found.status_code == 200
    return found.headers["Content-Disposition"].partition(";")[0]


def kept(path: str) -> str | None:
    """Return the header that a storage was given with an object."""
    storage: Any = StorageManager.storage("main")
    key = StorageManager.resolve(path)[1]
    return storage.stat(key).attributes.headers.get("Content-Disposition")


def test_a_field_decides_what_the_file_server_sends(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    download = stored(engine, saved=File(PNG, filename="a.png"), shown=File(PNG, filename="b.png"))
    assert download.saved is not None
    assert download.shown is not None
    assert sent(server, server.url_for(download.saved)) == "attachment"
    assert sent(server, server.url_for(download.saved, variant="thumbnail")) == "attachment"
    assert sent(server, server.url_for(download.saved, disposition="inline")) == "inline"
    assert sent(server, server.url_for(download.shown)) == "inline"
    assert sent(server, server.url_for(download.shown, disposition="attachment")) == "attachment"


def test_a_field_cannot_have_a_page_shown(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    download = stored(engine, shown=File(PAGE, filename="a.html"))
    assert download.shown is not None
    assert sent(server, server.url_for(download.shown)) == "attachment"


def test_the_disposition_goes_to_the_storage_with_the_objects() -> None:
    StorageManager.add_storage("main", MemoryStorage())
    engine = _engine()
    download = stored(
        engine, saved=File(PNG, filename="grüße.png"), shown=File(PAGE, filename="a.html")
    )
    assert download.saved is not None
    assert download.shown is not None
    assert kept(download.saved.path) == (
        "attachment; filename=\"gru_e.png\"; filename*=UTF-8''gr%C3%BC%C3%9Fe.png"
    )
    thumbnail = kept(download.saved.thumbnail["path"])
    assert thumbnail is not None
    assert "thumbnail8x6.png" in thumbnail
    assert kept(download.shown.path) == 'attachment; filename="a.html"'
    assert download.saved.headers is None
    own = stored(engine, saved=File(PNG, headers={"content-disposition": "inline"}))
    assert own.saved is not None
    assert kept(own.saved.path) is None
    engine.dispose()


def test_a_file_may_say_it_itself(engine: Engine) -> None:
    server = FileServer(secret=SECRET)
    download = stored(engine, saved=File(PNG, filename="a.png", disposition="inline"))
    assert download.saved is not None
    assert sent(server, server.url_for(download.saved)) == "inline"
    odd = stored(engine, shown=File(PNG, filename="a.png", disposition="sideways"))
    assert odd.shown is not None
    assert sent(server, server.url_for(odd.shown)) == "inline"


def test_public_urls_are_of_the_field_s_disposition(engine: Engine) -> None:
    server = FileServer(public=["main"])
    download = stored(engine, saved=File(PNG, filename="a.png"), shown=File(PAGE, filename="b"))
    assert download.saved is not None
    assert download.shown is not None
    url = server.url_for(download.saved)
    assert url == f"/files/attachment/main/{download.saved.file_id}"
    assert sent(server, url) == "attachment"
    assert sent(server, server.url_for(download.saved, disposition="inline")) == "inline"
    assert sent(server, server.url_for(download.shown)) == "attachment"


def test_an_unknown_disposition_of_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match='"inline" or "attachment", not \'download\''):
        FileField(disposition="download")  # type: ignore[arg-type]


def _engine() -> Engine:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    return engine
