"""Images that are changed before they are stored: stripped, fitted, converted, decoded once."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from PIL import ExifTags, Image

from sqlalchemy_file.imaging import COPIED_FORMATS, MAX_PIXELS
from sqlalchemy_file.imaging.decoding import (
    ANIMATED,
    JPEG,
    decoding,
    format_name,
    frame_count,
    orientation_of,
    read_through,
    require_animation,
    require_one_page,
    turned_size,
)
from sqlalchemy_file.imaging.encoding import (
    Rendition,
    Timing,
    encode,
    has_profile_of_its_own,
    in_srgb,
)
from sqlalchemy_file.imaging.notes import Stripped, kinds_in, strip
from sqlalchemy_file.imaging.rendering import each_frame, keeps_frames, render_upright, turned
from sqlalchemy_file.imaging.variant import Size, Variant

_TURN_IN_XMP = re.compile(
    rb'\s+tiff:Orientation\s*=\s*(?:"\d*"|\'\d*\')|<tiff:Orientation>\d*</tiff:Orientation>'
)

# An original is kept at a higher quality than its copies.
_QUALITY = {"JPEG": 92, "WEBP": 90, "AVIF": 80, "HEIF": 85}
_WITH_PROFILE = ("AVIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP")
_WITH_NOTES = ("AVIF", "HEIF", "JPEG", "PNG", "WEBP")


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
    """Return an image with the wanted changes; None if it needs none.

    Only decoders of these ``formats`` see it. Raises `InvalidImageError` for ``key`` if the content
    is not an image. With ``must_decode`` it is decoded to its end in any case.
    """
    with decoding(content, key, formats=formats, max_pixels=max_pixels) as image:
        editor = _Editor(image, wanted, max_pixels)
        if editor.must_encode:
            return editor.encoded(variants)
        stripped = _stripped(content, image) if wanted.is_stripped else None
        if wanted.is_stripped and stripped is None:
            return editor.encoded(variants)
        if must_decode:
            read_through(image, max_pixels)
        if stripped is None:
            return None
        removed = stripped.removed
        if "exif" in removed:  # else some decoders would decode all to look for it
            removed |= kinds_in(image) & {"gps"}
        return Edited(stripped.content, *editor.seen, None, removed, {})


def _stripped(content: BinaryIO, image: Image.Image) -> Stripped | None:
    place = content.tell()
    content.seek(0)
    found = strip(content.read(), image.format or "")
    content.seek(place)  # where the decoder goes on
    return found


class _Editor:
    """Encodes an image again, with the wanted changes."""

    def __init__(self, image: Image.Image, wanted: Edit, max_pixels: int) -> None:
        own = "JPEG" if image.format in JPEG else image.format or ""
        self._image = image
        self._wanted = wanted
        self._max_pixels = max_pixels
        self._orientation = orientation_of(image)
        self.seen = turned_size(image.size, self._orientation)
        self._size = Variant(wanted.size).fitted(*self.seen) if wanted.size else self.seen
        self._name = format_name(wanted.format) if wanted.format else own
        self._is_same_format = self._name == own

    @property
    def must_encode(self) -> bool:
        """Whether the changes are more than a removal of metadata."""
        is_turned = self._wanted.is_stripped and self._orientation != 1
        return self._size != self.seen or not self._is_same_format or is_turned

    def encoded(self, variants: Collection[Variant]) -> Edited:
        """Return the image with its changes, and its variants."""
        image, name, wanted = self._image, self._name, self._wanted
        require_one_page(image)
        if image.format == "PNG":
            image.load()
            self._orientation = orientation_of(image)  # EXIF may follow the pixels
        removed = kinds_in(image) if wanted.is_stripped else frozenset()
        options: dict[str, Any] = {"quality": _QUALITY[name]} if name in _QUALITY else {}
        notes = {} if wanted.is_stripped else _notes(image, self._size, name)
        frames, timing = self._frames()
        if (profile := self._kept_profile(frames[0])) is not None:
            notes["icc_profile"] = profile
        else:
            frames = [in_srgb(frame, image.info.get("icc_profile")) for frame in frames]
        encoded = encode(frames, name, {**options, **wanted.options, **notes}, timing=timing)
        suffix = None if self._is_same_format else encoded.suffix
        copies = self._copies(frames[0], profile, variants)
        return Edited(encoded.content, encoded.width, encoded.height, suffix, removed, copies)

    def _kept_profile(self, frame: Image.Image) -> bytes | None:
        profile: bytes | None = self._image.info.get("icc_profile")
        is_kept = profile and self._name in _WITH_PROFILE
        return profile if is_kept and has_profile_of_its_own(frame, profile or b"") else None

    def _frames(self) -> tuple[list[Image.Image], Timing | None]:
        image, size = self._image, self._size
        if frame_count(image) == 1 or self._name not in ANIMATED:
            return [turned(image, size, self._orientation)], None
        require_animation(image, size, self._max_pixels)
        return each_frame(image, lambda frame: turned(frame, size, self._orientation).copy())

    def _copies(
        self, frame: Image.Image, profile: bytes | None, variants: Collection[Variant]
    ) -> dict[Variant, Rendition]:
        if not variants or any(keeps_frames(self._image, variant) for variant in variants):
            return {}
        plans = {variant: variant.plan(*self._size) for variant in variants}
        return render_upright(in_srgb(frame, profile), self._size, plans)


def _notes(image: Image.Image, size: Size, name: str) -> dict[str, Any]:
    """Return the EXIF and XMP to keep, without the orientation, which is applied by now."""
    if name not in _WITH_NOTES:
        return {}
    notes: dict[str, Any] = {}
    exif = image.getexif()
    if exif:
        exif.pop(ExifTags.Base.Orientation, None)
        details = exif.get_ifd(ExifTags.IFD.Exif)
        known = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
        details |= {tag: number for tag, number in zip(known, size, strict=True) if tag in details}
        notes["exif"] = exif.tobytes()
    xmp = image.info.get("xmp")
    if isinstance(xmp, bytes) and name in ("JPEG", "WEBP", "AVIF"):
        notes["xmp"] = _TURN_IN_XMP.sub(b"", xmp)
    return notes
