"""The admins without a browser: under `AsyncSession`, and starlette-admin with its own fields."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqladmin
import starlette_admin.contrib.sqla as starlette_admin
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.applications import Starlette
from starlette.testclient import TestClient

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.integrations import sqladmin as for_sqladmin
from sqlalchemy_file.integrations import starlette_admin as for_starlette_admin
from tests.stores import contents, sqlite

pytestmark = [  # the admins leave it to the garbage collector to close what forms upload
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*Spooled"),
]
PAGES = [("pages", (f"{name}.txt", name.encode())) for name in ("one", "two")]


@pytest.fixture
def albums(example: Callable[[str], ModuleType]) -> Any:
    albums = example("albums")
    albums.set_up()
    return albums


def of_sqladmin(app: Starlette, albums: Any, engine: Any) -> tuple[str, str]:
    bases = (for_sqladmin.FilesView, sqladmin.ModelView)
    view = type(sqladmin.ModelView)("AlbumAdmin", bases, {}, model=albums.Album)
    sqladmin.Admin(app, engine).add_view(view)
    return "/admin/album/create", "/admin/album/edit/1"


def of_starlette_admin(app: Starlette, albums: Any, engine: Any) -> tuple[str, str]:
    view = type("View", (for_starlette_admin.FilesView, starlette_admin.ModelView), {})
    plugins = [for_starlette_admin.FilesPlugin(albums.server)]
    admin = starlette_admin.Admin(engine, plugins=plugins, secret_key=albums.SECRET)
    admin.add_view(view(albums.Album))
    admin.mount_to(app)
    return "/admin/album/create", "/admin/album/edit?pk=1"


@pytest.mark.parametrize("made", [of_sqladmin, of_starlette_admin])
def test_an_admin_changes_several_files_one_by_one_under_an_async_session(
    albums: Any, made: Callable[..., tuple[str, str]]
) -> None:
    engine = create_async_engine(albums.engine.url.set(drivername="sqlite+aiosqlite"))
    app = Starlette()
    create, edit = made(app, albums, engine)
    with TestClient(app) as client:
        _send(client, create, {"title": "A"}, PAGES)
        first, second = re.findall(r'name="pages-replace-(\w+)"', client.get(edit).text)
        change = [(f"pages-replace-{second}", ("2.txt", b"2"))]
        _send(client, edit, {"title": "B", "pages-remove": first}, change)
        client.portal.call(engine.dispose)
    with Session(albums.engine) as session:
        (album,) = session.query(albums.Album)
        assert [page.filename for page in album.pages] == ["2.txt"]
    assert contents(StorageManager.storage("albums")) == [b"2"]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_export_of_sqladmin_names_files_and_not_where_they_are(albums: Any, kind: str) -> None:
    with Session(albums.engine) as session:
        pages = [File(b"1", filename="1.txt"), File(b"2", filename="2.txt")]
        session.add(albums.Album(title="A", pages=pages))
        session.commit()
    app = Starlette()
    shown = {"column_list": ["title", "cover", "pages"]}
    bases = (for_sqladmin.FilesView, sqladmin.ModelView)
    view = type(sqladmin.ModelView)("AlbumAdmin", bases, shown, model=albums.Album)
    sqladmin.Admin(app, albums.engine).add_view(view)
    client = TestClient(app)
    exported = client.get(f"/admin/album/export/{kind}").text
    assert "1.txt, 2.txt" in exported
    assert "albums/" not in exported
    assert "/files/" in client.get("/admin/album/list").text


def exported(client: TestClient, kind: str) -> Any:
    client.get("/admin/album/list")
    token = client.cookies["starlette_admin_csrftoken"]
    return client.post(
        "/admin/_api/album/action?name=export",
        data={"scope": "page", "format": kind},
        headers={"X-CSRFToken": token},
    )


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_export_of_starlette_admin_holds_the_files(albums: Any, kind: str) -> None:
    app = Starlette()
    of_starlette_admin(app, albums, albums.engine)
    with Session(albums.engine) as session:
        pages = [File(b"one", filename="1.txt"), File(b"two", filename="2.txt")]
        session.add_all([albums.Album(title="A", pages=pages), albums.Album(title="B")])
        session.commit()
        gone, stays = pages
        StorageManager.storage("albums").delete([gone.file_id])
    found = exported(TestClient(app), kind)
    assert found.status_code == 200, found.text
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        data, name = archive.namelist()
        assert data == f"album.{kind}"
        assert name == f"assets/files/{stays.path}/2.txt"
        assert archive.read(name) == b"two"
        assert name in archive.read(data).decode()


def test_starlette_admin_lists_a_file_whose_storage_was_removed(albums: Any) -> None:
    app = Starlette()
    of_starlette_admin(app, albums, albums.engine)
    with Session(albums.engine) as session:
        session.add(albums.Album(title="A", pages=[File(b"one", filename="1.txt")]))
        session.commit()
    with albums.engine.begin() as connection:
        old = "replace(pages, 'albums', 'gone')"
        connection.exec_driver_sql(f"UPDATE album SET pages = {old}")
    client = TestClient(app)
    for page in ("list", "detail?pk=1", "edit?pk=1"):
        shown = client.get(f"/admin/album/{page}")
        assert shown.status_code == 200
        assert "1.txt" in shown.text
        assert 'href="None"' not in shown.text


def _send(client: Any, url: str, data: dict[str, str], files: list[Any]) -> None:
    token = re.search(r'name="(\w*csrf\w*)"[^>]*value="([^"]+)"', client.get(url).text)
    secret = {token[1]: token[2]} if token else {}
    sent = client.post(url, data={**data, **secret}, files=files)
    assert sent.status_code == 200, sent.text


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "admin_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[File | None] = mapped_column(FileField)


@pytest.fixture(params=["memory", "local"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "notes").mkdir()
    place = "memory://" if request.param == "memory" else (tmp_path / "notes").as_uri()
    StorageManager.add_storage("notes", place)
    engine = sqlite(Base, f"sqlite:///{tmp_path / 'notes.sqlite'}")
    yield engine
    engine.dispose()


def test_the_fields_of_starlette_admin_itself_show_and_serve_files(engine: Any) -> None:
    app = Starlette()
    admin = starlette_admin.Admin(engine, secret_key="0123456789abcdef")
    admin.add_view(starlette_admin.ModelView(Note))
    admin.mount_to(app)
    client = TestClient(app)
    token = re.search(
        r'name="(\w*csrf\w*)"[^>]*value="([^"]+)"', client.get("/admin/note/create").text
    )
    assert token
    upload = {"text": ("a.txt", b"hello", "text/plain")}
    client.post("/admin/note/create", data={token[1]: token[2]}, files=upload)
    (url,) = re.findall(
        r'href="[^"]*(/_api/file/notes/[^"]+)"', client.get("/admin/note/list").text
    )
    assert client.get(f"/admin{url}").content == b"hello"
