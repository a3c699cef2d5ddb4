from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import zlib

import pytest
from PIL import Image

from sqlalchemy_file import File
from sqlalchemy_file.exceptions import (
    AspectRatioValidationError,
    ContentTypeValidationError,
    DimensionValidationError,
    InvalidImageError,
    MissingExtraError,
    ValidationError,
)
from sqlalchemy_file.imaging import decoding
from sqlalchemy_file.validators import ContentTypeValidator, ImageValidator
from sqlalchemy_file.values.saving import prepare
from tests.pictures import animation, encoded, noise, png_of_size, turned, with_png_chunk
from tests.samples import SVG

named = pytest.mark.parametrize
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")


def validate(validator: ImageValidator, content: bytes, name: str | None = None) -> File:
    file = File(content, filename=name)
    validator.process(file, "picture")
    return file


@named("format_name", FORMATS)
def test_a_picture_is_accepted_and_measured(format_name):
    file = validate(ImageValidator(), encoded(noise(30, 20), format_name))
    assert (file["width"], file["height"]) == (30, 20)


@named("format_name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_an_animation_is_accepted(format_name):
    assert validate(ImageValidator(), animation(format_name, 5))["width"] == 64


def test_a_multi_picture_jpeg_from_a_camera_is_accepted():
    content = encoded(noise(), "MPO", save_all=True, append_images=[noise(20, 20)])
    assert validate(ImageValidator(), content)["width"] == 64


@named("orientation", range(1, 9))
@named("format_name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_size_is_the_one_that_is_seen(format_name, orientation):
    picture = noise(30, 20)
    content = encoded(picture, format_name, exif=turned(picture, orientation))
    file = validate(ImageValidator(formats=[format_name]), content)
    assert (file["width"], file["height"]) == ((20, 30) if orientation > 4 else (30, 20))
    assert file["orientation"] == (1 if format_name == "TIFF" else orientation)


@named("orientation", [0, 9, 300])
def test_an_orientation_that_there_is_not_counts_as_none(orientation):
    picture = noise(30, 20)
    file = validate(ImageValidator(), encoded(picture, "JPEG", exif=turned(picture, orientation)))
    assert (file["width"], file["orientation"]) == (30, 1)


def test_the_shape_is_judged_as_it_is_seen():
    picture = noise(30, 20)
    content = encoded(picture, "JPEG", exif=turned(picture, 8))
    assert validate(ImageValidator(max_wh=(20, 30), max_aspect_ratio=1), content)["height"] == 30
    with pytest.raises(AspectRatioValidationError, match="20 x 30"):
        validate(ImageValidator(min_aspect_ratio=1), content)


@named("format_name", ["PPM", "DDS", "SGI", "TGA", "BMP", "TIFF", "ICO", "PCX", "JPEG2000", "QOI"])
@named("claim", [None, "image/x-claimed"])
def test_a_format_that_is_named_is_accepted_under_every_type_it_has(format_name, claim):
    file = File(encoded(noise(), format_name), f"picture.{format_name.lower()}", claim)
    prepare(file)
    ImageValidator(formats=[format_name]).process(file, "picture")
    assert file["width"] in (64, 48)


@named(
    ("content_type", "format_name"),
    [
        ("image/x-portable-pixmap", "PPM"),
        ("image/vnd.ms-dds", "DDS"),
        ("image/x-dds", "DDS"),
        ("image/sgi", "SGI"),
        ("image/x-tga", "TGA"),
        ("image/targa", "TGA"),
        ("image/jp2", "JPEG2000"),
    ],
)
def test_a_content_type_that_is_named_is_decoded_under_all_its_names(content_type, format_name):
    validator = ImageValidator(allowed_content_types=[content_type])
    assert validate(validator, encoded(noise(), format_name), "picture.tga")["width"] == 64


def heic() -> bytes:
    import pillow_heif

    output = io.BytesIO()
    pillow_heif.from_pillow(noise()).save(output, format="HEIF")
    return output.getvalue()


@named(
    "setting",
    [
        {"formats": ["HEIF"]},
        {"formats": ["heic"]},
        {"formats": ["JPEG", "HEIF"]},
        {"allowed_content_types": ["image/heic"]},
        {"allowed_content_types": "image/heif"},
        {"allowed_content_types": ["image/*", "image/heic"]},
    ],
)
@named("claim", ["image/heic", "image/heif", None])
def test_heic_is_accepted_by_one_setting(setting, claim):
    file = File(heic(), "photo.heic", claim)
    prepare(file)
    if setting.get("allowed_content_types") == "image/heif":
        with pytest.raises(ContentTypeValidationError, match="image/heic is not allowed"):
            ImageValidator(**setting).process(file, "picture")
        return
    ImageValidator(**setting).process(file, "picture")
    assert (file["content_type"], file["width"]) == ("image/heic", 64)


def test_a_wildcard_and_a_type_beside_it_add_up():
    validator = ImageValidator(allowed_content_types=["image/*", "image/tiff"])
    assert validate(validator, encoded(noise(), "TIFF"))["width"] == 64
    assert validate(validator, encoded(noise(), "WEBP"))["width"] == 64


WITHOUT_HEIF = """
import sys
sys.modules["pillow_heif"] = None
from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.validators import ImageValidator
for setting in ({"formats": ["HEIF"]}, {"allowed_content_types": ["image/heic"]}):
    try:
        ImageValidator(**setting)
    except MissingExtraError as error:
        print(error)
"""


def test_without_pillow_heif_the_extra_to_install_is_named():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_HEIF], capture_output=True, text=True, check=True
    )
    advice = "ImageValidator for HEIC needs an extra: pip install 'sqlalchemy-file[heif]'"
    assert run.stdout.splitlines() == [advice] * 2


