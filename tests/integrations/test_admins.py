"""The admins without a browser: under `AsyncSession`, and starlette-admin with its own fields."""

from __future__ import annotations

import csv
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
from sqlalchemy_file.integrations.forms import spreadsheet_text
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.validators import SizeValidator
from tests.stores import contents, sqlite

pytestmark = [  # the admins leave it to the garbage collector to close what forms upload
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*Spooled"),
]
SECRET = "0123456789abcdef"
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
    client = TestClient(with_sqladmin(albums, column_list=["title", "cover", "pages"]))
    exported = client.get(f"/admin/album/export/{kind}").text
    assert "1.txt, 2.txt" in exported
    assert "albums/" not in exported
    assert "/files/" in client.get("/admin/album/list").text


FORMULA = '=HYPERLINK("http:&x","y").csv'
NAMES = [FORMULA, "plain.csv", "-1;@SUM(A1).csv"]
CELL = f"'{FORMULA}, plain.csv, '-1;'@SUM(A1).csv"


def with_formulas(albums: Any) -> None:
    with Session(albums.engine) as session:
        pages = [File(b"1", filename=name) for name in NAMES]
        session.add(albums.Album(title="A", pages=pages))
        session.commit()


def with_sqladmin(albums: Any, **shown: Any) -> Starlette:
    app = Starlette()
    bases = (for_sqladmin.FilesView, sqladmin.ModelView)
    view = type(sqladmin.ModelView)("AlbumAdmin", bases, shown, model=albums.Album)
    sqladmin.Admin(app, albums.engine).add_view(view)
    return app


def test_a_cell_of_a_spreadsheet_has_an_apostrophe_before_a_formula() -> None:
    for sign in "=+-@＝＋－＠":  # noqa: RUF001  full-width signs
        for before in ("", " ", "\t", "\r", "\n", "a;", "a\t", "a, ", "a\r\n"):
            assert spreadsheet_text(f"{before}{sign}1.csv") == f"{before}'{sign}1.csv"
    for name in ("", "a.csv", "a-b.csv", "1+1=2.csv", "me@home, you.csv"):
        assert spreadsheet_text(name) == name


@pytest.mark.parametrize("is_pretty", [False, True])
def test_a_csv_export_of_sqladmin_holds_no_formula(albums: Any, is_pretty: bool) -> None:
    with_formulas(albums)
    shown = {"column_list": ["title", "cover", "pages"], "use_pretty_export": is_pretty}
    client = TestClient(with_sqladmin(albums, **shown))
    (row,) = csv.DictReader(io.StringIO(client.get("/admin/album/export/csv").text))
    assert list(row.values())[-1] == CELL
    (found,) = client.get("/admin/album/export/json").json()
    assert found["pages"] == ", ".join(NAMES)


def test_a_csv_export_of_flask_admin_holds_no_formula(
    example: Callable[[str], ModuleType],
) -> None:
    site: Any = example("flask_admin_app")
    albums: Any = example("albums")
    with_formulas(albums)
    view = type("View", (site.AlbumAdmin,), {"can_export": True})(
        albums.Album, site.db, endpoint="a"
    )
    site.admin.add_view(view)
    text = site.app.test_client().get("/admin/a/export/csv/").text
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["Pages"] == CELL
    for kind, shown in [("xlsx", CELL), ("json", ", ".join(NAMES))]:
        with site.app.test_request_context(f"/admin/a/export/{kind}/"):
            (album,) = site.db.session.query(albums.Album)
            assert view.get_export_value(album, "pages") == shown


def test_a_csv_export_of_starlette_admin_holds_no_formula(albums: Any) -> None:
    with_formulas(albums)
    app = Starlette()
    of_starlette_admin(app, albums, albums.engine)
    found = exported(TestClient(app), "csv")
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        (row,) = csv.DictReader(io.StringIO(archive.read("album.csv").decode()))
    assert all(line.startswith("assets/files/albums/") for line in row["Pages"].splitlines())


def test_an_import_of_sqladmin_takes_rows_of_an_export_without_their_files(albums: Any) -> None:
    with_formulas(albums)
    shown = {"column_list": ["id", "title", "cover", "pages"], "can_import": True}
    client = TestClient(with_sqladmin(albums, form_include_pk=True, **shown))
    sent = client.get("/admin/album/export/csv").text.replace("1,A,", "2,B,")
    client.post("/admin/album/import", files={"csvfile": ("a.csv", sent, "text/csv")})
    with Session(albums.engine) as session:
        albums = session.query(albums.Album).order_by("id")
        assert [(each.title, len(each.pages or ())) for each in albums] == [("A", 3), ("B", 0)]
    assert len(contents(StorageManager.storage("albums"))) == len(NAMES)


def test_a_form_of_sqladmin_that_is_refused_shows_the_files_of_the_row(albums: Any) -> None:
    with_formulas(albums)
    client = TestClient(with_sqladmin(albums))
    form = client.get("/admin/album/edit/1").text
    tokens = re.findall(r'name="pages-current" value="(\w+)"', form)
    refused = client.post(
        "/admin/album/edit/1",
        data={"title": "A", "pages-current": tokens},
        files={"cover": ("a.png", b"no picture"), "pages": ("", b"")},
    )
    assert refused.status_code == 400
    assert "Provide valid image file" in refused.text
    assert ">plain.csv</a>" in refused.text


