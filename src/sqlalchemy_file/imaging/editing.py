"""Images that are changed before they are stored: stripped, fitted, converted, decoded once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from PIL import Image

from sqlalchemy_file.imaging import COPIED_FORMATS, MAX_PIXELS
from sqlalchemy_file.imaging.channels import has_profile_of_its_own, in_srgb
from sqlalchemy_file.imaging.decoding import (
    decoding,
    frame_count,
    orientation_of,
    read_through,
    require_animation,
    require_one_page,
    turned_size,
)
from sqlalchemy_file.imaging.encoding import ANIMATED, Rendition, Timing, encode
from sqlalchemy_file.imaging.formats import format_name
from sqlalchemy_file.imaging.notes import Stripped, kinds_in, strip
from sqlalchemy_file.imaging.rendering import (
    duration_of,
    frames_of,
    keeps_frames,
    render_upright,
    timing_of,
    turned,
)
from sqlalchemy_file.imaging.variant import Size, Variant

_ORIENTATION, _EXIF = 0x0112, 0x8769
_WIDTH_AND_HEIGHT = (0xA002, 0xA003)
_TURN_IN_XMP = re.compile(
    rb'\s+tiff:Orientation\s*=\s*(?:"\d*"|\'\d*\')|<tiff:Orientation>\d*</tiff:Orientation>'
)

# An original is kept at a higher quality than its copies.
_QUALITY = {"JPEG": 92, "WEBP": 90, "AVIF": 80, "HEIF": 85}
_WITH_PROFILE = ("AVIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP")
_WITH_NOTES = ("AVIF", "HEIF", "JPEG", "PNG", "WEBP")
_SAME = {"MPO": "JPEG"}


@dataclass(frozen=True, slots=True)
class Edit:
    """The wanted changes of an image: its size, its format, its metadata."""

    size: Size | None = None
    format: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    is_stripped: bool = False

    def within(self, width: int, height: int) -> Edit:
        """Return this edit of an image that also fits into a size."""
        known = self.size or (width, height)
        return replace(self, size=(min(known[0], width), min(known[1], height)))


@dataclass(frozen=True, slots=True)
class Edited:
    """An image that was changed, with the copies made of it on the way."""

    content: bytes
    width: int
    height: int
    suffix: str | None
    """The suffix of the new format, None if it is the same."""
    removed: frozenset[str]
    copies: dict[Variant, Rendition]


def edit(
    content: BinaryIO,
    key: str,
    wanted: Edit,
    variants: Collection[Variant] = (),
    *,
    formats: Collection[str] = COPIED_FORMATS,
    must_decode: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Edited | None:
    """Return an image as it is wanted; None if it is that already.

    Only decoders of these ``formats`` see it. Raises `InvalidImageError` for ``key`` where the
    content is no image. With ``must_decode`` it is decoded to its end in any case.
    """
    with decoding(content, key, formats=formats, max_pixels=max_pixels) as image:
        orientation = orientation_of(image)
        seen = turned_size(image.size, orientation)
        size = Variant(wanted.size).fitted(*seen) if wanted.size else seen
        own = _SAME.get(image.format or "", image.format or "")
        name = format_name(wanted.format) if wanted.format else own
        if (size, name) != (seen, own) or (wanted.is_stripped and orientation != 1):
            return _encoded_anew(image, wanted, size, name, orientation, variants, max_pixels)
        stripped = _stripped(content, image) if wanted.is_stripped else None
        if wanted.is_stripped and stripped is None:
            return _encoded_anew(image, wanted, size, name, orientation, variants, max_pixels)
        if must_decode:
            read_through(image, max_pixels)
        if stripped is None:
            return None
        removed = stripped.removed
        if "exif" in removed:  # else some decoders would decode all to look for it
            removed |= kinds_in(image) & {"gps"}
        return Edited(stripped.content, *seen, None, removed, {})


def _stripped(content: BinaryIO, image: Image.Image) -> Stripped | None:
    place = content.tell()
    content.seek(0)
    found = strip(content.read(), image.format or "")
    content.seek(place)  # where the decoder goes on
    return found


def _encoded_anew(
    image: Image.Image,
    wanted: Edit,
    size: Size,
    name: str,
    orientation: int,
    variants: Collection[Variant],
    max_pixels: int,
) -> Edited:
    require_one_page(image)
    if image.format == "PNG":
        image.load()
        orientation = orientation_of(image)  # notes may stand behind the pixels
    removed = kinds_in(image) if wanted.is_stripped else frozenset()
    profile = image.info.get("icc_profile")
    options = {"quality": _QUALITY[name]} if name in _QUALITY else {}
    notes = {} if wanted.is_stripped else _notes(image, size, name)
    frames, timing = _frames(image, size, name, orientation, max_pixels)
    if profile and name in _WITH_PROFILE and has_profile_of_its_own(frames[0], profile):
        notes["icc_profile"] = profile
        shown = in_srgb(frames[0], profile) if variants else frames[0]
    else:
        frames = [in_srgb(frame, profile) for frame in frames]
        shown = frames[0]
    encoded = encode(frames, name, {**options, **wanted.options, **notes}, timing=timing)
    copies = {}
    if not any(keeps_frames(image, variant) for variant in variants):
        plans = {variant: variant.plan(*size) for variant in variants}
        copies = render_upright(shown, size, plans)
    is_same = _SAME.get(image.format or "", image.format) == name
    suffix = None if is_same else encoded.suffix
    return Edited(encoded.content, encoded.width, encoded.height, suffix, removed, copies)


def _frames(
    image: Image.Image, size: Size, name: str, orientation: int, max_pixels: int
) -> tuple[list[Image.Image], Timing | None]:
    if frame_count(image) == 1 or name not in ANIMATED:
        return [turned(image, size, orientation)], None
    require_animation(image, size, max_pixels)
    durations, frames = [], []
    for frame in frames_of(image):
        durations.append(duration_of(frame))
        frames.append(turned(frame, size, orientation).copy())
    timing = timing_of(image, durations)
    image.seek(0)
    return frames, timing


def _notes(image: Image.Image, size: Size, name: str) -> dict[str, Any]:
    """Return the notes of an image that go with it, without the turn that is applied by now."""
    if name not in _WITH_NOTES:
        return {}
    notes: dict[str, Any] = {}
    exif = image.getexif()
    if exif:
        exif.pop(_ORIENTATION, None)
        details = exif.get_ifd(_EXIF)
        for tag, number in zip(_WIDTH_AND_HEIGHT, size, strict=True):
            if tag in details:
                details[tag] = number
        notes["exif"] = exif.tobytes()
    xmp = image.info.get("xmp")
    if isinstance(xmp, bytes) and name in ("JPEG", "WEBP", "AVIF"):
        notes["xmp"] = _TURN_IN_XMP.sub(b"", xmp)
    return notes
