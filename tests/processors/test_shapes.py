from __future__ import annotations

import io

import pytest
from PIL import Image

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import InvalidImageError
from sqlalchemy_file.processors import Variant, Variants
from tests.pictures import animation, corners, encoded, noise, quadrants, turned

named = pytest.mark.parametrize


def made(process, variant: Variant, content: bytes) -> Image.Image:
    file = process(Variants(copy=variant), content)
    described = file["variants"]["copy"]
    picture = Image.open(io.BytesIO(StorageManager.get_file(described["path"]).read()))
    assert picture.size == (described["width"], described["height"])
    return picture


def thirds(size: tuple[int, int] = (300, 100)) -> Image.Image:
    """Return a picture whose thirds are red, lime and blue, from left to right."""
    picture = Image.new("RGB", size, "red")
    third = size[0] // 3
    picture.paste("lime", (third, 0, 2 * third, size[1]))
    picture.paste("blue", (2 * third, 0, size[0], size[1]))
    return picture


def middle(picture: Image.Image) -> tuple[int, ...]:
    return picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))


@named(
    ("focal", "colour"),
    [((0.5, 0.5), (0, 255, 0)), ((0, 0.5), (255, 0, 0)), ((1, 1), (0, 0, 255))],
)
@named("turn", [1, 6])
def test_a_copy_that_covers_shows_the_part_around_the_focal_point(process, focal, colour, turn):
    stored = thirds() if turn == 1 else thirds().transpose(Image.Transpose.ROTATE_90)
    content = encoded(stored, "PNG", exif=turned(stored, turn))
    copy = made(process, Variant((50, 50), "PNG", fit="cover", focal=focal), content)
    assert copy.size == (50, 50)
    assert middle(copy) == pytest.approx(colour, abs=3)


@named("size", [(400, 300), (300, 400), (90, 90), (1000, 20)])
@named("wanted", [(64, 64), (80, 20), (20, 80)])
def test_a_copy_that_covers_has_exactly_its_size(process, size, wanted):
    if size[0] >= wanted[0] and size[1] >= wanted[1]:
        copy = made(process, Variant(wanted, fit="cover"), encoded(noise(*size)))
        assert copy.size == wanted


@named(
    ("size", "expected"), [((300, 100), (100, 100)), ((100, 50), (50, 50)), ((30, 200), (30, 30))]
)
def test_a_copy_that_covers_keeps_its_shape_and_is_not_enlarged(process, size, expected):
    assert made(process, Variant((200, 200), fit="cover"), encoded(noise(*size))).size == expected


@named(
    ("fit", "expected"),
    [("contain", (200, 100)), ("cover", (200, 200)), ("pad", (200, 200))],
)
def test_a_copy_is_enlarged_only_if_that_is_wanted(process, fit, expected):
    copy = made(process, Variant((200, 200), fit=fit, upscale=True), encoded(noise(40, 20)))
    assert copy.size == expected


def test_a_padded_copy_stands_in_the_middle_of_its_page(process):
    content = encoded(quadrants(80, 40))
    copy = made(process, Variant((60, 60), "PNG", fit="pad", background="#336699"), content)
    assert copy.size == (60, 60)
    assert copy.convert("RGB").getpixel((30, 5)) == (0x33, 0x66, 0x99)
    assert corners(copy.crop((0, 15, 60, 45))) == ["red", "lime", "blue", "yellow"]


@named(("format_name", "alpha"), [("PNG", 0), ("WEBP", 0), ("JPEG", 255)])
def test_a_page_of_no_colour_is_transparent_or_white(process, format_name, alpha):
    copy = made(process, Variant((60, 60), format_name, fit="pad"), encoded(quadrants(80, 40)))
    *colour, seen = copy.convert("RGBA").getpixel((30, 3))
    assert seen == alpha
    assert alpha == 0 or min(colour) > 250


def test_a_small_picture_is_padded_at_its_own_size(process):
    copy = made(process, Variant((60, 60), "PNG", fit="pad"), encoded(quadrants(20, 10)))
    assert copy.getchannel("A").getbbox() == (20, 25, 40, 35)


def test_the_background_shows_through_where_a_format_has_no_transparency(process):
    content = encoded(Image.new("RGBA", (80, 60), (0, 0, 0, 0)))
    copy = made(process, Variant((20, 20), "JPEG", background="blue"), content)
    assert middle(copy) == pytest.approx((0, 0, 255), abs=3)