@named("limit", [["image/heic"], (5,), (1, 2, 3), ("5", 5), 100])
def test_limits_that_are_no_sizes_are_refused_with_advice(limit):
    with pytest.raises(TypeError, match="content types are given as allowed_content_types="):
        ImageValidator(limit)


def test_the_stream_stands_at_its_start_before_and_after():
    handle = io.BytesIO(encoded(noise()))
    handle.seek(40)
    ImageValidator().process(File(handle), "picture")
    assert handle.tell() == 0
    assert not handle.closed


@named(
    ("limits", "message"),
    [
        ({"min_wh": (100, 100)}, "Minimum allowed width is: 100, but 30 is given."),
        ({"min_wh": (10, 100)}, "Minimum allowed height is: 100, but 20 is given."),
        ({"max_wh": (10, 100)}, "Maximum allowed width is: 10, but 30 is given."),
        ({"max_wh": (100, 10)}, "Maximum allowed height is: 10, but 20 is given."),
    ],
)
def test_other_dimensions_are_refused_in_the_words_of_old(limits, message):
    with pytest.raises(DimensionValidationError) as caught:
        validate(ImageValidator(**limits), encoded(noise(30, 20)))
    assert (caught.value.key, caught.value.msg) == ("picture", message)
    assert caught.value.code.endswith(("_too_small", "_too_large"))


@named(
    ("limits", "message"),
    [
        ({"min_aspect_ratio": 2}, "at least 2."),
        ({"max_aspect_ratio": 1.1}, "at most 1.1."),
        ({"min_aspect_ratio": 0.5, "max_aspect_ratio": 1}, "between 0.5 and 1."),
    ],
)
def test_another_shape_is_refused_in_a_sentence(limits, message):
    with pytest.raises(AspectRatioValidationError) as caught:
        validate(ImageValidator(**limits), encoded(noise(30, 20)))
    shape = "Invalid aspect ratio 1.50 (30 x 20 pixels): the width divided by the height must be"
    assert caught.value.msg == f"{shape} {message}"
    assert (caught.value.code, caught.value.params["width"]) == ("aspect_ratio", 30)


@named(
    "limits",
    [
        {"min_wh": (30, 20), "max_wh": (30, 20)},
        {"min_wh": (None, 20), "max_wh": (None, None)},
        {"max_wh": (0, 0)},
        {"min_aspect_ratio": 1.5, "max_aspect_ratio": 1.5},
    ],
)
def test_a_picture_at_the_limits_is_accepted(limits):
    assert validate(ImageValidator(**limits), encoded(noise(30, 20)))["height"] == 20


def test_text_under_the_name_of_a_picture_is_no_valid_image():
    with pytest.raises(InvalidImageError) as caught:
        validate(ImageValidator(), b"not a picture", "a.png")
    assert (caught.value.key, caught.value.msg) == ("picture", "Provide valid image file")


def test_other_files_are_refused_by_their_type():
    with pytest.raises(ContentTypeValidationError) as caught:
        validate(ImageValidator(), b"text", "a.txt")
    assert caught.value.msg == (
        "File content_type text/plain is not allowed. Allowed content_types are: "
        "['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'image/avif']"
    )


@named("content", [SVG.encode(), b"%PDF-1.4\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<html>"])
def test_documents_that_are_drawn_by_programs_are_refused(content):
    with pytest.raises(ContentTypeValidationError):
        validate(ImageValidator(), content, "a.png")


