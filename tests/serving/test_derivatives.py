"""One thumbnail or variant of a file, as an object with facts, and how it is served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Mapped, Session, mapped_column
from werkzeug.test import Client

from sqlalchemy_file import File, ImageField
from sqlalchemy_file.integrations.flask import send_file
from sqlalchemy_file.processors import Variants
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.values.schemas import public_record, set_url_resolver
from tests.pictures import encoded, opened, quadrants

from .models import SECRET, Base


class Portrait(Base):
    __tablename__ = "served_portrait"
    id: Mapped[int] = mapped_column(primary_key=True)
    image: Mapped[File | None] = mapped_column(
        ImageField(
            upload_storage="main",
            thumbnail_size=(16, 16),
            processors=[Variants(small=(20, 20), large=(40, 40))],
        )
    )


@pytest.fixture
def photo(engine: Engine) -> Iterator[File]:
    with Session(engine) as session:
        photo = Portrait(image=File(encoded(quadrants()), filename="pié.jpg.png"))
        session.add(photo)
        session.commit()
        assert photo.image is not None
        yield photo.image


def get(server: FileServer, url: str, **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(server.wsgi, use_cookies=False).get(url.removeprefix(server.url), headers=given)


def test_a_variant_tells_what_it_is(photo: File) -> None:
    small = photo.variant("small")
    content = small.file.read()
    assert opened(content).size == (small.width, small.height) == (20, 15)
    assert (small.size, small.content_type) == (len(content), "image/webp")
    assert small.filename == small.file.filename == "pié.jpg.small.webp"
    assert small.url is None
    assert small.path == photo.variants["small"]["path"]
    thumbnail = photo.variant("thumbnail")
    assert (thumbnail.width, thumbnail.content_type) == (16, "image/png")
    assert thumbnail.size == len(thumbnail.file.read())


def test_an_unknown_variant_is_refused_with_the_names_there_are(photo: File) -> None:
    with pytest.raises(KeyError, match="it has 'large', 'small', 'thumbnail'"):
        photo.variant("medium")
    with pytest.raises(KeyError, match="it has none"):
        File(b"x", filename="a").variant("small")
    assert File(b"x", variant="mine")["variant"] == "mine"


@pytest.mark.parametrize("name", ["small", "thumbnail"])
def test_a_variant_is_served_wherever_a_file_is(photo: File, name: str) -> None:
    server = FileServer(secret=SECRET)
    image = photo.variant(name)
    assert server.url_for(image) == server.url_for(photo, variant=name)
    found = get(server, server.url_for(image))
    assert found.data == image.file.read()
    assert found.headers["ETag"] == image.etag
    assert found.headers["Content-Type"] == image.content_type
    assert "pie.jpg." in found.headers["Content-Disposition"]
    with flask.Flask(__name__).test_request_context("/"):
        assert send_file(image).headers["ETag"] == image.etag
    with pytest.raises(ValueError, match="give the File"):
        server.url_for(image, variant="large")


def test_records_of_older_releases_are_served_without_type_and_size(photo: File) -> None:
    server = FileServer(secret=SECRET)
    for name in ("small", "thumbnail"):
        part = dict(photo.variant(name).record)
        old = {key: part[key] for key in part.keys() - {"content_type", "size"}}
        file = File.decode({**photo, "thumbnail": old, "variants": {"small": old}})
        image = file.variant(name)
        assert image.size is None
        found = get(server, server.url_for(image))
        assert (found.status_code, found.data) == (200, image.file.read())
        assert found.content_length == part["size"]
    assert get(server, server.url_for(image)).headers["Content-Type"] == "image/png"


def test_a_srcset_names_each_width_once(photo: File) -> None:
    server = FileServer(secret=SECRET)
    small, large = photo.variant("small"), photo.variant("large")
    both = f"{server.url_for(small)} 20w, {server.url_for(large)} 40w"
    assert server.srcset(photo) == both
    assert server.srcset([large, small, large]) == both
    assert server.srcset([small]) == f"{server.url_for(small)} 20w"
    assert server.srcset(File.decode({**photo, "variants": None})) == ""
    with pytest.raises(TypeError, match="a File or some of its variants, got NoneType"):
        server.srcset(None)  # type: ignore[arg-type]
    without_width = {**photo.variants, "large": {**photo.variants["large"], "width": None}}
    found = server.srcset(File.decode({**photo, "variants": without_width}))
    assert found == f"{server.url_for(small)} 20w"


def test_a_public_record_tells_type_and_size_of_variants(photo: File) -> None:
    shown = public_record(photo)
    for name, part in [("small", shown["variants"]["small"]), ("thumbnail", shown["thumbnail"])]:
        image = photo.variant(name)
        assert (part["content_type"], part["size"]) == (image.content_type, image.size)


@pytest.mark.parametrize(
    "odd", [5, "small", [["small"]], {"small": 5}, {"small": {}}, {"small": {"path": ""}}, None]
)
def test_variants_of_a_record_that_another_program_wrote_are_left_out(
    photo: File, odd: Any
) -> None:
    server = FileServer(secret=SECRET)
    file = File.decode({**photo, "variants": odd, "thumbnail": odd})
    assert server.srcset(file) == ""
    with pytest.raises(KeyError, match="no variant 'small'"):
        file.variant("small")
    set_url_resolver(server.url_for)
    try:
        shown = public_record(file)
        assert shown["url"]
        assert "url" not in str(shown.get("variants", ""))
        assert public_record(File.decode({"saved": True, "path": 5})) == {}
    finally:
        set_url_resolver(None)