@named("mode", ["RGB", "L", "RGBA", "LA"])
def test_a_reduced_copy_may_be_sharpened(process, mode):
    content = encoded(quadrants(400, 300).convert(mode))
    soft = made(process, Variant((100, 100), "PNG"), content)
    sharp = made(process, Variant((100, 100), "PNG", sharpen=100), content)
    assert sharp.mode == soft.mode == mode
    assert sharp.tobytes() != soft.tobytes()
    small = encoded(quadrants(40, 30).convert(mode))
    same = [made(process, Variant((100, 100), "PNG", sharpen=n), small).tobytes() for n in (0, 100)]
    assert same[0] == same[1]


@named("source", ["GIF", "PNG", "WEBP", "AVIF"])
@named("format_name", ["GIF", "PNG", "WEBP", "AVIF"])
@named("fit", ["contain", "cover"])
def test_an_animation_may_keep_its_frames(process, source, format_name, fit):
    content = animation(source, 4, (64, 48))
    copy = made(process, Variant((24, 24), format_name, fit=fit, animated=True), content)
    assert copy.n_frames == 4
    colours = []
    for number in range(4):
        copy.seek(number)
        colours.append(middle(copy)[0])
    assert colours == pytest.approx([0, 40, 80, 120], abs=14)


@named(("loops", "expected"), [(None, 1), (0, 0), (2, 3)])
def test_an_animation_runs_as_fast_and_as_often_as_before(process, loops, expected):
    pictures = [Image.new("RGB", (64, 48), (n * 60, 90, 10)) for n in range(3)]
    again = {} if loops is None else {"loop": loops}
    content = encoded(
        pictures[0],
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[70, 200, 90],
        **again,
    )
    copy = made(process, Variant((24, 24), "WEBP", animated=True), content)
    durations = []
    for number in range(3):
        copy.seek(number)
        copy.load()
        durations.append(copy.info["duration"])
    assert durations == [70, 200, 90]
    assert copy.info["loop"] == expected
    gif = made(process, Variant((24, 24), "GIF", animated=True), content)
    assert gif.info.get("loop") == loops


@named("format_name", ["JPEG", "TIFF"])
def test_the_first_frame_stands_for_the_animation_in_other_formats(process, format_name):
    content = animation("GIF", 4)
    copy = made(process, Variant((24, 24), format_name, animated=True), content)
    assert getattr(copy, "n_frames", 1) == 1


def test_one_picture_of_an_animation_and_all_of_it_are_made_together(process):
    file = process(
        Variants(still=(20, 20), moving=Variant((20, 20), animated=True)), animation("GIF", 3)
    )
    stored = [StorageManager.get_file(each["path"]).read() for each in file["variants"].values()]
    assert [Image.open(io.BytesIO(each)).n_frames for each in stored] == [1, 3]


def test_the_frames_that_are_kept_are_bounded(process):
    content = animation("GIF", 5, (64, 48))
    wide = Variants(copy=Variant((64, 48), animated=True), max_pixels=64 * 48 * 4)
    with pytest.raises(InvalidImageError, match=r"5 frames of 64 x 48 pixels.*12288 pixels in mem"):
        process(wide, content)
    assert process(
        Variants(copy=Variant((32, 24), animated=True), max_pixels=64 * 48 * 4), content
    )["variants"]


def test_each_variant_has_options_of_its_own_for_the_encoder(process):
    plain = Variant((200, 200), "WEBP")
    lossless = Variant((200, 200), "WEBP", options={"lossless": True, "method": 0})
    file = process(Variants(plain=plain, lossless=lossless), encoded(noise(200, 200)))
    sizes = [StorageManager.get_file(each["path"]).size for each in file["variants"].values()]
    assert sizes[1] > sizes[0] * 2
    assert plain != lossless


@named(
    "wrong",
    [
        {"fit": "stretch"},
        {"focal": (0.5,)},
        {"focal": (2, 0)},
        {"sharpen": -1},
    ],
)
def test_shapes_that_cannot_be_are_refused_when_made(wrong):
    with pytest.raises(ValueError, match=r"fit is|focal is|sharpen is"):
        Variant((9, 9), **wrong)


def test_the_record_of_a_file_is_told_nothing_new_about_a_variant(process):
    file: File = process(Variants(a=Variant((9, 9), fit="cover")), encoded(noise()))
    assert "fit" not in file["variants"]["a"]
