"""A picture that gets scaled copies is decoded by what makes them, once for all of them."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageFile
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.exceptions import InvalidImageError
from sqlalchemy_file.imaging import decoding
from sqlalchemy_file.processors import Processor, ThumbnailGenerator, Variant, Variants
from sqlalchemy_file.storage.memory import MemoryStorage
from sqlalchemy_file.tracking.uploading import steps
from sqlalchemy_file.validators import ImageValidator
from tests.pictures import animation, encoded, noise, opened

STILL = ["JPEG", "PNG", "GIF", "WEBP", "AVIF"]


class Keeper(Processor):
    """A processor of a program's own, which knows nothing of scaled copies."""

    def process(self, file: File, upload_storage: str | None = None) -> None:
        file.store_content(b"kept", upload_storage)


class Base(DeclarativeBase):
    pass


class Picture(Base):
    __tablename__ = "decoded_once"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[File | None] = mapped_column(ImageField())
    small: Mapped[File | None] = mapped_column(ImageField(thumbnail_size=(16, 16)))
    varied: Mapped[File | None] = mapped_column(
        FileField(validators=[ImageValidator()], processors=[Variants(small=(16, 16))])
    )
    both: Mapped[File | None] = mapped_column(
        ImageField(thumbnail_size=(16, 16), processors=[Variants(large=(60, 60)), Keeper()])
    )
    strict: Mapped[File | None] = mapped_column(
        FileField(
            processors=[
                Variants(small=(16, 16), large=Variant((60, 60), "JPEG")),
                Variants(tiny=(8, 8)),
                ThumbnailGenerator((16, 16), max_pixels=64 * 48),
            ]
        )
    )


