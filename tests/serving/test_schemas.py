"""A file in the models of an API: what clients see, and what they may send."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import fastapi
import msgspec
import pytest
import strawberry
from fastapi import FastAPI, UploadFile
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from sqlmodel import Field, SQLModel
from starlette.testclient import TestClient
from urllib3 import encode_multipart_formdata

from sqlalchemy_file import File, FileField, StorageManager
from sqlalchemy_file.integrations.msgspec import PublicFile
from sqlalchemy_file.integrations.strawberry import FileType
from sqlalchemy_file.processors import ThumbnailGenerator, Variants
from sqlalchemy_file.serving import FileServer, public_record, set_url_resolver
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.validators import ImageValidator
from tests.pictures import encoded, quadrants

from .models import SECRET, Letter, saved

HIDDEN = {"path", "file_id", "upload_storage", "extra", "headers", "content_path", "files", "saved"}

SHOWN = {"filename", "content_type", "size", "checksum", "width", "height", "placeholder", "url",
         "thumbnail", "variants"}  # fmt: skip


class LetterOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    body: File | None


class LetterIn(BaseModel):
    body: File | None = None


class Note(SQLModel):
    body: File | None = Field(default=None, sa_type=FileField)


@pytest.fixture
def urls() -> Iterator[FileServer]:
    server = FileServer(secret=SECRET)
    set_url_resolver(server.url_for)
    yield server
    set_url_resolver(None)


def app(engine: Engine) -> FastAPI:
    app = FastAPI()

    @app.get("/letters/{number}", response_model=LetterOut)
    def read(number: int) -> Any:
        with Session(engine) as session:
            return session.get(Letter, number)

    @app.post("/letters", response_model=LetterOut)
    def upload(body: UploadFile) -> Any:
        with Session(engine, expire_on_commit=False) as session:
            letter = Letter(body=File(body))
            session.add(letter)
            session.commit()
            return letter

    @app.put("/letters")
    def describe(letter: LetterIn) -> Any:
        return letter

    return app


def test_a_response_shows_the_file_and_not_how_it_is_kept(
    engine: Engine, urls: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(app(engine))
    posted = client.post("/letters", files={"body": ("a.txt", b"hello", "text/plain")})
    assert posted.status_code == 200, posted.text
    for verb in ("stat", "stream"):
        monkeypatch.setattr(MemoryStorage, verb, None)  # a response asks no storage
    found = client.get(f"/letters/{posted.json()['id']}").json()["body"]
    assert found["filename"] == "a.txt"
    assert (found["content_type"], found["size"]) == ("text/plain", 5)
    assert found["checksum"].startswith("sha256:")
    assert found["url"].startswith("/files/")
    assert not HIDDEN & found.keys()


def test_a_variant_is_shown_with_its_own_url(engine: Engine, urls: FileServer) -> None:
    file = saved(engine, b"x", "a.png")
    file = File.decode({**file, "variants": {"small": {**file, "width": 3}}})
    shown = TypeAdapter(File).dump_python(file, mode="json")
    assert shown["variants"]["small"]["width"] == 3
    assert shown["variants"]["small"]["url"].startswith("/files/")
    assert not HIDDEN & shown["variants"]["small"].keys()


def test_a_response_shows_what_is_known_of_an_image(engine: Engine, urls: FileServer) -> None:
    file = File(encoded(quadrants(300, 200)), filename="a.png", storage="main")
    file.apply_validators([ImageValidator()])
    file.save_to_storage()
    file.apply_processors([ThumbnailGenerator((16, 16)), Variants(small=(8, 8), placeholder=True)])
    shown = json.loads(TypeAdapter(File).dump_json(file))
    assert set(shown) == SHOWN
    of_an_image = {"content_type", "size", "width", "height", "url"}
    assert set(shown["thumbnail"]) == set(shown["variants"]["small"]) == of_an_image


def test_without_a_resolver_a_private_file_has_no_url(engine: Engine) -> None:
    shown = TypeAdapter(File).dump_python(saved(engine, b"x", "a.txt"))
    assert "url" not in shown


def test_the_url_that_an_older_release_wrote_is_not_shown(engine: Engine) -> None:
    file = saved(engine, b"x", "a.txt")
    thumbnail = {**file, "url": f"/srv/uploads/{file.path}"}
    old = File.decode({**file, "url": f"/srv/uploads/{file.path}", "thumbnail": thumbnail})
    assert "/srv" not in str(public_record(old))
    elsewhere = File.decode({**old, "upload_storage": "gone", "path": f"gone/{file.file_id}"})
    assert "url" not in public_record(elsewhere)


def test_the_openapi_document_describes_files_both_ways(engine: Engine) -> None:
    described = TestClient(app(engine)).get("/openapi.json")
    assert described.status_code == 200
    schemas = described.json()["components"]["schemas"]
    sent = json.dumps(schemas["LetterIn"])
    assert '"binary"' in sent
    shown = json.dumps(schemas["LetterOut"])
    assert '"checksum"' in shown
    assert not any(f'"{name}"' in shown for name in ("path", "upload_storage", "file_id"))
    (described,) = (each for each in schemas["LetterOut"]["properties"]["body"]["anyOf"]
                    if each["type"] == "object")  # fmt: skip
    assert set(described["properties"]) == SHOWN


@pytest.mark.parametrize(
    "body", [{"path": "main/x", "saved": True}, {"filename": "x"}, "main/x", ["x"], 5]
)
def test_json_never_names_a_file(engine: Engine, body: Any) -> None:
    client = TestClient(app(engine))
    assert client.put("/letters", json={"body": body}).status_code == 422
    assert client.put("/letters", json={"body": None}).status_code == 200
    with pytest.raises(ValidationError):
        LetterIn.model_validate({"body": body})
    with pytest.raises(ValidationError):
        LetterIn.model_validate_json(json.dumps({"body": body}))


class Form(SQLModel):
    body: File | None = None
    pages: list[File] = []


def test_an_upload_becomes_the_file_of_a_model() -> None:
    upload = UploadFile(io.BytesIO(b"hello"), filename="a.txt")
    for model in (
        LetterIn(body=upload),
        Form(pages=[upload]),
        Note.model_validate({"body": upload}),
    ):
        (file,) = model.pages if isinstance(model, Form) else [model.body]
        assert isinstance(file, File)
        assert (file.filename, file.size) == ("a.txt", 5)
    with pytest.raises(ValidationError, match="instance of File"):
        LetterIn(body=UploadFile(io.BytesIO(), filename=""))


def test_a_form_of_fastapi_is_a_model_with_files(engine: Engine) -> None:
    app = FastAPI()

    @app.post("/")
    def take(form: Annotated[Form, fastapi.Form(media_type="multipart/form-data")]) -> Form:
        return form

    client = TestClient(app)
    several = [
        ("body", ("a.txt", b"hello")),
        ("pages", ("1.txt", b"1")),
        ("pages", ("2.txt", b"2")),
    ]
    sent = client.post("/", files=several).json()
    assert sent["body"]["filename"] == "a.txt"
    assert [page["filename"] for page in sent["pages"]] == ["1.txt", "2.txt"]
    empty = encode_multipart_formdata([("body", ("", b"")), ("pages", ("", b""))])
    headers = {"Content-Type": empty[1]}
    assert client.post("/", content=empty[0], headers=headers).json() == {"body": None, "pages": []}
    for text in ({"body": "main/x"}, {"pages": '{"path": "main/x"}'}):
        assert client.post("/", data=text, files=several[1:2]).status_code == 422


def test_a_sqlmodel_and_msgspec_take_files(engine: Engine) -> None:
    file = saved(engine, b"x", "a.txt")
    assert Note(body=file).model_dump()["body"]["filename"] == "a.txt"
    assert "path" not in Note(body=file).model_dump_json()
    with pytest.raises(ValidationError):
        Note.model_validate({"body": {"path": "main/x"}})
    shown = msgspec.json.decode(msgspec.json.encode(PublicFile.of(file)))
    assert shown == public_record(file)


def test_graphql_shows_a_file_with_the_urls_of_its_variants(
    engine: Engine, urls: FileServer
) -> None:
    file = saved(engine, b"x", "a.png")
    file = File.decode({**file, "size": 5 * 2**30, "thumbnail": {**file, "width": 3}})

    @strawberry.type
    class Query:
        @strawberry.field
        def cover(self) -> FileType | None:
            return FileType.of(file)

        @strawberry.field
        def nothing(self) -> FileType | None:
            return FileType.of(None)

    asked = """{
        nothing { url }
        cover { filename contentType size checksum url
                small: url(variant: "thumbnail") none: url(variant: "x") variants { name width } }
    }"""
    found = strawberry.Schema(Query).execute_sync(asked)
    assert found.errors is None
    assert found.data is not None
    assert found.data["nothing"] is None
    cover = found.data["cover"]
    assert (cover["filename"], cover["size"]) == ("a.png", 5 * 2**30)
    assert cover["url"].startswith("/files/")
    assert cover["small"].startswith("/files/")
    assert cover["none"] is None
    assert cover["variants"] == [{"name": "thumbnail", "width": 3}]


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({}, {}),
        ({"filename": "a.txt", "size": "5", "width": True}, {"filename": "a.txt"}),
        ({"size": 2**63, "height": -1, "content_type": None}, {}),
        ({"size": 2**40, "checksum": ["x"]}, {"size": 2**40}),
    ],
)
def test_a_record_that_another_program_wrote_is_shown_as_far_as_it_goes(
    engine: Engine, record: dict[str, Any], shown: dict[str, Any]
) -> None:
    path = saved(engine, b"x", "a.txt").path
    file = File.decode({**record, "path": path, "saved": True, "thumbnail": {"path": 5}})
    assert public_record(file) == {**shown, "thumbnail": {}}
    assert PublicFile.of(file).filename == shown.get("filename")
    assert TypeAdapter(File).dump_python(file, mode="json") == public_record(file)

    @strawberry.type
    class Query:
        @strawberry.field
        def cover(self) -> FileType | None:
            return FileType.of(file)

    asked = "{ cover { filename contentType size checksum } }"
    found = strawberry.Schema(Query).execute_sync(asked)
    assert found.errors is None
    assert found.data is not None
    assert found.data["cover"]["size"] == shown.get("size")


def test_a_file_in_a_storage_that_was_removed_has_no_url(
    engine: Engine, urls: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(engine, b"x", "a.png")
    gone = {"path": "gone/key", "upload_storage": "gone", "saved": True, "filename": "b.png"}
    odd = File.decode({**file, "variants": {"small": gone}})
    assert "url" not in public_record(File.decode(gone))
    assert public_record(odd)["url"].startswith("/files/")
    assert "url" not in public_record(odd)["variants"]["small"]
    assert FileType.of(File.decode(gone)) is not None
    assert "gone storage has not been added" in caplog.text
    assert {record.name for record in caplog.records} == {"sqlalchemy_file"}


def test_no_file_has_no_record() -> None:
    assert public_record(None) is None
    assert PublicFile.of(None) is None
    assert FileType.of(None) is None


@pytest.mark.parametrize("show", [public_record, PublicFile.of, FileType.of])
def test_several_files_are_not_one_record(show: Callable[[Any], Any], engine: Engine) -> None:
    with pytest.raises(TypeError, match="expected one File or None, got list"):
        show([saved(engine, b"x", "a.txt")])


def test_a_server_is_not_a_resolver() -> None:
    server: Any = FileServer(secret=SECRET)
    with pytest.raises(TypeError, match=r"such as server\.url_for, or None; got FileServer"):
        set_url_resolver(server)


def test_a_resolver_that_cannot_sign_is_an_error(engine: Engine) -> None:
    set_url_resolver(FileServer().url_for)
    try:
        with pytest.raises(ValueError, match="no secret"):
            public_record(saved(engine, b"x", "a.txt"))
    finally:
        set_url_resolver(None)


def test_a_file_in_a_model_is_the_file_itself(engine: Engine) -> None:
    file = saved(engine, b"hello", "a.txt")
    assert LetterIn(body=file).body is file
    assert StorageManager.names() == ["main"]
