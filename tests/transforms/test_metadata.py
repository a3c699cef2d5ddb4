"""Notes about place, camera and author."""

from __future__ import annotations

import io

import pytest
from PIL import Image, PngImagePlugin

from sqlalchemy_file.imaging.notes import strip
from tests.pictures import animation, encoded, noise, opened, turned, with_png_chunk

named = pytest.mark.parametrize
SECRET = b"a secret place"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"


def exif() -> Image.Exif:
    notes = turned(noise(), 1)
    notes[0x010F] = SECRET.decode()
    return notes


def texts() -> PngImagePlugin.PngInfo:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", SECRET.decode())
    notes.add_text("Comment", SECRET.decode(), zip=True)
    notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return notes


def gif_with_notes() -> bytes:
    gif = encoded(noise(), "GIF", comment=SECRET)
    xmp = b"\x21\xff\x0bXMP DataXMP" + bytes([len(XMP)]) + XMP + b"\0"
    return gif[:-1] + xmp + b";"


NOTED = {
    "JPEG": encoded(noise(), "JPEG", exif=exif(), comment=SECRET, xmp=XMP),
    "progressive": encoded(noise(), "JPEG", exif=exif(), xmp=XMP, progressive=True),
    "MPO": encoded(noise(), "MPO", exif=exif(), save_all=True, append_images=[noise()]),
    "PNG": encoded(noise(), "PNG", exif=exif(), pnginfo=texts()),
    "WEBP": encoded(noise(), "WEBP", exif=exif(), xmp=XMP),
    "GIF": gif_with_notes(),
}


@named("name", NOTED)
def test_notes_are_removed_and_no_pixel_is_changed(name):
    content = NOTED[name]
    picture = opened(content)
    stripped = strip(content, picture.format)
    assert stripped is not None
    assert SECRET not in stripped.content
    same = opened(stripped.content)
    assert same.tobytes() == picture.tobytes()
    assert (same.size, same.mode) == (picture.size, picture.mode)
    assert not same.getexif()
    assert not same.info.get("xmp")
    assert not same.info.get("comment")
    assert stripped.removed


@named("format_name", ["GIF", "PNG", "WEBP"])
def test_an_animation_stays_one(format_name):
    content = animation(format_name, 4)
    stripped = strip(content, format_name)
    assert stripped is not None
    before, after = opened(content), opened(stripped.content)
    assert after.n_frames == 4
    assert after.info.get("loop") == before.info.get("loop")
    assert stripped.removed == frozenset()


@named("format_name", ["JPEG", "PNG", "WEBP"])
def test_colour_profiles_stay(format_name):
    from tests.processors.test_thumbnail import swapped_profile

    profile = swapped_profile()  # it has a date
    content = encoded(noise(), format_name, icc_profile=profile, exif=exif())
    stripped = strip(content, format_name)
    assert stripped is not None
    assert opened(stripped.content).info["icc_profile"] == profile


@named("format_name", ["JPEG", "PNG", "WEBP", "GIF"])
def test_what_stands_behind_the_picture_is_removed(format_name):
    stripped = strip(encoded(noise(), format_name) + SECRET, format_name)
    assert stripped is not None
    assert SECRET not in stripped.content
    assert "trailing" in stripped.removed


def test_a_preview_in_the_header_of_a_jpeg_is_removed():
    content = encoded(noise(), "JPEG")
    preview = b"\xff\xe0" + (2 + 7 + len(SECRET)).to_bytes(2, "big") + b"JFXX\0\x10\0" + SECRET
    stripped = strip(content[:20] + preview + content[20:], "JPEG")
    assert stripped is not None
    assert stripped.content == content


def test_chunks_that_nobody_knows_are_removed():
    stripped = strip(with_png_chunk(encoded(noise()), b"seCr", SECRET), "PNG")
    assert stripped is not None
    assert stripped.removed == {"other"}


@named("options", [{"restart_marker_rows": 1}, {"subsampling": 0}, {"optimize": True}])
def test_a_jpeg_is_read_to_its_end_however_it_was_encoded(options):
    content = encoded(noise(200, 200), "JPEG", comment=SECRET, **options)
    stripped = strip(content, "JPEG")
    assert stripped is not None
    assert opened(stripped.content).tobytes() == opened(content).tobytes()


@named(("extra", "kept"), [(b"\xff\xff\xff", b""), (b"\xff\x01", b"\xff\x01")])
def test_a_jpeg_may_have_fill_bytes_and_markers_without_a_segment(extra, kept):
    picture = noise()
    content, clean = encoded(picture, "JPEG", comment=SECRET), encoded(picture, "JPEG")
    stripped = strip(content[:2] + extra + content[2:], "JPEG")
    assert stripped == (clean[:2] + kept + clean[2:], {"comment"})


@named(("format_name", "at"), [("JPEG", slice(2, 4)), ("GIF", slice(13 + 3 * 256, 14 + 3 * 256))])
def test_a_file_whose_parts_do_not_follow_one_another_is_none_to_strip(format_name, at):
    content = bytearray(encoded(noise(), format_name))
    content[at] = bytes(at.stop - at.start)
    assert strip(bytes(content), format_name) is None


@named("name", NOTED)
@named("part", [0.1, 0.5, 0.9])
def test_a_file_that_breaks_off_is_none_to_strip(name, part):
    content = NOTED[name]
    stripped = strip(content[: int(len(content) * part)], opened(content).format)
    assert stripped is None or SECRET not in stripped.content


@named("format_name", ["AVIF", "TIFF", "BMP"])
def test_other_formats_have_to_be_encoded_anew(format_name):
    assert strip(encoded(noise(), format_name), format_name) is None


def test_an_empty_file_is_none_to_strip():
    assert all(strip(b"", name) is None for name in ("JPEG", "PNG", "GIF"))
    assert opened(io.BytesIO(NOTED["JPEG"]).getvalue()).format == "JPEG"
