"""Scaled copies of a picture: decoded once for all of them, upright, in sRGB."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image, ImageCms

from sqlalchemy_file.imaging.decoding import JPEG, content_type_of, format_name, quiet
from sqlalchemy_file.imaging.variant import Variant

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)

# Reducing by whole numbers, most of all inside the JPEG decoder, is fast. It stops no nearer than
# 1.4 times the size wanted, from where a Lanczos filter goes on: what comes out differs less from
# one filtered all the way (49 dB) than Pillow's own thumbnails do.
_GAP = 1.4

# Moderate effort: two or three times the time would save a few per cent of the bytes.
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 85},
    "PNG": {"compress_level": 4},
    "WEBP": {"quality": 80, "method": 2},
    "AVIF": {"quality": 70, "speed": 8},
}
_OPAQUE = ("BMP", "JPEG", "PCX", "PPM")
_SUFFIXES = {"JPEG": "jpg", "TIFF": "tif"}


@dataclass(frozen=True, slots=True)
class Rendition:
    """A scaled copy, encoded."""

    content: bytes
    width: int
    height: int
    content_type: str
    suffix: str


def require_encoders(names: Iterable[str]) -> None:
    """Raise `ValueError` if Pillow cannot write one of these formats."""
    Image.init()
    missing = [name for name in names if format_name(name) not in Image.SAVE]
    if missing:
        raise ValueError(f"Pillow cannot write {missing}; it can write {sorted(Image.SAVE)}")


def render(image: Image.Image, variants: Collection[Variant]) -> dict[Variant, Rendition]:
    """Return the copies that ``variants`` ask for, of a picture not yet decoded.

    A JPEG is decoded at a reduced size where that is enough. The largest copy is made from the
    picture, the others from the largest.
    """
    if image.format not in JPEG:
        image.load()
    orientation = _orientation(image)
    width, height = image.size[::-1] if orientation in _ON_ITS_SIDE else image.size
    sizes = {variant: variant.fitted(width, height) for variant in variants}
    largest = _upright(image, max(sizes.values()), orientation)
    return {variant: _encoded(_scaled(largest, size), variant) for variant, size in sizes.items()}


def _orientation(image: Image.Image) -> int:
    with quiet():
        try:
            return int(image.getexif().get(_ORIENTATION, 1))
        except Exception:  # noqa: BLE001  a picture is no worse for unreadable notes about it
            return 1


def _upright(image: Image.Image, size: tuple[int, int], orientation: int) -> Image.Image:
    """Decode a picture and return it at a size, turned as its EXIF asks for, in sRGB.

    It is turned last, when it is small.
    """
    width, height = size[::-1] if orientation in _ON_ITS_SIDE else size
    drafted = image.draft(None, (int(width * _GAP), int(height * _GAP)))
    box = None if drafted is None else drafted[1]
    scaled = _scaled(_filterable(image), (width, height), box)
    profile = image.info.get("icc_profile")
    turn = _TURNS.get(orientation)
    upright = _in_srgb(scaled, profile)
    return upright if turn is None else upright.transpose(turn)


def _scaled(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=_GAP)


def _filterable(image: Image.Image) -> Image.Image:
    """Return a picture with eight bits a channel and no palette, its transparency in a channel."""
    if image.mode in ("RGBA", "LA"):
        return image
    if image.mode in ("RGB", "L", "CMYK") and not image.has_transparency_data:
        return image
    if image.mode.startswith(("I", "F")):
        return _eight_bits(image)
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("1", "L", "La") else "RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture of whole or real numbers in grey, brightest white if beyond eight bits."""
    values = image.convert("F")
    extrema = cast("tuple[float, float]", values.getextrema())
    brightest = 65535.0 if image.mode.startswith("I;16") else extrema[1]
    return values.point(lambda value: value * (255 / max(brightest, 255))).convert("L")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture in the colours that every viewer assumes, so that no profile is needed."""
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        try:
            return _converted(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a damaged profile, or one for another kind of picture: do without
    return image.convert("RGB") if image.mode == "CMYK" else image


def _converted(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if ImageCms.getProfileDescription(source).startswith("sRGB"):
        return image
    mode = "RGB" if image.mode == "CMYK" else image.mode
    target = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    return image if converted is None else converted


def _encoded(image: Image.Image, variant: Variant) -> Rendition:
    name = format_name(variant.format)
    plain = _fit_for(image, name)
    plain.info = {}  # notes of the original: place, camera, preview, comments
    options = dict(_OPTIONS.get(name, {}))
    if variant.quality is not None:
        options["quality"] = variant.quality
    output = io.BytesIO()
    plain.save(output, name, **options)
    return Rendition(
        output.getvalue(),
        *image.size,
        content_type=content_type_of(name),
        suffix=_SUFFIXES.get(name, name.lower()),
    )


def _fit_for(image: Image.Image, name: str) -> Image.Image:
    """Return a copy in a mode that a format can hold; what it can't show through is white."""
    if image.mode not in ("RGBA", "LA") or name == "PNG":
        return image.copy()
    colour = image.convert("RGBA")
    if name not in _OPAQUE:
        return colour
    page = Image.new("RGB", image.size, "white")
    page.paste(colour, mask=colour.getchannel("A"))
    return page