@pytest.mark.parametrize("page", ["list", "details/1"])
def test_an_admin_shows_each_name_on_its_own_line(albums: Any, page: str) -> None:
    with_formulas(albums)
    client = TestClient(with_sqladmin(albums, column_list=["pages"]))
    shown = client.get(f"/admin/album/{page}").text
    assert len(re.findall(r"<div[^>]*><a [^>]*>[^<]*\.csv</a></div>", shown)) == len(NAMES)


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


def _send(
    client: Any, url: str, data: dict[str, str], files: list[Any], *, status: int = 200
) -> str:
    token = re.search(r'name="(\w*csrf\w*)"[^>]*value="([^"]+)"', client.get(url).text)
    secret = {token[1]: token[2]} if token else {}
    sent = client.post(url, data={**data, **secret}, files=files)
    assert sent.status_code == status, sent.text
    return str(sent.text)


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "admin_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[File | None] = mapped_column(FileField)


class Bill(Base):
    __tablename__ = "admin_bill"
    id: Mapped[int] = mapped_column(primary_key=True)
    scan: Mapped[File] = mapped_column(FileField)
    pages: Mapped[list[File]] = mapped_column(FileField(multiple=True))


class Draft(Base):
    __tablename__ = "admin_draft"
    id: Mapped[int] = mapped_column(primary_key=True)
    scan: Mapped[File | None] = mapped_column(FileField(validators=[SizeValidator(3)]))
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(multiple=True, validators=[SizeValidator(3)])
    )


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
    admin = starlette_admin.Admin(engine, secret_key=SECRET)
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


def starlette_admin_of(engine: Any, model: type) -> TestClient:
    app = Starlette()
    plugins = [for_starlette_admin.FilesPlugin(FileServer(secret=SECRET))]
    admin = starlette_admin.Admin(engine, plugins=plugins, secret_key=SECRET)
    admin.add_view(
        type("View", (for_starlette_admin.FilesView, starlette_admin.ModelView), {})(model)
    )
    admin.mount_to(app)
    return TestClient(app)


@pytest.mark.parametrize("engine", ["memory"], indirect=True)
def test_starlette_admin_tells_every_file_that_is_refused(engine: Any) -> None:
    files = [("scan", ("a<b>.txt", b"long")), *(("pages", (f"{n}.txt", n)) for n in "12")]
    files += [("pages", ("3.txt", b"long")), ("pages", ("4.txt", b"longer"))]
    client = starlette_admin_of(engine, Draft)
    shown = _send(client, "/admin/draft/create", {}, files, status=422)
    for name, size in [("a&lt;b&gt;.txt", 4), ("3.txt", 4), ("4.txt", 6)]:
        assert f"{name}: The file is too large ({size} bytes)" in shown
    one = _send(client, "/admin/draft/create", {}, [("scan", ("a.txt", b"long"))], status=422)
    assert "The file is too large (4 bytes)" in one
    assert contents(StorageManager.storage("notes")) == []


@pytest.mark.parametrize("engine", ["memory"], indirect=True)
def test_a_box_of_starlette_admin_removes_only_the_file_that_its_form_shows(engine: Any) -> None:
    client, edit = starlette_admin_of(engine, Note), "/admin/note/edit?pk=1"
    _send(client, "/admin/note/create", {}, [("text", ("1.txt", b"1"))])

    def tokens() -> list[str]:
        return re.findall(r'name="text-current" value="(\w+)"', client.get(edit).text)

    (first,) = tokens()
    box = {"_text-delete": "on", "text-current": first}
    _send(client, edit, {}, [("text", ("2.txt", b"2"))])
    _send(client, edit, box, [])
    assert contents(StorageManager.storage("notes")) == [b"2"]
    _send(client, edit, box, [("text", ("3.txt", b"3"))])
    assert contents(StorageManager.storage("notes")) == [b"3"]
    (third,) = tokens()
    _send(client, edit, {**box, "text-current": third}, [])
    assert contents(StorageManager.storage("notes")) == []
    assert tokens() == []


@pytest.mark.parametrize("engine", ["memory"], indirect=True)
def test_a_required_file_is_asked_for_by_starlette_admin(engine: Any) -> None:
    client = starlette_admin_of(engine, Bill)
    create, edit = "/admin/bill/create", "/admin/bill/edit?pk=1"
    asked = "This field is required."
    assert _send(client, create, {}, [], status=422).count(asked) == 2
    assert _send(client, create, {}, [("scan", ("a.txt", b"a"))], status=422).count(asked) == 1
    _send(client, create, {}, [("scan", ("a.txt", b"a")), ("pages", ("1.txt", b"1"))])
    _send(client, edit, {}, [])
    (token,) = re.findall(r'name="pages-replace-(\w+)"', client.get(edit).text)
    for removal in ({"_scan-delete": "on"}, {"pages-remove": token}):
        assert _send(client, edit, removal, [], status=422).count(asked) == 1
    assert contents(StorageManager.storage("notes")) == [b"1", b"a"]
    _send(client, edit, {"pages-remove": token}, [("pages", ("2.txt", b"2"))])
    assert contents(StorageManager.storage("notes")) == [b"2", b"a"]
