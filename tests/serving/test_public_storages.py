"""Storages that are public: a base URL, below which a CDN or a web server has their objects."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Mapped, Session, mapped_column

from sqlalchemy_file import File, ImageField, StorageManager
from sqlalchemy_file.exceptions import InvalidStorageError
from sqlalchemy_file.serving import FileServer
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.values.schemas import public_record
from tests.pictures import encoded, quadrants

from .models import SECRET, Base

CDN = "https://cdn.example.com/media"


class Avatar(Base):
    __tablename__ = "served_avatar"
    id: Mapped[int] = mapped_column(primary_key=True)
    image: Mapped[File | None] = mapped_column(
        ImageField(upload_storage="avatars", thumbnail_size=(8, 8), key=lambda file: "für #1/")
    )


@pytest.fixture
def avatar() -> Any:
    StorageManager.add_storage("avatars", "memory://", base_url=f"{CDN}/")
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        avatar = Avatar(image=File(encoded(quadrants()), filename="a.png"))
        session.add(avatar)
        session.commit()
        image = avatar.image
    engine.dispose()
    return image


def test_new_records_have_the_public_url_with_the_key_escaped(avatar: File) -> None:
    folder, _, name = avatar.file_id.rpartition("/")
    assert folder == "für #1"
    assert avatar.url == f"{CDN}/f%C3%BCr%20%231/{name}"
    thumbnail = avatar.variant("thumbnail")
    assert thumbnail.url == thumbnail.record["url"]
    assert thumbnail.url.startswith(f"{CDN}/f%C3%BCr%20%231/")
    assert public_record(avatar)["url"] == avatar.url


def test_the_file_server_gives_the_public_url_without_a_secret(avatar: File) -> None:
    server = FileServer()
    assert server.url_for(avatar) == avatar.url
    thumbnail = avatar.variant("thumbnail")
    assert server.url_for(avatar, variant="thumbnail") == thumbnail.url
    old = File.decode({**avatar, "url": None})
    assert server.url_for(old) == avatar.url


def test_a_public_url_cannot_carry_a_name_but_a_signed_one_can(avatar: File) -> None:
    with pytest.raises(ValueError, match="a public URL carries no filename"):
        FileServer().url_for(avatar, disposition="attachment")
    assert FileServer(secret=SECRET).url_for(avatar, filename="b.png").startswith("/files/")


def test_a_public_record_with_a_key_that_cannot_be_has_no_url(avatar: File) -> None:
    path = f"{avatar.upload_storage}/\ud800"
    odd = File.decode({**avatar, "path": path, "files": [path], "thumbnail": None})
    assert "url" not in public_record(odd)


def test_a_storage_without_a_base_url_has_none(engine: Engine) -> None:
    assert StorageManager.public_url("main", "key") is None
    assert not StorageManager.is_public("main")
    with StorageManager.override("main", MemoryStorage(), base_url="/media"):
        assert StorageManager.public_url("main", "a b") == "/media/a%20b"
    assert StorageManager.public_url("main", "key") is None


@pytest.mark.parametrize(
    "base_url",
    ["", "cdn.example.com", "//cdn.example.com", "ftp://cdn.example.com", "https://", "media",
     "https://user:hunter2@cdn.example.com", "https://cdn.example.com/?hunter2",
     "https://cdn.example.com/#hunter2", "https://cdn.example.com/a b", "https://[hunter2/",
     "https://cdn.example.com/\r\nx", "https://cdn.example.com/é", "javascript:alert(1)"],
)  # fmt: skip
def test_what_is_no_base_url_is_refused_and_not_repeated(base_url: str) -> None:
    with pytest.raises(InvalidStorageError, match="https://host/path") as refusal:
        StorageManager.add_storage("avatars", "memory://", base_url=base_url)
    assert "hunter2" not in str(refusal.value)
    assert "avatars" in str(refusal.value)
    with pytest.raises(TypeError, match="base_url is a string"):
        StorageManager.add_storage("avatars", "memory://", base_url=5)  # type: ignore[arg-type]
