"""Validation of images."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy_file.detection import guess_type
from sqlalchemy_file.exceptions import AspectRatioValidationError, DimensionValidationError
from sqlalchemy_file.file import File
from sqlalchemy_file.imaging import DEFAULT_FORMATS, MAX_PIXELS, require_pillow
from sqlalchemy_file.validators.content_type import ContentTypeValidator, is_proven, parsed_types
from sqlalchemy_file.values.state import state_of

_Limit = tuple[int | None, int | None]


class ImageValidator(ContentTypeValidator):
    """Refuses incomplete images and other files, and images of other sizes or shapes than allowed.

        ImageValidator(min_wh=(200, 200), max_aspect_ratio=2)

    ``min_wh`` and ``max_wh`` are (width, height) in pixels; either may be None. The aspect ratio is
    width divided by height. ``formats`` are Pillow's names of the formats to decode;
    ``allowed_content_types`` are the same as content types. An image may have ``max_pixels``
    pixels, and the frames of an animation four times as many together.

    Width and height are those of the displayed image, with the EXIF orientation applied. They are
    added to the file, with ``orientation``: 1 to 8. Raises `MissingExtraError` if Pillow is not
    installed, or pillow-heif for HEIC.
    """

    def __init__(
        self,
        min_wh: _Limit | None = None,
        max_wh: _Limit | None = None,
        min_aspect_ratio: float | None = None,
        max_aspect_ratio: float | None = None,
        allowed_content_types: Collection[str] | str | None = None,
        *,
        formats: Collection[str] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        require_pillow(type(self).__name__)
        self.formats: tuple[str, ...] = _decoders(
            formats, allowed_content_types, type(self).__name__
        )
        super().__init__(allowed_content_types or _content_types(self.formats))
        least, most = _limit(min_wh, "min_wh"), _limit(max_wh, "max_wh")
        self.min_width: int | None = least[0]
        self.min_height: int | None = least[1]
        self.max_width: int | None = most[0]
        self.max_height: int | None = most[1]
        self.min_aspect_ratio = min_aspect_ratio
        self.max_aspect_ratio = max_aspect_ratio
        if max_pixels < 1:
            raise ValueError(f"max_pixels is a positive number of pixels, not {max_pixels!r}")
        self.max_pixels = max_pixels

    def process(self, file: File, attr_key: str) -> None:
        from sqlalchemy_file.imaging import decoding  # noqa: PLC0415  Pillow is optional

        super().process(file, attr_key)
        with decoding.decoding(
            file.original_content, attr_key, formats=self.formats, max_pixels=self.max_pixels
        ) as image:
            orientation = decoding.orientation_of(image)
            width, height = decoding.turned_size(image.size, orientation)
            self._require_dimensions(width, height, attr_key)
            state = state_of(file)
            state.accepted_format = image.format or ""
            # Nearly all of the time that a scaled copy takes is this, too.
            if state.is_decoded_later and decoding.frame_count(image) == 1:
                state.decoded_for = attr_key
            else:
                decoding.read_through(image, self.max_pixels)
        # Earlier releases noted no orientation: their width and height are of the stored pixels.
        file.update(width=width, height=height, orientation=orientation)

    def _excuses(self, file: File) -> bool:
        """Accept what claims to be an allowed image and proves nothing: it will be decoded."""
        claims = (file.get("declared_content_type"), guess_type(file["filename"]))
        return any(map(self._allows, filter(None, claims))) and not is_proven(file)

    def _require_dimensions(self, width: int, height: int, attr_key: str) -> None:
        for what, value, least, most in (
            ("width", width, self.min_width, self.max_width),
            ("height", height, self.min_height, self.max_height),
        ):
            if least and value < least:
                raise _out_of_bounds(attr_key, what, value, "min", least)
            if most and value > most:
                raise _out_of_bounds(attr_key, what, value, "max", most)
        self._require_aspect_ratio(width, height, attr_key)

    def _require_aspect_ratio(self, width: int, height: int, attr_key: str) -> None:
        least, most = self.min_aspect_ratio, self.max_aspect_ratio
        ratio = width / height
        if (least and ratio < least) or (most and ratio > most):
            raise AspectRatioValidationError(
                attr_key,
                f"Invalid aspect ratio {ratio:.2f} ({width} x {height} pixels): "
                f"the width divided by the height must be {_range(least, most)}.",
                params={
                    "width": width,
                    "height": height,
                    "min_aspect_ratio": least,
                    "max_aspect_ratio": most,
                },
            )


def _out_of_bounds(
    attr_key: str, what: str, value: int, bound: Literal["min", "max"], limit: int
) -> DimensionValidationError:
    word, size = ("Minimum", "small") if bound == "min" else ("Maximum", "large")
    return DimensionValidationError(
        attr_key,
        f"{word} allowed {what} is: {limit}, but {value} is given.",
        code=f"{what}_too_{size}",
        params={what: value, f"{bound}_{what}": limit},
    )


def _range(least: float | None, most: float | None) -> str:
    if least and most:
        return f"between {least:g} and {most:g}"
    return f"at least {least:g}" if least else f"at most {most:g}"


def _decoders(
    formats: Collection[str] | None, content_types: Collection[str] | str | None, what: str
) -> tuple[str, ...]:
    """Return the formats to decode: those named, else those of the content types, else ours.

    Raises `ValueError` where this Pillow decodes none of them, or not all that were named.
    """
    from sqlalchemy_file.imaging import decoding  # noqa: PLC0415  Pillow is optional

    if formats is not None:
        return decoding.known_formats(formats, what)
    listed = parsed_types(content_types) if content_types else frozenset({"image/*"})
    named = {name for name in listed if not name.endswith("/*")}
    usual = DEFAULT_FORMATS if named != listed else ()
    return tuple(dict.fromkeys((*usual, *(decoding.formats_of(named, what) if named else ()))))


def _content_types(formats: Collection[str]) -> list[str]:
    from sqlalchemy_file.imaging.decoding import types_of  # noqa: PLC0415  Pillow is optional

    return list(dict.fromkeys(name for each in formats for name in types_of(each)))


def _limit(limit: _Limit | None, what: str) -> _Limit:
    if limit is None:
        return (None, None)
    is_pair = isinstance(limit, tuple | list) and len(limit) == 2
    if not is_pair or not all(each is None or isinstance(each, int | float) for each in limit):
        raise TypeError(
            f"{what} is (width, height) in pixels, either None for any, not {limit!r}; "
            "content types are given as allowed_content_types="
        )
    return limit