@named("format_name", ["BMP", "TIFF", "ICO", "JPEG2000"])
def test_formats_that_were_not_named_are_refused(format_name):
    with pytest.raises(ContentTypeValidationError):
        validate(ImageValidator(), encoded(noise(), format_name))


def test_the_allowed_types_say_which_formats_are_decoded():
    validator = ImageValidator(allowed_content_types=["image/png", "image/tiff"])
    assert validate(validator, encoded(noise(), "TIFF"))["width"] == 64
    with pytest.raises(ContentTypeValidationError, match="image/jpeg is not allowed"):
        validate(validator, encoded(noise(), "JPEG"))


def test_formats_say_which_types_are_allowed():
    validator = ImageValidator(formats=["jpg"])
    assert validate(validator, encoded(noise(), "JPEG"))["width"] == 64
    with pytest.raises(
        ContentTypeValidationError, match=r"Allowed content_types are: \['image/jpeg'\]"
    ):
        validate(validator, encoded(noise()))


def test_a_wildcard_allows_the_usual_formats_only():
    validator = ImageValidator(allowed_content_types=["image/*"])
    assert validate(validator, encoded(noise(), "WEBP"))["width"] == 64
    with pytest.raises(InvalidImageError):
        validate(validator, encoded(noise(), "BMP"))


@named("arguments", [{"formats": ["DOC"]}, {"formats": []}, {"allowed_content_types": ["a/b"]}])
def test_formats_that_cannot_be_decoded_are_refused_when_the_validator_is_made(arguments):
    with pytest.raises(ValueError, match="Pillow has no decoder for"):
        ImageValidator(**arguments)


def test_an_image_validator_is_a_content_type_validator():
    assert issubclass(ImageValidator, ContentTypeValidator)


# --- damaged, hostile and enormous pictures


@named("part", [0.1, 0.5, 0.9, 0.99])
@named("format_name", FORMATS)
def test_a_truncated_picture_is_refused(format_name, part):
    content = encoded(noise(), format_name)
    with pytest.raises(ValidationError):
        validate(ImageValidator(), content[: int(len(content) * part)], "a.png")