@pytest.fixture
def session() -> Any:
    StorageManager.add_storage("main", MemoryStorage())
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def read_through(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the formats of the pictures that validators decode from now on."""
    formats: list[str] = []
    real = decoding.read_through

    def counting(image: Any, max_pixels: int) -> None:
        formats.append(image.format)
        real(image, max_pixels)

    monkeypatch.setattr(decoding, "read_through", counting)
    return formats


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the sizes to which pictures are decoded from now on."""
    sizes: list[tuple[int, int]] = []
    real = ImageFile.ImageFile.load

    def counting(image: Any) -> Any:
        if image.tile:
            sizes.append(image.size)
        return real(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting)
    return sizes


@pytest.mark.parametrize("column", ["small", "varied"])
def test_validators_leave_a_picture_to_the_processors(
    session: Session, read_through: list[str], column: str
) -> None:
    session.add(Picture(**{column: File(encoded(noise(), "JPEG"))}))
    session.add(Picture(**{column: File(encoded(noise(), "PNG"))}))
    session.commit()
    assert read_through == []
    session.add(Picture(plain=File(encoded(noise(), "JPEG"))))
    session.commit()
    assert read_through == ["JPEG"]


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG"])
def test_the_frames_of_an_animation_are_judged_by_the_validator(
    session: Session, read_through: list[str], format_name: str
) -> None:
    session.add(Picture(both=File(animation(format_name, 3))))
    session.commit()
    assert read_through == [format_name]


@pytest.mark.parametrize("format_name", ["TGA", "SGI", "DDS", "PPM", "QOI", "PCX"])
def test_copies_are_made_of_every_format_that_the_validator_accepts(
    session: Session, decoded: list[tuple[int, int]], format_name: str
) -> None:
    class OwnBase(DeclarativeBase):
        pass

    class Photo(OwnBase):
        __tablename__ = "photo"
        id: Mapped[int] = mapped_column(primary_key=True)
        image: Mapped[File] = mapped_column(
            ImageField(
                image_validator=ImageValidator(formats=[format_name]), thumbnail_size=(16, 16)
            )
        )

    OwnBase.metadata.create_all(session.get_bind())
    photo = Photo(image=File(encoded(noise(), format_name), f"a.{format_name.lower()}"))
    session.add(photo)
    session.commit()
    assert photo.image["thumbnail"]["width"] == 16
    assert decoded == [(64, 48)]


@pytest.mark.parametrize("format_name", STILL)
def test_an_image_field_decodes_once_for_its_thumbnail_and_variants(
    session: Session, decoded: list[tuple[int, int]], format_name: str
) -> None:
    content = encoded(noise(), format_name)
    picture = Picture(both=File(content))
    session.add(picture)
    session.commit()
    assert decoded == [(64, 48)]
    file = picture.both
    assert file is not None
    assert (file["thumbnail"]["width"], file["variants"]["large"]["width"]) == (16, 60)
    assert len(file["files"]) == 4


def test_any_number_of_processors_share_one_decoding(
    session: Session, decoded: list[tuple[int, int]]
) -> None:
    session.add(Picture(strict=File(encoded(noise()))))
    session.commit()
    assert decoded == [(64, 48)]
    file = session.query(Picture).one().strict
    assert file is not None
    assert {name: copy["width"] for name, copy in file["variants"].items()} == {
        "small": 16,
        "large": 60,
        "tiny": 8,
    }
    pictures = [opened(StorageManager.get_file(path).read()) for path in file["files"][1:]]
    assert [(each.format, each.width) for each in pictures] == [
        ("WEBP", 16),
        ("JPEG", 60),
        ("WEBP", 8),
        ("PNG", 16),
    ]


def test_each_processor_keeps_its_own_limit(session: Session) -> None:
    session.add(Picture(strict=File(encoded(noise(80, 60)))))
    with pytest.raises(InvalidImageError, match=r"80 x 60 pixels.*is 3072 pixels") as caught:
        session.commit()
    assert caught.value.key == "thumbnail"
    session.rollback()
    assert list(StorageManager.storage("main").list()) == []


def test_a_jpeg_is_decoded_at_the_size_that_the_largest_copy_needs(
    session: Session, decoded: list[tuple[int, int]]
) -> None:
    session.add(Picture(both=File(encoded(noise(1600, 1200), "JPEG"))))
    session.commit()
    assert decoded == [(200, 150)]  # an eighth, as small as the decoder can: 60 px are wanted


def test_nothing_decoded_outlives_the_processors(session: Session) -> None:
    picture = Picture(both=File(encoded(noise())))
    session.add(picture)
    session.flush()
    assert picture.both is not None
    assert picture.both._state.copies is None


def test_the_variants_of_two_files_of_one_flush_are_made_at_the_same_time(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "cpu_count", lambda: 2)
    together = threading.Barrier(2)

    class Meeting(Variants):
        def process(self, file: File, upload_storage: str | None = None) -> None:
            together.wait(10)
            super().process(file, upload_storage)

    class OwnBase(DeclarativeBase):
        pass

    class Photo(OwnBase):
        __tablename__ = "photo"
        id: Mapped[int] = mapped_column(primary_key=True)
        image: Mapped[File] = mapped_column(
            ImageField(upload_storage="local", processors=[Meeting(small=(16, 16))])
        )

    StorageManager.add_storage("local", tmp_path.as_uri())
    OwnBase.metadata.create_all(session.get_bind())
    session.add_all([Photo(image=File(encoded(noise()))) for _ in range(2)])
    session.commit()
    assert len(list(StorageManager.storage("local").list())) == 4


@pytest.mark.parametrize("column", ["plain", "small", "varied", "both"])
@pytest.mark.parametrize("format_name", STILL)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_broken_picture_is_wrong_for_its_attribute_and_leaves_nothing(
    session: Session, column: str, format_name: str, progressive: bool
) -> None:
    whole = encoded(noise(300, 300), format_name, progressive=progressive)
    session.add(Picture(**{column: File(whole[:-2000])}))
    with pytest.raises(InvalidImageError, match="Provide valid image file") as caught:
        session.commit()
    assert caught.value.key == column
    session.rollback()
    assert list(StorageManager.storage("main").list()) == []


def test_an_image_whose_format_is_text_is_read_by_lines() -> None:
    lines = ['"2 1 2 1"', '"a c #FF0000"', '"b c #0000FF"', '"ab"']
    text = "/* XPM */\nstatic char *image[] = {\n" + ",\n".join(lines) + "\n};\n"
    content = io.BytesIO(text.encode())
    with decoding.decoding(content, "image", formats=["XPM"], max_pixels=100) as image:
        assert image.convert("RGB").tobytes() == b"\xff\0\0\0\0\xff"
