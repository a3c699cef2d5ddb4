"""Convert images to eight bits a channel in sRGB, and encode images and animations."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from PIL import ExifTags, Image, ImageCms, ImageMath

from sqlalchemy_file.imaging.decoding import HEIF, format_name, load_heif, types_of

# Formats with transparency. All others, and unknown ones, get a background.
_TRANSPARENT = (
    *("AVIF", "DDS", "GIF", "HEIF", "ICNS", "ICO", "JPEG2000", "PNG", "QOI", "SGI", "TGA"),
    *("TIFF", "WEBP"),
)
_GREY_WITH_ALPHA = ("DDS", "JPEG2000", "PNG", "TGA", "TIFF")
_COLOUR_ONLY = ("QOI",)

_WHITE_IS_ZERO = 0
_SPACES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "L": "GRAY", "LA": "GRAY"}


def filterable(image: Image.Image) -> Image.Image:
    """Return an image with eight bits a channel and no palette, its transparency in a channel."""
    if image.mode in ("RGBA", "LA"):
        return image
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image)
    if image.mode in ("RGB", "L", "CMYK") and not image.has_transparency_data:
        return image
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image in the colours that every viewer assumes, so that no profile is needed."""
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):  # it is damaged
            image = _converted(image, profile)
    return image.convert("RGB") if image.mode == "CMYK" else image


def has_profile_of_its_own(image: Image.Image, profile: bytes) -> bool:
    """Return True if a profile is one for an image of this mode, on the screen."""
    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    return image.mode != "CMYK" and _SPACES.get(image.mode) == space


def fit_for(image: Image.Image, name: str, background: Any = "white") -> Image.Image:
    """Return a copy in a mode that a format can hold, on a page if it has no transparency."""
    if image.mode not in ("RGBA", "LA"):
        return image.convert("RGB") if name in _COLOUR_ONLY else image.copy()
    if name not in _TRANSPARENT:
        colour = image.convert("RGBA")
        page = Image.new("RGB", image.size, background)
        page.paste(colour, mask=colour.getchannel("A"))
        return page
    return image.copy() if name in _GREY_WITH_ALPHA else image.convert("RGBA")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of whole or real numbers in grey."""
    black, white = _range(image)
    scale = 255 / ((white - black) or 1)
    values = image.convert("F").point(lambda value: value * scale - black * scale)
    grey = values.convert("L")
    seen_through = image.info.get("transparency")
    if not isinstance(seen_through, int):
        return grey
    mask = ImageMath.lambda_eval(
        lambda args: args["convert"]((args["image"] != seen_through) * 255, "L"),
        image=image.convert("I"),
    )
    return Image.merge("LA", (grey, cast("Image.Image", mask)))


def _range(image: Image.Image) -> tuple[float, float]:
    """Return the values that are black and white in an image.

    Sixteen bits are a range of their own, and so are real numbers up to one. Other numbers beyond
    eight bits are stretched: to the brightest, and to the darkest if that is below zero.
    """
    if image.mode.startswith("I;16"):
        black, white = 0.0, 65535.0
    else:
        least, most = cast("tuple[float, float]", image.convert("F").getextrema())
        if not (math.isfinite(least) and math.isfinite(most)):
            raise ValueError("an image whose numbers are not finite")
        known = (1.0, 255.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((top for top in known if most <= top), most)
        black = min(least, 0.0)
        if black < 0:
            white = most
    tags = getattr(image, "tag_v2", {})
    is_reversed = tags.get(ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO
    return (white, black) if is_reversed else (black, white)


def _converted(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source.profile.xcolor_space.strip() != _SPACES[image.mode]:
        return image  # a profile for another kind of image: some programs leave it
    if ImageCms.getProfileDescription(source).startswith("sRGB"):
        return image
    mode = "RGB" if image.mode == "CMYK" else image.mode
    target = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    return image if converted is None else converted


# Moderate effort: two or three times the time would save a few per cent of the bytes.
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 85},
    "PNG": {"compress_level": 4},
    "WEBP": {"quality": 80, "method": 2},
    "AVIF": {"quality": 70, "speed": 8},
}
_SUFFIXES = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic", "JPEG2000": "jp2"}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the frames of an animation are shown, in milliseconds, and how often it runs."""

    durations: Sequence[int]
    loop: int


@dataclass(frozen=True, slots=True)
class Rendition:
    """An image, encoded."""

    content: bytes
    width: int
    height: int
    content_type: str
    suffix: str


def encode(
    frames: Sequence[Image.Image],
    format_: str,
    options: Mapping[str, Any],
    *,
    background: str | None = None,
    timing: Timing | None = None,
) -> Rendition:
    """Return an image, or the frames of an animation, as a file without any notes about it."""
    name = format_name(format_)
    plain = [fit_for(frame, name, background or "white") for frame in frames]
    for frame in plain:
        frame.info = {}  # notes of the original: place, camera, preview, comments
    given = {**_OPTIONS.get(name, {}), **options}
    if timing is not None and len(plain) > 1:
        given |= _animation(plain, name, timing)
    output = io.BytesIO()
    plain[0].save(output, name, **given)
    return Rendition(
        output.getvalue(),
        *plain[0].size,
        content_type=types_of(name)[0],
        suffix=_SUFFIXES.get(name, name.lower()),
    )


def require_encoders(names: Iterable[str]) -> None:
    """Raise `ValueError` if Pillow cannot write colours in one of these formats."""
    Image.init()
    wanted = {name: format_name(name) for name in names}
    if HEIF in wanted.values():
        load_heif()
    missing = [name for name, known in wanted.items() if not _writes_colours(known)]
    if missing:
        raise ValueError(f"Pillow cannot write {missing}; it can write {sorted(Image.SAVE)}")


@cache
def _writes_colours(name: str) -> bool:
    if name not in Image.SAVE:
        return False
    try:
        Image.new("RGB", (16, 16)).save(io.BytesIO(), name)
    except Exception:  # noqa: BLE001  each encoder has its own way to say so
        return False
    return True


def _animation(frames: Sequence[Image.Image], name: str, timing: Timing) -> dict[str, Any]:
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": frames[1:],
        "duration": list(timing.durations),
    }
    if name == "GIF":
        # A GIF that says nothing runs once; one that says 1 runs twice.
        once = {} if timing.loop == 1 else {"loop": max(timing.loop - 1, 0)}
        return {**options, **once, "disposal": 2}
    return {**options, "loop": timing.loop} if name != "AVIF" else options