@named("options", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
def test_a_truncated_jpeg_is_refused_however_it_was_encoded(options):
    content = encoded(noise(200, 200), "JPEG", **options)
    assert validate(ImageValidator(), content)["width"] == 200
    with pytest.raises(InvalidImageError):
        validate(ImageValidator(), content[:-100])


@named("format_name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_an_animation_that_breaks_off_in_a_later_frame_is_refused(format_name):
    frames = [noise() for _ in range(4)]
    content = encoded(frames[0], format_name, save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidImageError):
        validate(ImageValidator(), content[: int(len(content) * 0.8)])


@named("size", [(8001, 8000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_an_enormous_picture_is_refused_by_its_header(size):
    with pytest.raises(InvalidImageError, match=r"too large.*Allowed maximum is 64000000 pixels"):
        validate(ImageValidator(), png_of_size(*size))


def test_the_number_of_pixels_may_be_limited():
    content = encoded(noise(30, 20))
    assert validate(ImageValidator(max_pixels=600), content)["width"] == 30
    with pytest.raises(InvalidImageError) as caught:
        validate(ImageValidator(max_pixels=599), content)
    assert caught.value.msg == (
        "The image is too large (30 x 20 pixels). Allowed maximum is 599 pixels."
    )


@named("format_name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_frames_of_an_animation_count_together(format_name):
    content = animation(format_name, 6, (80, 80))
    assert validate(ImageValidator(max_pixels=80 * 80 * 2), content)["width"] == 80
    with pytest.raises(InvalidImageError, match=r"too long \(6 frames of 80 x 80 pixels\)"):
        validate(ImageValidator(max_pixels=80 * 80), content)


def test_a_small_file_of_large_frames_does_not_take_more_memory_than_a_still():
    """Some bytes that would decode to half a gigabyte."""
    size = struct.pack("<HH", 8000, 8000)
    frame = b"!\xf9\x04\0\0\0\0\0,\0\0\0\0" + size + b"\0\2\2D\1\0"
    content = b"GIF89a" + size + b"\x80\0\0" + bytes(6) + frame * 4 + b";"
    assert len(content) < 150
    with pytest.raises(InvalidImageError, match=r"too large \(4 frames of 8000 x 8000"):
        validate(ImageValidator(), content)


@named("format_name", ["GIF", "PNG", "WEBP", "AVIF"])
@named(
    ("frames", "most"),
    [(2, 2 * 48 * 64), (3, 3 * 48 * 64), (4, 4 * 48 * 64), (9, 4 * 48 * 64)],
)
def test_the_frames_that_are_in_memory_at_the_same_time_keep_within_the_budget(
    format_name, frames, most, monkeypatch
):
    content = animation(format_name, frames)
    for limit, is_refused in ((most, False), (most - 1, True)):
        monkeypatch.setattr(decoding, "MAX_PIXELS", limit)
        monkeypatch.setattr(decoding, "_LEAST_FRAME", 1)
        validator = ImageValidator(max_pixels=48 * 64 * 3 if frames == 9 else 48 * 64)
        if is_refused:
            with pytest.raises(InvalidImageError, match=r"too large \(\d frames of 64 x 48"):
                validate(validator, content)
        else:
            assert validate(validator, content)["width"] == 64


def test_frames_of_a_single_pixel_count_as_what_opening_them_costs():
    frame = b"!\xf9\x04\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    content = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + frame * 70_000 + b";"
    with pytest.raises(InvalidImageError, match="too long"):
        validate(ImageValidator(), content)


@named("size", [0, -1])
def test_a_limit_of_no_pixels_is_refused(size):
    with pytest.raises(ValueError, match="max_pixels is a positive number"):
        ImageValidator(max_pixels=size)


@named(
    ("name", "head"),
    [(b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")],
)
def test_text_that_unpacks_to_an_enormous_size_is_refused(name, head):
    bomb = head + zlib.compress(bytes(80_000_000), 9)
    with pytest.raises(InvalidImageError, match="Provide valid image file"):
        validate(ImageValidator(), with_png_chunk(encoded(noise()), name, bomb))


def test_a_script_in_the_guise_of_a_gif_is_refused():
    with pytest.raises(InvalidImageError):
        validate(ImageValidator(), b"GIF89a/*" + bytes(8) + b"*/=1;alert(1)//;")


@named(
    "remark",
    [
        pytest.param(("PNG", b"acTL", struct.pack(">II", 0, 0)), id="animation without frames"),
        pytest.param(("PNG", b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"), id="broken EXIF"),
    ],
)
def test_odd_but_readable_files_give_no_warning(remark):
    _, name, content = remark
    assert (
        validate(ImageValidator(), with_png_chunk(encoded(noise()), name, content))["width"] == 64
    )


def test_a_jpeg_with_broken_exif_gives_no_warning():
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\2\x01\x12\0\3\0\0\0\1\0\6\0\0\x82\x9a\0\5\0\0\0\1\0\xff"
    content = encoded(noise(), "JPEG", exif=broken)
    assert validate(ImageValidator(), content)["width"] == 48  # turned, as the readable part says


def test_pillows_own_settings_and_the_warning_filters_stay_as_they_are():
    import warnings

    before = (Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    validate(ImageValidator(), encoded(noise()))
    assert before == (Image.MAX_IMAGE_PIXELS, list(warnings.filters))


def test_an_error_of_the_stream_itself_is_not_taken_for_a_broken_picture():
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 5000:
                raise ConnectionResetError("the client went away")
            return super().read(size)

    with pytest.raises(ConnectionResetError, match="the client went away"):
        ImageValidator().process(File(Failing(encoded(noise(200, 200)))), "picture")


def test_threads_share_one_validator():
    validator = ImageValidator()
    contents = [encoded(noise(40 + n, 30), FORMATS[n % 5]) for n in range(16)]
    files = [File(content) for content in contents]
    threads = [threading.Thread(target=validator.process, args=(file, "picture")) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [file["width"] for file in files] == [40 + n for n in range(16)]


WITHOUT_PILLOW = """
import sys
sys.modules["PIL"] = None
from sqlalchemy_file.exceptions import MissingExtraError
from sqlalchemy_file.processors import ThumbnailGenerator, Variants
from sqlalchemy_file.transforms import Convert, Fit, StripMetadata
from sqlalchemy_file.validators import ImageValidator
pictures = (lambda: Variants(small=(9, 9)), lambda: Fit(9, 9), lambda: Convert("WEBP"))
for make in (ImageValidator, ThumbnailGenerator, *pictures, StripMetadata):
    try:
        make()
    except MissingExtraError as error:
        print(error)
"""


def test_without_pillow_the_extra_to_install_is_named_when_a_validator_is_made():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_PILLOW], capture_output=True, text=True, check=True
    )
    advice = "needs an extra: pip install 'sqlalchemy-file[image]'"
    assert run.stdout.splitlines() == [
        f"{what} {advice}"
        for what in (
            *("ImageValidator", "ThumbnailGenerator", "Variants", "Fit", "Convert"),
            "StripMetadata",
        )
    ]


def test_the_missing_extra_is_an_import_error():
    assert issubclass(MissingExtraError, ImportError)
