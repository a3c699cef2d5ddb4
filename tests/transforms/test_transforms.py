"""What a field does to the content before it is stored."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageFile, PngImagePlugin
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_file import File, FileField, ImageField, StorageManager
from sqlalchemy_file.exceptions import InvalidImageError, SizeValidationError, ValidationError
from sqlalchemy_file.processors import ThumbnailGenerator, Variants
from sqlalchemy_file.transforms import Convert, Fit, StripMetadata, Transform
from sqlalchemy_file.validators import SizeValidator
from tests.pictures import animation, corners, encoded, noise, opened, quadrants, turned

named = pytest.mark.parametrize
Keep = Callable[..., File]


@pytest.fixture
def keep() -> Any:
    """Return a function that stores content by a field, in a transaction, and returns its file."""
    engines = []
    StorageManager.add_storage("main", "memory://")

    def run(
        field: FileField, content: bytes, name: str = "photo.jpg", *, fails: Any = None
    ) -> File:
        class Base(DeclarativeBase):
            pass

        class Row(Base):
            __tablename__ = "row"
            id: Mapped[int] = mapped_column(primary_key=True)
            file: Mapped[File] = mapped_column(field)

        engine = create_engine("sqlite://")
        engines.append(engine)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            row = Row(file=File(content, name))
            session.add(row)
            try:
                session.commit()
            except BaseException:
                session.rollback()
                if fails is not None:
                    fails(session, row)
                raise
            return row.file

    yield run
    for engine in engines:
        engine.dispose()


def stored(file: File) -> bytes:
    return StorageManager.get_file(file["path"]).read()


def photo(orientation: int = 1, size: tuple[int, int] = (800, 600)) -> bytes:
    picture = quadrants(*size)
    notes = turned(picture, orientation)
    notes[0x010F] = "a camera"
    notes.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    notes.get_ifd(0x8825)[1] = "N"
    return encoded(picture, "JPEG", exif=notes, xmp=b"<x:xmpmeta>someone</x:xmpmeta>", quality=90)


def text_notes() -> PngImagePlugin.PngInfo:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "someone")
    return notes


def test_the_original_is_changed_before_it_is_stored(keep):
    file = keep(ImageField(transforms=[Fit(200, 200)]), photo())
    assert opened(stored(file)).size == (200, 150)
    assert (file["width"], file["height"], file["orientation"]) == (200, 150, 1)
    assert file["size"] == len(stored(file))
    assert file["files"] == [file["path"]]
    assert len(list(StorageManager.storage("main").list())) == 1


def test_a_transform_may_be_called_by_itself():
    file = File(photo(), "photo.jpg")
    Fit(200, 200).transform(file, "image")
    assert opened(file.original_content.read()).size == (200, 150)


def test_a_picture_that_fits_stays_as_it_is_byte_by_byte(keep):
    content = photo(6)
    file = keep(ImageField(transforms=[Fit(800, 800)]), content)
    assert stored(file) == content
    assert (file["width"], file["height"], file["orientation"]) == (600, 800, 6)


def test_a_fitted_picture_notes_its_new_size(keep):
    notes = turned(noise(400, 300), 1)
    notes.get_ifd(0x8769).update({0xA002: 400, 0xA003: 300, 0x9286: b"a comment"})
    content = encoded(noise(400, 300), "JPEG", exif=notes)
    picture = opened(stored(keep(ImageField(transforms=[Fit(200, 200)]), content)))
    details = picture.getexif().get_ifd(0x8769)
    assert (details[0xA002], details[0xA003], details[0x9286]) == (200, 150, b"a comment")


@named(
    ("source", "options", "kinds"),
    [
        ("PNG", {"pnginfo": text_notes()}, ["text"]),
        ("GIF", {"comment": b"someone"}, ["comment"]),
    ],
)
def test_notes_are_named_that_are_removed_with_the_encoding(keep, source, options, kinds):
    field = ImageField(transforms=[Convert("WEBP"), StripMetadata()])
    file = keep(field, encoded(noise(), source, **options))
    assert file["removed_metadata"] == kinds


@named("orientation", range(1, 9))
def test_a_fitted_picture_stands_upright_and_keeps_its_notes(keep, orientation):
    content = photo(orientation, (400, 300))
    picture = opened(stored(keep(ImageField(transforms=[Fit(200, 200)]), content)))
    notes = picture.getexif()
    assert notes[0x010F] == "a camera"
    assert 0x0112 not in notes
    assert picture.size == ((150, 200) if orientation > 4 else (200, 150))


@named("orientation", [1, 3, 6])
@named("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@named("transform", [Convert("BMP"), StripMetadata(), Fit(60, 60)])
def test_pictures_of_every_format_are_turned_once(keep, orientation, source, transform):
    from tests.processors.test_thumbnail import STORED

    picture = STORED[orientation](quadrants(80, 60))
    content = encoded(picture, source, exif=turned(picture, orientation))
    field = FileField(transforms=[transform], processors=[ThumbnailGenerator((40, 40))])
    file = keep(field, content)
    assert (file["width"] > file["height"], file["orientation"]) == (True, 1)
    for path in (file["path"], file["thumbnail"]["path"]):
        made = opened(StorageManager.get_file(path).read())
        assert corners(made) == ["red", "lime", "blue", "yellow"]
        assert not made.getexif().get(0x0112)


@named(
    ("target", "suffix", "content_type"),
    [("AVIF", "avif", "image/avif"), ("webp", "webp", "image/webp"), ("PNG", "png", "image/png")],
)
def test_a_picture_is_converted_and_gets_the_suffix_of_its_format(
    keep, target, suffix, content_type
):
    file = keep(ImageField(transforms=[Convert(target)]), photo(6))
    assert file["filename"] == f"photo.{suffix}"
    assert file["content_type"] == content_type
    assert file["declared_content_type"] is None
    assert StorageManager.get_file(file["path"]).content_type == content_type
    picture = opened(stored(file))
    assert (picture.format, picture.size) == (target.upper(), (600, 800))


def test_heic_from_a_phone_becomes_what_browsers_show(keep):
    import pillow_heif

    from sqlalchemy_file.validators import ImageValidator

    output = io.BytesIO()
    pillow_heif.from_pillow(quadrants()).save(output, format="HEIF")
    field = FileField(
        validators=[ImageValidator(allowed_content_types=["image/*", "image/heic"])],
        transforms=[Convert("JPEG")],
    )
    file = keep(field, output.getvalue(), "IMG_0001.HEIC")
    assert (file["filename"], file["content_type"]) == ("IMG_0001.jpg", "image/jpeg")
    assert corners(opened(stored(file))) == ["red", "lime", "blue", "yellow"]


def test_a_picture_of_the_format_stays_as_it_is(keep):
    content = photo()
    file = keep(ImageField(transforms=[Convert("JPEG")]), content, "photo.jpeg")
    assert stored(file) == content
    assert file["filename"] == "photo.jpeg"


def test_the_quality_may_be_chosen(keep):
    content = encoded(noise(200, 200))
    sizes = [
        keep(ImageField(transforms=[Convert("WEBP", quality=q)]), content)["size"] for q in (10, 95)
    ]
    assert sizes[0] * 3 < sizes[1]


def test_transforms_of_pictures_go_together(keep):
    field = ImageField(transforms=[StripMetadata(), Fit(100, 100), Fit(300, 50), Convert("WEBP")])
    file = keep(field, photo(3))
    picture = opened(stored(file))
    assert (picture.format, picture.size) == ("WEBP", (67, 50))
    assert file["removed_metadata"] == ["exif", "gps", "xmp"]
    assert b"a camera" not in stored(file)
    assert not picture.getexif()


@named("format_name", ["JPEG", "PNG", "WEBP"])
def test_stripping_alone_decodes_only_what_the_validator_decodes(keep, monkeypatch, format_name):
    loads = []
    real = ImageFile.ImageFile.load

    def counting(image: Any) -> Any:
        loads.extend([image.size] if image.tile else [])
        return real(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting)
    file = keep(ImageField(transforms=[StripMetadata()]), encoded(noise(), format_name))
    assert len(loads) == 1
    assert file["removed_metadata"] == []


def test_a_picture_is_decoded_once_for_validator_transforms_and_copies(keep, monkeypatch):
    sizes = []
    real = ImageFile.ImageFile.load

    def counting(image: Any) -> Any:
        if image.tile:
            sizes.append(image.size)
        return real(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counting)
    field = ImageField(
        transforms=[Fit(200, 200), Convert("WEBP")],
        thumbnail_size=(20, 20),
        processors=[Variants(small=(100, 100))],
    )
    file = keep(field, encoded(noise(400, 300)))
    assert sizes == [(400, 300)]
    assert (file["thumbnail"]["width"], file["variants"]["small"]["width"]) == (20, 100)
    monkeypatch.undo()
    assert opened(StorageManager.get_file(file["thumbnail"]["path"]).read()).size == (20, 15)


@named("content", [encoded(noise(300, 300), "JPEG")[:-3000], encoded(noise(300, 300))[:-3000]])
@named("transform", [Fit(50, 50), Fit(900, 900), Convert("AVIF"), StripMetadata()])
@named("thumbnail_size", [None, (9, 9)])
def test_a_broken_picture_is_refused_for_its_attribute(keep, content, transform, thumbnail_size):
    field = ImageField(transforms=[transform], thumbnail_size=thumbnail_size)
    with pytest.raises(InvalidImageError) as caught:
        keep(field, content)
    assert caught.value.key == "file"
    assert list(StorageManager.storage("main").list()) == []


def test_validators_judge_what_was_sent(keep):
    field = FileField(validators=[SizeValidator(100)], transforms=[lambda content: b"short"])
    with pytest.raises(SizeValidationError):
        keep(field, b"x" * 200)
    assert stored(keep(field, b"x" * 50)) == b"short"


def test_any_function_of_content_to_content_is_a_transform(keep):
    field = FileField(
        transforms=[lambda content: gzip.compress(content.read()), lambda content: None]
    )
    file = keep(field, b"hello", "a.txt")
    assert gzip.decompress(stored(file)) == b"hello"
    assert file["content_type"] == "application/gzip"
    assert file["size"] == len(stored(file))


def test_a_transform_of_ones_own_sees_the_file_and_may_refuse_it(keep):
    class Upper(Transform):
        def transform(self, file: File, attr_key: str) -> Any:
            if file["size"] == 0:
                raise ValidationError(attr_key, "There is nothing in it.")
            file["was"] = file["filename"]
            return file.original_content.read().upper()

    field = FileField(transforms=[Upper(), lambda content: content.read() + b"!"])
    file = keep(field, b"hello", "a.txt")
    assert (stored(file), file["was"]) == (b"HELLO!", "a.txt")
    with pytest.raises(ValidationError, match="There is nothing in it"):
        keep(field, b"", "a.txt")


def test_what_is_added_again_after_a_rollback_is_changed_from_the_start(keep):
    attempts = []

    def once(content: Any) -> bytes:
        attempts.append(content.read())
        if len(attempts) == 1:
            raise OSError("no room")
        return attempts[-1] + b"!"

    def again(session: Session, row: Any) -> None:
        session.add(row)
        session.commit()
        assert stored(row.file) == b"abc+!"

    field = FileField(transforms=[lambda content: content.read() + b"+", once])
    with pytest.raises(OSError, match="no room"):
        keep(field, b"abc", fails=again)
    assert attempts == [b"abc+", b"abc+"]


def test_other_files_than_pictures_stay_as_they_are(keep):
    field = FileField(transforms=[StripMetadata(), Fit(9, 9), Convert("WEBP")])
    file = keep(field, b"%PDF-1.7\n", "a.pdf")
    assert stored(file) == b"%PDF-1.7\n"
    assert "removed_metadata" not in file


def test_a_drawing_that_cannot_be_stripped_is_refused(keep):
    with pytest.raises(InvalidImageError):
        keep(FileField(transforms=[StripMetadata()]), b"<svg/>", "a.svg")


@named("target", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_keeps_its_frames(keep, target):
    file = keep(ImageField(transforms=[Fit(32, 32), Convert(target)]), animation("GIF", 4))
    picture = opened(stored(file))
    assert (picture.n_frames, picture.size) == (4, (32, 24))


def test_a_document_of_several_pages_is_refused_rather_than_cut(keep):
    pages = [noise(), noise(), noise()]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(InvalidImageError, match="has 3 pages"):
        keep(FileField(transforms=[Fit(20, 20)]), content, "scan.tif")
    assert opened(stored(keep(FileField(transforms=[Fit(99, 99)]), content))).n_frames == 3


def test_colours_keep_their_profile_where_the_format_has_one(keep):
    from tests.processors.test_thumbnail import swapped_profile

    profile = swapped_profile()  # it has a date
    content = encoded(Image.new("RGB", (80, 60), "red"), "PNG", icc_profile=profile)
    file = keep(ImageField(transforms=[Fit(40, 40)], thumbnail_size=(20, 20)), content)
    picture = opened(stored(file))
    assert picture.getpixel((5, 5)) == (255, 0, 0)
    assert picture.info["icc_profile"] == profile
    thumbnail = opened(StorageManager.get_file(file["thumbnail"]["path"]).read())
    assert thumbnail.getpixel((5, 5)) == pytest.approx((0, 255, 0), abs=2)


def test_a_profile_that_cannot_be_read_is_left_out(keep):
    content = encoded(quadrants(), "JPEG", icc_profile=b"no profile" * 20)
    picture = opened(stored(keep(ImageField(transforms=[Fit(40, 40)]), content)))
    assert "icc_profile" not in picture.info
    assert corners(picture) == ["red", "lime", "blue", "yellow"]


def test_colours_for_print_are_converted(keep):
    content = encoded(Image.new("CMYK", (80, 60), (0, 255, 255, 0)), "JPEG")
    picture = opened(stored(keep(ImageField(transforms=[Fit(40, 40)]), content)))
    assert picture.mode == "RGB"
    assert picture.getpixel((5, 5)) == pytest.approx((255, 0, 0), abs=12)


def test_an_asynchronous_function_is_refused_when_the_field_is_declared():
    async def later(content: Any) -> bytes:
        return b""

    for wrong in (later, Fit, 5):
        with pytest.raises(TypeError, match="a transform has a method transform"):
            FileField(transforms=[wrong])


@named(
    "make",
    [lambda: Fit(0, 5), lambda: Fit(5.5, 5), lambda: Convert("FITS"), lambda: Convert("WEBP", 0)],
)
def test_settings_that_cannot_be_are_refused_when_the_transform_is_made(make):
    with pytest.raises(ValueError, match=r"fits into pixels|cannot write|quality is"):
        make()
