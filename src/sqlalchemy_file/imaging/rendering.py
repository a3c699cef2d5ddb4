"""Make the variants of an image: decoded once for all of them, upright, in sRGB."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from PIL import Image, ImageFilter

from sqlalchemy_file.imaging.channels import filterable, in_srgb
from sqlalchemy_file.imaging.decoding import (
    JPEG,
    ON_ITS_SIDE,
    frame_count,
    orientation_of,
    require_animation,
    turned_size,
)
from sqlalchemy_file.imaging.encoding import ANIMATED, Rendition, Timing, encode
from sqlalchemy_file.imaging.formats import format_name
from sqlalchemy_file.imaging.thumbhash import thumbhash
from sqlalchemy_file.imaging.variant import PLACEHOLDER_FORMAT, Plan, Size, Variant
from sqlalchemy_file.support.defaults import UNKNOWN_TYPE

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Reducing by whole numbers, most of all inside the JPEG decoder, is fast. It stops no nearer than
# 1.4 times the size wanted, from where a Lanczos filter goes on: what comes out differs less from
# one filtered all the way (49 dB) than Pillow's own thumbnails do.
_GAP = 1.4

_SHARPENING_RADIUS = 0.8


def render(
    image: Image.Image, variants: Collection[Variant], max_pixels: int
) -> dict[Variant, Rendition]:
    """Return the copies that ``variants`` ask for, of an image not yet decoded.

    A JPEG is decoded at a reduced size where that is enough. The largest copy is made from the
    image, the others from the largest.
    """
    if image.format not in JPEG:
        image.load()
    orientation = orientation_of(image)
    size = turned_size(image.size, orientation)
    plans = {variant: variant.plan(*size) for variant in variants}
    moving = [variant for variant in variants if keeps_frames(image, variant)]
    copies = _of_frames(image, {each: plans[each] for each in moving}, max_pixels)
    still = {variant: plan for variant, plan in plans.items() if variant not in copies}
    if still:
        largest = upright(image, max(plan.whole for plan in still.values()), orientation)
        copies |= render_upright(largest, size, still)
    return copies


def render_upright(
    picture: Image.Image, size: Size, plans: Mapping[Variant, Plan]
) -> dict[Variant, Rendition]:
    """Return copies of a decoded image, which once had a size, by their plans."""
    return {
        variant: _encoded([_shaped(picture, size, variant, plan)], variant)
        for variant, plan in plans.items()
    }


def keeps_frames(image: Image.Image, variant: Variant) -> bool:
    """Return True if a copy of an image is an animation."""
    return variant.animated and format_name(variant.format) in ANIMATED and frame_count(image) > 1


def upright(image: Image.Image, size: Size, orientation: int) -> Image.Image:
    """Decode an image and return it at a size, turned as its EXIF asks for, in sRGB."""
    profile = image.info.get("icc_profile")
    return in_srgb(turned(image, size, orientation), profile)


def turned(image: Image.Image, size: Size, orientation: int) -> Image.Image:
    """Decode an image and return it at a size, turned as its EXIF asks for, in its own colours.

    It is turned last, when it is small.
    """
    width, height = size[::-1] if orientation in ON_ITS_SIDE else size
    drafted = image.draft(None, (int(width * _GAP), int(height * _GAP)))
    box = None if drafted is None else drafted[1]
    scaled = scale(filterable(image), (width, height), box)
    turn = _TURNS.get(orientation)
    return scaled if turn is None else scaled.transpose(turn)


def scale(
    image: Image.Image,
    size: Size,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Return a part of an image at a size."""
    if image.size == size and box is None:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=_GAP)


def frames_of(image: Image.Image) -> Iterator[Image.Image]:
    """Yield each frame of an animation, decoded; it is another image when the next one comes."""
    for number in range(frame_count(image)):
        image.seek(number)
        image.load()
        yield image


def timing_of(image: Image.Image, durations: list[int]) -> Timing:
    """Return how an animation runs, by what it says: one of GIF that says nothing runs once."""
    loop = image.info.get("loop")
    if image.format == "GIF":
        return Timing(durations, 1 if loop is None else loop + 1 if loop else 0)
    return Timing(durations, int(loop or 0))


def duration_of(frame: Image.Image) -> int:
    """Return how long a frame is shown, in milliseconds; a tenth of a second if it is silent."""
    return round(float(frame.info.get("duration") or 100))


def _of_frames(
    image: Image.Image, plans: Mapping[Variant, Plan], max_pixels: int
) -> dict[Variant, Rendition]:
    if not plans:
        return {}
    for plan in plans.values():
        require_animation(image, plan.canvas, max_pixels)
    frames: dict[Variant, list[Image.Image]] = {variant: [] for variant in plans}
    durations = []
    for frame in frames_of(image):
        durations.append(duration_of(frame))
        whole = in_srgb(filterable(frame), frame.info.get("icc_profile"))
        for variant, plan in plans.items():
            frames[variant].append(_shaped(whole, whole.size, variant, plan))
    timing = timing_of(image, durations)
    image.seek(0)
    return {variant: _encoded(frames[variant], variant, timing) for variant in plans}


def _shaped(picture: Image.Image, size: Size, variant: Variant, plan: Plan) -> Image.Image:
    """Return the part of an image that a copy shows, at its size, on its page."""
    box = None
    if plan.box != (0.0, 0.0, 1.0, 1.0):
        across, down = picture.size
        left, top, right, bottom = plan.box
        box = (left * across, top * down, right * across, bottom * down)
    copy = scale(picture, plan.size, box)
    if variant.sharpen and plan.whole < size:
        copy = _sharpened(copy, variant.sharpen)
    return copy if plan.canvas == plan.size else _padded(copy, plan.canvas, variant.background)


def _sharpened(picture: Image.Image, per_cent: int) -> Image.Image:
    sharp = picture.filter(ImageFilter.UnsharpMask(_SHARPENING_RADIUS, per_cent, 0))
    if "A" in picture.getbands():
        sharp.putalpha(picture.getchannel("A"))
    return sharp


def _padded(picture: Image.Image, size: Size, background: str | None) -> Image.Image:
    """Return an image in the middle of a page."""
    colour = picture.convert("RGBA")
    page = Image.new("RGBA", size, background or (255, 255, 255, 0))
    corner = (size[0] - picture.width) // 2, (size[1] - picture.height) // 2
    page.alpha_composite(colour, corner)
    return page


def _hashed(picture: Image.Image) -> Rendition:
    colour = picture.convert("RGBA")
    content = thumbhash(colour.width, colour.height, colour.tobytes())
    return Rendition(content, *colour.size, content_type=UNKNOWN_TYPE, suffix="bin")


def _encoded(
    frames: list[Image.Image], variant: Variant, timing: Timing | None = None
) -> Rendition:
    if variant.format == PLACEHOLDER_FORMAT:
        return _hashed(frames[0])
    quality: dict[str, Any] = {} if variant.quality is None else {"quality": variant.quality}
    return encode(
        frames,
        variant.format,
        {**quality, **variant.options},
        background=variant.background,
        timing=timing,
    )
