"""Make the variants of an image: decoded once for all of them, upright, in sRGB."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from PIL import Image, ImageFilter

from sqlalchemy_file.imaging.decoding import (
    ANIMATED,
    JPEG,
    ON_ITS_SIDE,
    format_name,
    frame_count,
    orientation_of,
    require_animation,
    turned_size,
)
from sqlalchemy_file.imaging.encoding import Rendition, Timing, encode, filterable, in_srgb
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

# Reducing by whole numbers is fast, most of all inside the JPEG decoder. It ends at 1.4 times the
# final size; a Lanczos filter does the rest. The result is closer to one that is only filtered
# (49 dB) than Pillow's own thumbnails are.
_GAP = 1.4

_SHARPENING_RADIUS = 0.8

T = TypeVar("T")


def render(
    image: Image.Image, variants: Collection[Variant], max_pixels: int
) -> dict[Variant, Rendition]:
    """Return the variants of an image that is not decoded yet.

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
        profile = image.info.get("icc_profile")
        largest = turned(image, max(plan.whole for plan in still.values()), orientation)
        copies |= render_upright(in_srgb(largest, profile), size, still)
    return copies


def render_upright(
    image: Image.Image, size: Size, plans: Mapping[Variant, Plan]
) -> dict[Variant, Rendition]:
    """Return the variants of a decoded image by their plans; ``size`` was its size before."""
    return {
        variant: _encoded([_shaped(image, size, variant, plan)], variant)
        for variant, plan in plans.items()
    }


def keeps_frames(image: Image.Image, variant: Variant) -> bool:
    """Return True if a copy of an image is an animation."""
    return variant.animated and format_name(variant.format) in ANIMATED and frame_count(image) > 1


def turned(image: Image.Image, size: Size, orientation: int) -> Image.Image:
    """Decode an image and return it at a size, upright, in its own colours.

    It is turned last, when it is small.
    """
    width, height = size[::-1] if orientation in ON_ITS_SIDE else size
    drafted = image.draft(None, (int(width * _GAP), int(height * _GAP)))
    box = None if drafted is None else drafted[1]
    scaled = scale(filterable(image), (width, height), box)
    turn = _TURNS.get(orientation)
    return scaled if turn is None else scaled.transpose(turn)


def scale(
    image: Image.Image, size: Size, box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """Return a part of an image at a size."""
    if image.size == size and box is None:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=_GAP)


def each_frame(image: Image.Image, make: Callable[[Image.Image], T]) -> tuple[list[T], Timing]:
    """Return what a function makes of each decoded frame, and the timing of the animation.

    The function gets the same object each time.
    """
    made, durations = [], []
    for number in range(frame_count(image)):
        image.seek(number)
        image.load()
        durations.append(round(float(image.info.get("duration") or 100)))
        made.append(make(image))
    loop = image.info.get("loop")
    if image.format == "GIF":  # a GIF counts repetitions, and without a count runs once
        loop = 1 if loop is None else loop + 1 if loop else 0
    image.seek(0)
    return made, Timing(durations, int(loop or 0))


def _of_frames(
    image: Image.Image, plans: Mapping[Variant, Plan], max_pixels: int
) -> dict[Variant, Rendition]:
    if not plans:
        return {}
    for plan in plans.values():
        require_animation(image, plan.canvas, max_pixels)

    def shaped(frame: Image.Image) -> list[Image.Image]:
        whole = in_srgb(filterable(frame), frame.info.get("icc_profile"))
        return [_shaped(whole, whole.size, variant, plan) for variant, plan in plans.items()]

    made, timing = each_frame(image, shaped)
    frames = zip(*made, strict=True)
    return {
        variant: _encoded(list(each), variant, timing)
        for variant, each in zip(plans, frames, strict=True)
    }


def _shaped(image: Image.Image, size: Size, variant: Variant, plan: Plan) -> Image.Image:
    """Return the part of an image that a variant shows, at its size, on its background."""
    box = None
    if plan.box != (0.0, 0.0, 1.0, 1.0):
        across, down = image.size
        left, top, right, bottom = plan.box
        box = (left * across, top * down, right * across, bottom * down)
    copy = scale(image, plan.size, box)
    if variant.sharpen and plan.whole < size:
        copy = _sharpened(copy, variant.sharpen)
    return copy if plan.canvas == plan.size else _padded(copy, plan.canvas, variant.background)


def _sharpened(image: Image.Image, percent: int) -> Image.Image:
    sharp = image.filter(ImageFilter.UnsharpMask(_SHARPENING_RADIUS, percent, 0))
    if "A" in image.getbands():
        sharp.putalpha(image.getchannel("A"))
    return sharp


def _padded(image: Image.Image, size: Size, background: str | None) -> Image.Image:
    """Return an image in the middle of a page."""
    colour = image.convert("RGBA")
    page = Image.new("RGBA", size, background or (255, 255, 255, 0))
    corner = (size[0] - image.width) // 2, (size[1] - image.height) // 2
    page.alpha_composite(colour, corner)
    return page


def _encoded(
    frames: list[Image.Image], variant: Variant, timing: Timing | None = None
) -> Rendition:
    if variant.format == PLACEHOLDER_FORMAT:
        colour = frames[0].convert("RGBA")
        content = thumbhash(colour.width, colour.height, colour.tobytes())
        return Rendition(content, *colour.size, content_type=UNKNOWN_TYPE, suffix="bin")
    quality: dict[str, Any] = {} if variant.quality is None else {"quality": variant.quality}
    return encode(
        frames,
        variant.format,
        {**quality, **variant.options},
        background=variant.background,
        timing=timing,
    )
