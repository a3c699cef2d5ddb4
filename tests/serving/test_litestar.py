"""Litestar: files in what handlers take and return."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from advanced_alchemy.extensions.litestar.dto import SQLAlchemyDTO, SQLAlchemyDTOConfig
from litestar import Litestar, get, patch, post
from litestar.dto import DTOData
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.testing import TestClient
from sqlalchemy import Engine, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.exceptions import SizeValidationError
from sqlalchemy_file.integrations.litestar import FilesDTO, FilesPlugin
from sqlalchemy_file.validators import SizeValidator
from tests.stores import keys

HIDDEN = ("upload_storage", "file_id", '"path"', "content_path", "extra")


class Base(DeclarativeBase):
    pass


class Album(Base):
    __tablename__ = "litestar_album"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    cover: Mapped[File | None] = mapped_column(
        FileField(upload_storage="main", validators=[SizeValidator(1000)])
    )
    pages: Mapped[list[File] | None] = mapped_column(
        FileField(upload_storage="main", multiple=True)
    )


class Shelf(Base):
    __tablename__ = "litestar_shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    boxes: Mapped[list[Box]] = relationship(lazy="selectin")


class Box(Base):
    __tablename__ = "litestar_box"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("litestar_shelf.id"))
    label: Mapped[File | None] = mapped_column(FileField(upload_storage="main"))


class AlbumDTO(FilesDTO, SQLAlchemyDTO[Album]):
    config = SQLAlchemyDTOConfig(exclude={"id"})


class ChangeDTO(FilesDTO, SQLAlchemyDTO[Album]):
    config = SQLAlchemyDTOConfig(exclude={"id"}, partial=True, rename_strategy="upper")


Form = Annotated[Album, Body(media_type=RequestEncodingType.MULTI_PART)]
Change = Annotated[DTOData[Album], Body(media_type=RequestEncodingType.MULTI_PART)]


def collections_of(cover: Any) -> list[Any]:
    @get("/named", sync_to_thread=False)
    def named() -> dict[str, File]:
        return {"first": cover()}

    @get("/pairs", sync_to_thread=False)
    def pairs() -> list[tuple[File, ...]]:
        return [(cover(), cover())]

    return [named, pairs]


def shelf_of(engine: Engine) -> Any:
    @get("/shelf", sync_to_thread=False)
    def shelf() -> Shelf:
        with Session(engine) as session:
            session.add(Shelf(boxes=[Box(label=File("label", filename="c.txt"))]))
            session.commit()
        with Session(engine) as session:
            return session.get_one(Shelf, 1)

    return shelf


@pytest.fixture
def client(engine: Engine) -> TestClient[Litestar]:
    Base.metadata.create_all(engine)

    def stored(album: Album) -> Album:
        with Session(engine, expire_on_commit=False) as session:
            session.add(album)
            session.commit()
        return album

    @post("/albums", dto=AlbumDTO, sync_to_thread=False)
    def upload(data: Form) -> Album:
        return stored(data)

    @patch("/albums/{number:int}", dto=ChangeDTO, return_dto=AlbumDTO, sync_to_thread=False)
    def change(data: Change, number: FromPath[int]) -> Album:
        with Session(engine, expire_on_commit=False) as session:
            album = data.update_instance(session.get_one(Album, number))
            session.commit()
        return album

    @post("/described", dto=AlbumDTO, sync_to_thread=False)
    def describe(data: Annotated[Album, Body()]) -> Album:
        return stored(data)

    @get("/albums", sync_to_thread=False)
    def albums() -> list[Album]:
        with Session(engine) as session:
            return list(session.query(Album))

    @get("/covers", sync_to_thread=False)
    def covers() -> list[File]:
        return [album.cover for album in albums.fn() if album.cover]

    @get("/cover", sync_to_thread=False)
    def cover() -> File | None:
        return covers.fn()[0]

    handlers = [upload, change, describe, albums, covers, cover, *collections_of(cover.fn)]
    handlers.append(shelf_of(engine))
    return TestClient(Litestar(handlers, plugins=[FilesPlugin()]))


def sent(client: TestClient[Litestar], *files: tuple[str, Any]) -> Any:
    return client.post("/albums", data={"title": "A"}, files=list(files))


COVER = ("cover", ("c.txt", b"cover", "text/plain"))


def test_a_dto_takes_uploads_and_shows_files(client: TestClient[Litestar]) -> None:
    pages = [("pages", (name, name.encode())) for name in ("1.txt", "2.txt")]
    made = sent(client, COVER, *pages)
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["cover"]["filename"], shown["cover"]["size"]) == ("c.txt", 5)
    assert [page["filename"] for page in shown["pages"]] == ["1.txt", "2.txt"]
    assert not any(name in made.text for name in HIDDEN)
    assert len(keys(StorageManager.storage("main"))) == 3


def test_a_plugin_gives_models_with_files_a_dto(client: TestClient[Litestar]) -> None:
    sent(client, COVER)
    shown = client.get("/albums")
    assert shown.json()[0]["id"] == 1
    assert shown.json()[0]["cover"]["filename"] == "c.txt"
    assert not any(name in shown.text for name in HIDDEN)


@pytest.mark.parametrize("url", ["/cover", "/covers", "/named", "/pairs"])
def test_a_handler_may_return_files(client: TestClient[Litestar], url: str) -> None:
    sent(client, COVER)
    shown = client.get(url)
    assert '"filename":"c.txt"' in shown.text
    assert not any(name in shown.text for name in HIDDEN)


def test_a_model_without_files_shows_those_of_related_rows(client: TestClient[Litestar]) -> None:
    shown = client.get("/shelf")
    assert shown.json()["boxes"][0]["label"]["filename"] == "c.txt"
    assert not any(name in shown.text for name in HIDDEN)


@pytest.mark.parametrize(
    "described", [{"path": "main/x", "saved": True}, {"filename": "x"}, "main/x", ["x"], 5]
)
def test_json_never_names_a_file(client: TestClient[Litestar], described: Any) -> None:
    for field in ("cover", "pages"):
        refused = client.post("/described", json={"title": "A", field: described})
        assert refused.status_code == 400
    kept = client.post("/described", json={"title": "A", "cover": None})
    assert kept.status_code == 201


def test_a_refused_file_is_a_422_that_says_why(client: TestClient[Litestar]) -> None:
    refused = sent(client, ("cover", ("big.txt", bytes(1001))))
    assert refused.status_code == 422
    (refusal,) = refused.json()["extra"]
    assert (refusal["key"], refusal["code"], refusal["filename"]) == (
        "cover",
        "too_large",
        "big.txt",
    )
    assert keys(StorageManager.storage("main")) == []


def test_parameters_of_a_refusal_may_be_of_any_type() -> None:
    @get("/", sync_to_thread=False)
    def refuse() -> None:
        raise SizeValidationError("cover", "it is too far", params={"at": 1j})

    refused = TestClient(Litestar([refuse], plugins=[FilesPlugin()])).get("/")
    assert refused.status_code == 422
    assert refused.json()["extra"][0]["params"] == {"at": "1j"}


def test_the_openapi_document_describes_files_both_ways(client: TestClient[Litestar]) -> None:
    described = client.get("/schema/openapi.json")
    assert described.status_code == 200
    schemas = described.json()["components"]["schemas"]
    assert "checksum" in schemas["PublicFile"]["properties"]
    assert "schemas/PublicFile" in described.text
    assert '"format":"binary"' in described.text


def as_browser(*parts: tuple[str, bytes]) -> dict[str, Any]:
    """Return a request like that of a browser, which sends files that were not chosen as well."""
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), content)
        for head, content in parts
    )
    return {
        "content": body + b"--x--\r\n",
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    }


TITLE = ('name="title"', b"A")


def test_a_file_that_was_not_chosen_is_no_file(client: TestClient[Litestar]) -> None:
    unchosen = [(f'name="{name}"; filename=""', b"") for name in ("cover", "pages")]
    made = client.post("/albums", **as_browser(TITLE, *unchosen))
    assert made.status_code == 201, made.text
    assert (made.json()["cover"], made.json()["pages"]) == (None, None)


def test_one_upload_for_several_is_a_list_of_one(client: TestClient[Litestar]) -> None:
    made = sent(client, ("pages", ("1.txt", b"one")))
    assert made.status_code == 201, made.text
    assert [page["filename"] for page in made.json()["pages"]] == ["1.txt"]


def test_a_change_without_a_chosen_file_keeps_the_files(client: TestClient[Litestar]) -> None:
    sent(client, COVER, ("pages", ("1.txt", b"one")))
    unchosen = [(f'name="{name}"; filename=""', b"") for name in ("COVER", "PAGES")]
    changed = client.patch("/albums/1", **as_browser(('name="TITLE"', b"B"), *unchosen))
    assert changed.status_code == 200, changed.text
    shown = changed.json()
    assert (shown["title"], shown["cover"]["filename"]) == ("B", "c.txt")
    assert [page["filename"] for page in shown["pages"]] == ["1.txt"]
    replaced = client.patch("/albums/1", **as_browser(('name="PAGES"; filename="2.txt"', b"two")))
    assert [page["filename"] for page in replaced.json()["pages"]] == ["2.txt"]


@pytest.mark.parametrize(
    ("names", "form"),
    [
        ({"rename_fields": {"cover": "front"}}, ("title", "front", "pages")),
        ({"rename_strategy": "camel"}, ("title", "cover", "pages")),
        ({"rename_strategy": lambda name: f"{name}_x"}, ("title_x", "cover_x", "pages_x")),
        (
            {"rename_fields": {"pages": "all"}, "rename_strategy": "pascal"},
            ("Title", "Cover", "all"),
        ),
    ],
)
def test_a_dto_may_rename_the_inputs_of_a_form(
    engine: Engine, names: dict[str, Any], form: tuple[str, str, str]
) -> None:
    Base.metadata.create_all(engine)
    config = SQLAlchemyDTOConfig(exclude={"id"}, **names)
    bases: Any = (FilesDTO, SQLAlchemyDTO[Album])

    @post("/", dto=type("DTO", bases, {"config": config}), return_dto=None, sync_to_thread=False)
    def upload(data: Form) -> list[str | None]:
        with Session(engine) as session:
            session.add(data)
            session.commit()
            return [data.title, *[page.filename for page in data.pages or []]]

    title, cover, pages = form
    unchosen = (f'name="{cover}"; filename=""', b"")
    page = (f'name="{pages}"; filename="1.txt"', b"one")
    with TestClient(Litestar([upload])) as client:
        made = client.post("/", **as_browser((f'name="{title}"', b"A"), unchosen, page))
    assert (made.status_code, made.json()) == (201, ["A", "1.txt"])


def test_an_empty_file_that_was_chosen_is_a_file(client: TestClient[Litestar]) -> None:
    made = client.post("/albums", **as_browser(TITLE, ('name="cover"; filename="e.txt"', b"")))
    assert (made.status_code, made.json()["cover"]["size"]) == (201, 0)


@pytest.mark.parametrize(
    "parts",
    [
        [TITLE, ('name="cover"', b"main/x")],
        [TITLE, ('name="pages"', b"main/x")],
        [TITLE, *[('name="cover"; filename="c.txt"', b"c")] * 2],
        [('name="cover"; filename="c.txt"', b"c")],
    ],
    ids=["text for a file", "text for files", "two for one", "no title"],
)
def test_a_form_that_does_not_fit_is_a_400(
    client: TestClient[Litestar], parts: list[tuple[str, bytes]]
) -> None:
    assert client.post("/albums", **as_browser(*parts)).status_code == 400
    assert keys(StorageManager.storage("main")) == []
