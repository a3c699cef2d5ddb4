from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, ImageCms

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import InvalidImageError
from sqlalchemy_file.processors import Processor, ThumbnailGenerator
from sqlalchemy_file.values.saving import prepare
from tests.pictures import (
    animation,
    corners,
    encoded,
    noise,
    opened,
    png_of_size,
    quadrants,
    turned,
    with_png_chunk,
)

named = pytest.mark.parametrize
UPRIGHT = ["red", "lime", "blue", "yellow"]

# Where each corner of the upright picture lies in the stored pixels, by EXIF orientation.
STORED = {
    1: lambda picture: picture,
    2: lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    4: lambda picture: picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda picture: picture.transpose(Image.Transpose.TRANSPOSE),
    6: lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    7: lambda picture: picture.transpose(Image.Transpose.TRANSVERSE),
    8: lambda picture: picture.transpose(Image.Transpose.ROTATE_270),
}


def thumbnail_of(file: File) -> Image.Image:
    return opened(StorageManager.get_file(file["thumbnail"]["path"]).read())


def swapped_profile() -> bytes:
    """Return a colour profile under which red is green and green is red."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    profile[tags[b"rXYZ"] : tags[b"rXYZ"] + 4] = b"gXYZ"
    profile[tags[b"gXYZ"] : tags[b"gXYZ"] + 4] = b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "Test".encode("utf-16-be"))


def test_a_thumbnail_is_stored_and_described(process):
    file = process(ThumbnailGenerator((50, 50)), encoded(noise(301, 207)))
    thumbnail = file["thumbnail"]
    assert (thumbnail["width"], thumbnail["height"]) == (50, 34)
    assert thumbnail["upload_storage"] == "pictures"
    assert thumbnail["path"] == f"pictures/{thumbnail['file_id']}" == file["files"][1]
    assert set(thumbnail) == {
        *("file_id", "width", "height", "upload_storage", "path", "url"),
        *("content_type", "size"),
    }
    assert thumbnail["size"] == len(StorageManager.get_file(thumbnail["path"]).read())
    assert thumbnail_of(file).size == (50, 34)


def test_the_object_knows_its_name_and_type(process):
    file = process(ThumbnailGenerator((50, 50), "JPEG"), encoded(noise(100, 50)))
    stored = StorageManager.get_file(file["thumbnail"]["path"])
    assert stored.content_type == "image/jpeg"
    assert stored.filename == "photo.png.thumbnail50x25.jpg"


def test_the_thumbnail_is_a_png_of_128_pixels_unless_told_otherwise(process):
    file = process(ThumbnailGenerator(), encoded(noise(400, 300), "JPEG"))
    assert thumbnail_of(file).format == "PNG"
    assert thumbnail_of(file).size == (128, 96)


@named("format_name", ["PNG", "JPEG", "jpg", "WEBP", "AVIF", "GIF"])
@named("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_every_kind_of_picture_becomes_every_format(process, mode, format_name):
    source = {"F": "TIFF", "CMYK": "TIFF"}.get(mode, "PNG")
    picture = quadrants().convert("L").convert("I") if mode in ("I;16", "F") else quadrants()
    file = process(
        ThumbnailGenerator((20, 20), format_name), encoded(picture.convert(mode), source)
    )
    assert thumbnail_of(file).size == (20, 15)


@named("orientation", STORED)
@named("format_name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_picture_stands_upright_whatever_its_exif_orientation(process, orientation, format_name):
    stored = STORED[orientation](quadrants(800, 600))
    content = encoded(stored, format_name, exif=turned(stored, orientation))
    file = process(ThumbnailGenerator((80, 80)), content)
    assert (file["thumbnail"]["width"], file["thumbnail"]["height"]) == (80, 60)
    assert corners(thumbnail_of(file)) == UPRIGHT
    assert 0x0112 not in thumbnail_of(file).getexif()


@named("format_name", ["JPEG", "WEBP", "AVIF", "PNG"])
def test_notes_about_place_and_camera_stay_behind(process, format_name):
    notes = turned(quadrants(), 1)
    notes[0x010F] = "a camera"
    file = process(
        ThumbnailGenerator((20, 20), format_name), encoded(quadrants(), "JPEG", exif=notes)
    )
    assert b"a camera" not in StorageManager.get_file(file["thumbnail"]["path"]).read()


@named("format_name", ["PNG", "WEBP", "AVIF", "GIF"])
@named("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(process, mode, format_name):
    picture = Image.new("RGBA", (80, 60), (200, 30, 30, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 40, 60))
    file = process(ThumbnailGenerator((20, 20), format_name), encoded(picture.convert(mode)))
    alpha = thumbnail_of(file).convert("RGBA").getchannel("A")
    assert (alpha.getpixel((2, 2)), alpha.getpixel((17, 2))) == (0, 255)


def test_a_transparent_colour_is_kept(process):
    picture = Image.new("RGB", (80, 60), "red")
    picture.paste("lime", (0, 0, 40, 60))
    content = encoded(picture, "PNG", transparency=(0, 255, 0))
    alpha = (
        thumbnail_of(process(ThumbnailGenerator((20, 20)), content)).convert("RGBA").getchannel("A")
    )
    assert (alpha.getpixel((2, 2)), alpha.getpixel((17, 2))) == (0, 255)


def test_what_is_transparent_turns_white_where_a_format_has_no_transparency(process):
    content = encoded(Image.new("RGBA", (80, 60), (0, 0, 0, 0)))
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20), "JPEG"), content))
    assert thumbnail.convert("RGB").getpixel((5, 5)) == (255, 255, 255)


def test_sixteen_bits_keep_their_brightness(process):
    picture = Image.new("I;16", (80, 60), 0x8000)
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20)), encoded(picture)))
    assert thumbnail.getpixel((5, 5)) == pytest.approx(127, abs=1)


def test_a_picture_is_never_enlarged(process):
    file = process(ThumbnailGenerator((500, 500)), encoded(quadrants(30, 20)))
    assert thumbnail_of(file).size == (30, 20)


@named("size", [(1, 5000), (5000, 1)])
def test_a_very_thin_picture_keeps_a_pixel_of_its_width(process, size):
    file = process(ThumbnailGenerator((100, 100)), encoded(Image.new("L", size)))
    assert thumbnail_of(file).size == ((1, 100) if size[0] == 1 else (100, 1))


@named("size", [(301, 207), (207, 301), (640, 480), (999, 1000), (1000, 3), (129, 128)])
def test_the_size_is_the_one_that_pillows_thumbnails_have(process, size):
    content = encoded(Image.new("L", size))
    expected = opened(content)
    expected.thumbnail((128, 100))
    assert thumbnail_of(process(ThumbnailGenerator((128, 100)), content)).size == expected.size


@named("format_name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_first_frame_stands_for_an_animation(process, format_name):
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20)), animation(format_name, 4)))
    red, green, blue = thumbnail.convert("RGB").getpixel((5, 5))
    assert (red, green, blue) == pytest.approx((0, 90, 200), abs=12)
    assert not getattr(thumbnail, "is_animated", False)


def test_colours_of_another_space_are_converted_to_srgb(process):
    content = encoded(Image.new("RGB", (80, 60), "red"), "PNG", icc_profile=swapped_profile())
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20)), content))
    assert thumbnail.getpixel((5, 5)) == pytest.approx((0, 255, 0), abs=2)
    assert "icc_profile" not in thumbnail.info


def test_colours_in_srgb_stay_as_they_are(process):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(quadrants(), "JPEG", icc_profile=srgb)
    assert corners(thumbnail_of(process(ThumbnailGenerator((20, 20)), content))) == UPRIGHT


def test_colours_for_print_become_colours_for_the_screen(process):
    content = encoded(Image.new("CMYK", (80, 60), (0, 255, 255, 0)), "JPEG")
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20), "WEBP"), content))
    assert thumbnail.mode == "RGB"
    assert thumbnail.getpixel((5, 5)) == pytest.approx((255, 0, 0), abs=12)


@named("format_name", ["PNG", "WEBP", "JPEG", "AVIF"])
def test_colours_for_print_with_a_profile_for_the_screen_are_converted(process, format_name):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("CMYK", (80, 60), (0, 255, 255, 0))
    content = encoded(picture, "JPEG", icc_profile=srgb)
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20), format_name), content))
    assert thumbnail.convert("RGB").getpixel((5, 5)) == pytest.approx((255, 0, 0), abs=12)


@named(
    ("kind", "value", "expected"),
    [
        ("white is zero, 16 bits", 0x2000, 223),
        ("white is zero, 8 bits", 0x20, 223),
        ("real numbers up to one", 0.5, 127),
        ("real numbers up to 255", 200.0, 200),
        ("real numbers, reversed", 0.25, 191),
        ("32 bits", 100, 100),
    ],
)
def test_the_brightness_of_a_tiff_is_right_whatever_its_numbers_are(process, kind, value, expected):
    reals, is_reversed = isinstance(value, float), "zero" in kind or "reversed" in kind
    bits = {"16": "H", "8": "B", "32": "I"}
    code = "f" if reals else bits[kind.removesuffix(" bits").split()[-1]]
    content = tiff_of(code, value, is_reversed=is_reversed)
    thumbnail = thumbnail_of(process(ThumbnailGenerator((4, 4)), content))
    assert thumbnail.getpixel((1, 1)) == pytest.approx(expected, abs=1)


def tiff_of(code: str, value: float, *, is_reversed: bool) -> bytes:
    """Return a grey TIFF of 8 x 8 pixels of a value."""
    pixels = struct.pack(f"<64{code}", *[value] * 64)
    bits, kind = struct.calcsize(code) * 8, 3 if code == "f" else 1
    tags = [
        *((256, 8), (257, 8), (258, bits), (259, 1), (262, 0 if is_reversed else 1), (273, 8)),
        *((277, 1), (278, 8), (279, len(pixels)), (339, kind)),
    ]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, number, 0) for tag, number in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    return head + struct.pack("<H", len(tags)) + entries + bytes(4)


@named(("mode", "seen_through", "opaque"), [("1", 0, 255), ("L", 18, 144), ("I;16", 4660, 36864)])
@named("format_name", ["PNG", "WEBP", "GIF", "AVIF"])
def test_a_transparent_grey_is_kept(process, mode, seen_through, opaque, format_name):
    picture = Image.new("I", (80, 60), opaque)
    picture.paste(seen_through, (0, 0, 40, 60))
    content = encoded(picture.convert(mode), "PNG", transparency=seen_through)
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20), format_name), content))
    expected = 255 if mode == "1" else 144
    *colour, alpha = thumbnail.convert("RGBA").getpixel((17, 2))
    assert (colour, alpha) == (pytest.approx([expected] * 3, abs=6), 255)
    assert thumbnail.convert("RGBA").getpixel((2, 2))[3] == 0


WRITABLE = [
    *("AVIF", "BMP", "DDS", "DIB", "EPS", "GIF", "HEIF", "ICNS", "ICO", "JPEG", "JPEG2000"),
    *("MPO", "PCX", "PDF", "PNG", "PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP"),
]


@named("format_name", WRITABLE)
@named("mode", ["RGBA", "LA", "RGB", "L"])
def test_a_transparent_picture_becomes_every_format(process, format_name, mode):
    picture = Image.new("RGBA", (80, 60), (0, 0, 0, 0)).convert(mode)
    file = process(ThumbnailGenerator((20, 20), format_name), encoded(picture))
    content = StorageManager.get_file(file["thumbnail"]["path"]).read()
    assert len(content) > 20
    if format_name in ("JPEG", "MPO", "BMP", "PPM", "PCX") and "A" in mode:
        assert opened(content).convert("L").getpixel((5, 5)) == 255


@named("format_name", ["XBM", "MSP", "PALM", "BLP", "GRIB", "HDF5", "BUFR", "WMF"])
def test_formats_that_hold_no_colours_are_refused_when_the_generator_is_made(format_name):
    with pytest.raises(ValueError, match="Pillow cannot write"):
        ThumbnailGenerator(thumbnail_format=format_name)


def test_a_profile_that_cannot_be_read_is_passed_over(process):
    content = encoded(quadrants(), "JPEG", icc_profile=b"no profile" * 20)
    assert corners(thumbnail_of(process(ThumbnailGenerator((20, 20)), content))) == UPRIGHT


def test_exif_that_cannot_be_read_is_passed_over(process):
    content = with_png_chunk(encoded(quadrants()), b"eXIf", b"MM\0*\0\0\0\x08\xff\xff")
    assert corners(thumbnail_of(process(ThumbnailGenerator((20, 20)), content))) == UPRIGHT


def test_an_orientation_that_is_no_number_is_passed_over(process):
    notes = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHI4s", 0x0112, 2, 2, b"x") + bytes(4)
    content = with_png_chunk(encoded(quadrants()), b"eXIf", notes)
    assert corners(thumbnail_of(process(ThumbnailGenerator((20, 20)), content))) == UPRIGHT


def test_numbers_below_zero_are_darker_than_zero(process):
    picture = Image.new("F", (80, 60), -100.0)
    picture.paste(100.0, (40, 0, 80, 60))
    content = encoded(picture, "TIFF")
    thumbnail = thumbnail_of(process(ThumbnailGenerator((20, 20)), content))
    assert [thumbnail.getpixel((x, 5)) for x in (2, 17)] == pytest.approx([0, 255], abs=2)


def test_numbers_that_are_not_finite_are_refused(process):
    with pytest.raises(InvalidImageError):
        process(ThumbnailGenerator(), encoded(Image.new("F", (8, 6), float("inf")), "TIFF"))


def test_a_picture_from_a_phone_gets_a_thumbnail(process):
    import pillow_heif

    output = io.BytesIO()
    pillow_heif.from_pillow(quadrants(800, 600)).save(output, format="HEIF", quality=90)
    file = process(ThumbnailGenerator((80, 80)), output.getvalue(), filename="IMG_1.heic")
    assert file["content_type"] == "image/heic"
    assert thumbnail_of(file).size == (80, 60)
    assert corners(thumbnail_of(file)) == UPRIGHT


@named("content", [b"text", b"", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_a_file_that_is_no_picture_raises(process, content):
    with pytest.raises(InvalidImageError, match="thumbnail: Provide valid image file"):
        process(ThumbnailGenerator(), content)


def test_a_truncated_picture_raises(process):
    with pytest.raises(InvalidImageError):
        process(ThumbnailGenerator(), encoded(noise(300, 300))[:-2000])


def test_an_enormous_picture_raises_before_it_is_decoded(process):
    with pytest.raises(InvalidImageError, match=r"too large \(9000 x 9000 pixels\)"):
        process(ThumbnailGenerator(), png_of_size(9000, 9000))


def test_the_limit_may_be_set(process):
    with pytest.raises(InvalidImageError, match="Allowed maximum is 100 pixels"):
        process(ThumbnailGenerator(max_pixels=100), encoded(noise()))


def test_options_of_the_file_go_out_with_its_thumbnail(process):
    seen = []

    class Seen(File):
        def store_content(self, content, *arguments, **options):
            seen.append(options)
            return super().store_content(content, *arguments, **options)

    file = Seen(
        encoded(noise()), filename="a.png", extra={"acl": "public-read"}, headers={"x-a": "b"}
    )
    prepare(file)
    file.save_to_storage("pictures")
    ThumbnailGenerator().process(file, "pictures")
    assert seen[0]["extra"]["acl"] == "public-read"
    assert seen[0]["extra"]["content_type"] == "image/png"
    assert seen[0]["headers"] == {"x-a": "b"}


def test_the_stream_stands_at_its_start_afterwards(process):
    handle = io.BytesIO(encoded(noise()))
    file = File(handle, filename="a.png")
    file.save_to_storage("pictures")
    handle.seek(7)
    ThumbnailGenerator().process(file, "pictures")
    assert handle.tell() == 0


@named("wrong", [(0, 5), (5,), (5.5, 5)])
def test_impossible_sizes_are_refused_when_the_generator_is_made(wrong):
    with pytest.raises(ValueError, match=r"size is|unpack"):
        ThumbnailGenerator(wrong)


def test_formats_that_cannot_be_written_are_refused_when_the_generator_is_made():
    with pytest.raises(ValueError, match=r"Pillow cannot write \['FITS'\]"):
        ThumbnailGenerator(thumbnail_format="FITS")


def test_any_class_with_a_process_method_is_a_processor():
    class Mine:
        def process(self, file: File, upload_storage: str | None = None) -> None:
            """Do nothing."""

    assert isinstance(Mine(), Processor)
    assert isinstance(ThumbnailGenerator(), Processor)
