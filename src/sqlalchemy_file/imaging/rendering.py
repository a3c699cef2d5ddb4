"""Scaled copies of a picture: decoded once for all of them, upright, in sRGB."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image

from sqlalchemy_file.imaging.channels import filterable, fit_for, in_srgb
from sqlalchemy_file.imaging.decoding import JPEG, ON_ITS_SIDE, orientation_of
from sqlalchemy_file.imaging.formats import HEIF, format_name, load_heif, types_of
from sqlalchemy_file.imaging.variant import Variant

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

# Moderate effort: two or three times the time would save a few per cent of the bytes.
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 85},
    "PNG": {"compress_level": 4},
    "WEBP": {"quality": 80, "method": 2},
    "AVIF": {"quality": 70, "speed": 8},
}
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


def render(image: Image.Image, variants: Collection[Variant]) -> dict[Variant, Rendition]:
    """Return the copies that ``variants`` ask for, of a picture not yet decoded.

    A JPEG is decoded at a reduced size where that is enough. The largest copy is made from the
    picture, the others from the largest.
    """
    if image.format not in JPEG:
        image.load()
    orientation = orientation_of(image)
    width, height = image.size[::-1] if orientation in ON_ITS_SIDE else image.size
    sizes = {variant: variant.fitted(width, height) for variant in variants}
    largest = _upright(image, max(sizes.values()), orientation)
    return {variant: _encoded(_scaled(largest, size), variant) for variant, size in sizes.items()}


def _upright(image: Image.Image, size: tuple[int, int], orientation: int) -> Image.Image:
    """Decode a picture and return it at a size, turned as its EXIF asks for, in sRGB.

    It is turned last, when it is small.
    """
    width, height = size[::-1] if orientation in ON_ITS_SIDE else size
    drafted = image.draft(None, (int(width * _GAP), int(height * _GAP)))
    box = None if drafted is None else drafted[1]
    scaled = _scaled(filterable(image), (width, height), box)
    profile = image.info.get("icc_profile")
    turn = _TURNS.get(orientation)
    upright = in_srgb(scaled, profile)
    return upright if turn is None else upright.transpose(turn)


def _scaled(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=_GAP)


def _encoded(image: Image.Image, variant: Variant) -> Rendition:
    name = format_name(variant.format)
    plain = fit_for(image, name)
    plain.info = {}  # notes of the original: place, camera, preview, comments
    options = dict(_OPTIONS.get(name, {}))
    if variant.quality is not None:
        options["quality"] = variant.quality
    output = io.BytesIO()
    plain.save(output, name, **options)
    return Rendition(
        output.getvalue(),
        *image.size,
        content_type=types_of(name)[0],
        suffix=_SUFFIXES.get(name, name.lower()),
    )
